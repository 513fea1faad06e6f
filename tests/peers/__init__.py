"""keelback against programs that nobody here wrote. Each module that starts such a program says how it does it."""
