"""``keelback check``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from keelback.cli.jsontext import json_text
from keelback.cli.options import json_option

if TYPE_CHECKING:
    from keelback.checking import Checked


@click.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@click.option("--subdir", metavar="SUBDIR", help="Subdir for packages that do not declare one.")
@json_option
def command(paths: tuple[str, ...], subdir: str | None, *, as_json: bool) -> None:
    """Check packages without sending anything.

    PATHS are packages (.conda, .tar.bz2), folders with packages in them, or patterns. Errors would stop 'keelback
    publish', warnings would not.

    \b
    Example:
      keelback check dist/

    \b
    Exit status: 0 all can be published, 1 some cannot, 2 wrong usage.
    """
    from keelback.checking import check  # noqa: PLC0415 - not for --help
    from keelback.cli.console import show_finding, size_text  # noqa: PLC0415 - not for --help

    checked = check(paths, subdir=subdir)
    if as_json:
        click.echo(json_text(_document(checked)))
    else:
        for finding in checked.findings:
            show_finding(finding)
        for archive in checked.archives:
            click.echo(f"{click.style('ok', fg='green')}  {archive.relative_path}  {size_text(archive.size)}")
        broken = len(checked.broken)
        click.echo(f"{len(checked.archives)} can be published" + (f", {broken} cannot" if broken else ""))
    sys.exit(0 if checked.ok else 1)


def _document(checked: Checked) -> dict[str, Any]:
    from keelback.report import JSON_VERSION, finding_to_json  # noqa: PLC0415 - not for --help

    return {
        "version": JSON_VERSION,
        "archives": [
            {
                "file": str(archive.path),
                "name": archive.name,
                "version": archive.version,
                "build": archive.build,
                "subdir": archive.subdir,
                "size": archive.size,
            }
            for archive in checked.archives
        ],
        "findings": [finding_to_json(finding) for finding in checked.findings],
        "ok": checked.ok,
    }
