"""Typed bodies of the API: what a field is called, what it holds, what it is when nobody says."""
