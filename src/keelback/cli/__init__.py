"""The command line: one module a command, each imported only when it is asked for."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``keelback`` with the arguments of the process, and exit with its status."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # before anything is imported: scripts ask this often
        from keelback._version import __version__  # noqa: PLC0415

        print(f"keelback {__version__}")  # noqa: T201 - the answer itself
        return
    from keelback.cli.app import run  # noqa: PLC0415

    run()
