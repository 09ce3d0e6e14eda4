"""What each kind of vertex does, one file a kind; base.py has the state they pass on."""
