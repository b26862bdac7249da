"""What a node must not forget: one SQLite file, one writer."""
