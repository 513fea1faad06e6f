"""What the documentation shows, run and compared."""
