"""The version, where both the build and ``keelback --version`` read it without importing anything else."""

__version__ = "0.1.0"
