"""``keelback index``."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from keelback.cli.command import SectionCommand, SectionOption
from keelback.cli.options import index_options, json_text
from keelback.errors import KeelbackError
from keelback.findings import printable
from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.channels.indexable import SubdirChange
    from keelback.indexing import IndexReport

_output: Final = partial(click.option, cls=SectionOption, section="Output")

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
@click.option("--rebuild", is_flag=True, help="Read every package anew, not only what is new or has changed.")
@click.option(
    "--remove",
    multiple=True,
    metavar="SPEC",
    help="Do not list this any more: a file, or all that a spec matches; may be given more than once.",
)
@click.option("--delete-files", is_flag=True, help="Delete the files of what --remove names, too.")
@click.option(
    "--restore", multiple=True, metavar="SPEC", help="List again what was removed; may be given more than once."
)
@click.option(
    "--patch",
    "patches",
    multiple=True,
    metavar="FILE",
    help="Change records as patch_instructions.json says: that file, or a folder or a package with one in each SUBDIR; "
    "may be given more than once.",
)
@click.option(
    "-p",
    "--subdir",
    "--platform",
    "subdirs",
    multiple=True,
    metavar="SUBDIR",
    help="Subdir to look at, besides noarch; may be given more than once.  [default: all]",
)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@index_options
@_output("--json", "as_json", is_flag=True, help="Print one JSON document to standard output.")
@_output("-q", "--quiet", is_flag=True, help="Only the summary, and what went wrong.")
@_output("-v", "--verbose", count=True, help="Say which credential is used; twice: every request.")
def command(channel: str, *, as_json: bool, quiet: bool, verbose: int, **options: Any) -> None:
    """Bring the index of a channel in a folder or a bucket up to its files, and patch it.

    Only what is new or has changed is read; what is gone leaves the index. A folder with packages in SUBDIR/ becomes a
    channel. What keelback publishes to it is in its index already.

    What --remove names stays where it is, for those who have its URL, but no client finds it in the index any more. Its
    record is kept, and --restore brings it back; publishing the same file again does not. A file such as
    demo-1.0-0.tar.bz2 is that file alone, and a spec all that it matches, in both formats.

    \b
    CHANNEL is a folder, or a bucket:
      ./my-channel
      s3://BUCKET/CHANNEL     gs://BUCKET/CHANNEL     az://ACCOUNT/CONTAINER/CHANNEL

    \b
    Examples:
      keelback index ./my-channel
      keelback index s3://my-bucket/my-channel --remove 'demo <1.2' --dry-run
      keelback index ./my-channel --patch patch_instructions.json --subdir linux-64

    Exit status: 0 all well, 1 a file cannot be read or listed, or it failed, 2 wrong usage, 3 no or refused credential.
    """
    from keelback.channels.bucketoptions import refuse_unused  # noqa: PLC0415 - not for --help
    from keelback.cli.console import Console  # noqa: PLC0415 - likewise
    from keelback.indexing import index  # noqa: PLC0415 - likewise
    from keelback.transport import Retry  # noqa: PLC0415 - likewise

    retry = Retry(attempts=options.pop("retries") + 1, base=options.pop("retry_delay"))
    dry_run = options["dry_run"]
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose, progress=False, dry_run=dry_run)
    try:
        refuse_unused(options["buckets"], [channel])
        report = index(channel, retry=retry, keychain=not options.pop("no_keychain"), **options)
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
    for finding in report.findings:
        where = f"{printable(report.place_of(finding))}: " + (f"{finding.field}: " if finding.field else "")
        click.echo(f"{click.style('error:', fg='red')} {redact(where + finding.message)}", err=True)
        if finding.hint:
            click.echo(f"  {click.style('hint:', fg='cyan')} {redact(finding.hint)}", err=True)
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
    return f"{', '.join(counts) or 'unchanged'}; {listed}"
