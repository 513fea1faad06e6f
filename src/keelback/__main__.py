"""``python -m keelback``."""

from keelback.cli import main

if __name__ == "__main__":
    main()
