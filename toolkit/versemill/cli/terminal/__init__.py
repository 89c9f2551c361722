"""What commands show in a terminal: tables, progress, pictures."""
