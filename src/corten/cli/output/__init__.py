"""What commands print: tables, sizes, ages, Go templates, progress."""
