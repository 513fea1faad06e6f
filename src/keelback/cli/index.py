"""``keelback index``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from keelback.cli.command import SectionCommand
from keelback.cli.jsontext import json_text
from keelback.cli.options import index_options, subdirs_option
from keelback.errors import KeelbackError
from keelback.findings import printable
from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.channels.indexable import SubdirChange
    from keelback.indexing import IndexReport

_COLOURS: Final = {
    "added": "green",
    "changed": "yellow",
    "removed": "magenta",
    "missing": "magenta",
    "deleted": "red",
}
"""What has a line for each file, and its colour."""


@click.command("index", cls=SectionCommand)
@click.argument("channel")
@click.option("--rebuild", is_flag=True, help="Read every package again, not only new and changed ones.")
@click.option(
    "--remove",
    multiple=True,
    metavar="SPEC",
    help="Remove packages from the index: a file name, or all that a spec matches; may be given more than once.",
)
@click.option("--delete-files", is_flag=True, help="Also delete the files of what --remove names.")
@click.option(
    "--restore", multiple=True, metavar="SPEC", help="List removed packages again; may be given more than once."
)
@click.option(
    "--patch",
    "patches",
    multiple=True,
    metavar="FILE",
    help="Patch records with a patch_instructions.json, or with a folder or package that has one for each subdir; may "
    "be given more than once.",
)
@subdirs_option("Subdir to look at, besides noarch", default="all")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would change, without doing it.")
@index_options
def command(channel: str, *, as_json: bool, quiet: bool, verbose: int, **options: Any) -> None:
    """Update the index of a channel in a folder or a bucket; remove or patch packages.

    Only new and changed packages are read, and packages whose files are gone leave the index. A folder with packages in
    SUBDIR/ becomes a channel. There is no need to index what keelback publishes: publish does that.

    --remove takes a package out of the index, so that clients no longer find it; its file stays where it is. The record
    is kept, and --restore brings it back; publishing the same file again does not. A file name such as
    demo-1.0-0.tar.bz2 stands for that file alone, a spec for all that it matches, in both formats.

    \b
    CHANNEL is a folder or a bucket:
      ./my-channel
      s3://BUCKET/CHANNEL, gs://BUCKET/CHANNEL, az://ACCOUNT/CONTAINER/CHANNEL
      s3+https://HOST/BUCKET/CHANNEL: MinIO, R2, Ceph

    \b
    Examples:
      keelback index ./my-channel
      keelback index s3://my-bucket/my-channel --remove 'demo <1.2' --dry-run
      keelback index ./my-channel --patch patch_instructions.json --subdir linux-64

    \b
    Exit status: 0 success, 1 a file cannot be read or listed, or something else
    failed, 2 wrong usage, 3 no credential, or a refused one.
    """
    from keelback.cli.console import Console  # noqa: PLC0415 - not for --help
    from keelback.indexing import index  # noqa: PLC0415 - likewise

    dry_run = options["dry_run"]
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose, progress=False, dry_run=dry_run)
    try:
        report = index(channel, keychain=not options.pop("no_keychain"), **options)
    except KeelbackError as error:
        if not as_json:
            raise
        click.echo(json_text(_document_of(error, dry_run=dry_run)))
        sys.exit(int(error.exit_status))
    if as_json:
        click.echo(json_text({**report.to_json(), **({"notes": console.notes} if console.notes else {})}))
    else:
        _show(report, quiet=quiet)
    sys.exit(int(report.exit_status))


def _document_of(error: KeelbackError, *, dry_run: bool) -> dict[str, Any]:
    """What ``--json`` prints where there is no report."""
    from keelback.report import JSON_VERSION, Problem  # noqa: PLC0415 - not for --help

    return {
        "version": JSON_VERSION,
        "dry_run": dry_run,
        "channel": None,
        "subdirs": [],
        "findings": [],
        "error": Problem.of(error).to_json(),
    }


def _show(report: IndexReport, *, quiet: bool) -> None:
    """A line for each file that changed, for each file that cannot be listed, and for each subdir."""
    from keelback.cli.console import show_finding  # noqa: PLC0415 - not for --help

    for finding in report.findings:
        show_finding(finding, report.place_of(finding))
    would = "(dry run) " if report.dry_run else ""
    for change in report.subdirs:
        for what, colour in _COLOURS.items() if not quiet else ():
            for filename in getattr(change, what):
                click.echo(f"{click.style(f'{what:7}', fg=colour)}  {would}{change.subdir}/{printable(filename)}")
    click.echo(f"{printable(redact(report.channel))}:{' nothing was written (dry run)' if report.dry_run else ''}")
    for change in report.subdirs:
        click.echo(f"  {change.subdir}: {_summary(change)}")


def _summary(change: SubdirChange) -> str:
    counts = [f"{len(getattr(change, what))} {what}" for what in _COLOURS if getattr(change, what)]
    listed = f"{change.total} listed" + (f", {len(change.patched)} of them patched" if change.patched else "")
    if change.unmatched:
        names = "1 name" if change.unmatched == 1 else f"{change.unmatched} names"
        listed += f"; {names} in the patches {'has' if change.unmatched == 1 else 'have'} no package yet"
    if change.unlisted:
        names = "1 name" if change.unlisted == 1 else f"{change.unlisted} names"
        listed += f"; {names} in the patches {'is' if change.unlisted == 1 else 'are'} removed"
    return f"{', '.join(counts) or 'unchanged'}; {listed}"
