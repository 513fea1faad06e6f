"""``keelback fetch``."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import click

from keelback.cli.options import fetch_options, force_option, secret_options, show_run
from keelback.errors import UsageError

_ASKED: Final = ("subdirs", "with_deps", "all_versions", "channels", "virtual_packages")


@click.command("fetch")
@click.argument("channel", required=False, metavar="[CHANNEL]")
@click.argument("specs", nargs=-1, metavar="[SPECS]...")
@click.option("-o", "--output", default=".", show_default=True, metavar="FOLDER", help="Where to; in SUBDIR/FILE.")
@click.option("--subdir", "subdirs", multiple=True, metavar="SUBDIR", help="Where to look, beside noarch.")
@click.option("--with-deps", is_flag=True, help="Everything that an environment with the specs consists of.")
@click.option("--all", "all_versions", is_flag=True, help="Every archive that matches, not the best for each spec.")
@click.option("-c", "--channel", "channels", multiple=True, metavar="URL", help="Another channel to look in, after it.")
@click.option(
    "--virtual-package",
    "virtual_packages",
    multiple=True,
    metavar="NAME=VERSION",
    help="What the machine has that it will be installed on, as in __cuda=12.4.",
)
@click.option("--lock", metavar="FILE", help="Write URLs and hashes of what was fetched (@EXPLICIT).")
@click.option("--locked", metavar="FILE", help="Fetch what such a file names.")
@force_option()
@click.option("--username", metavar="NAME", help="The user, with a password.")
@secret_options("password", what="password")
@secret_options("api-key", "-a", what="token")
@fetch_options
def command(
    channel: str | None, specs: tuple[str, ...], *, output: str, lock: str | None, locked: str | None, **options: Any
) -> None:
    """Get packages out of a channel, private ones included.

    SPECS are MatchSpecs, or names of files; for each spec, the best package is fetched. Without any, all of --subdir
    is. Everything is verified against the hashes in the channel's index before it gets its name. What is there already
    is left alone: running the same command again does only what is left.

    \b
    CHANNEL is a folder, a URL as for keelback publish, or any URL under which conda reads a channel:
      https://prefix.dev/CHANNEL              https://repo.prefix.dev/CHANNEL
      https://anaconda.org/OWNER[/LABEL]      https://conda.anaconda.org/conda-forge
      https://HOST/artifactory/REPOSITORY     https://HOST/get/CHANNEL

    Credentials are found as keelback auth check CHANNEL says; log in with keelback auth login.

    \b
    Examples:
      keelback fetch https://prefix.dev/my-channel 'numpy >=2' --subdir linux-64 -o pkgs/
      keelback fetch https://prefix.dev/my-channel my-tool --with-deps -c https://prefix.dev/conda-forge
      keelback fetch https://anaconda.org/my-org my-tool-1.0-h1_0.conda
      keelback fetch ./my-channel --subdir noarch -o copy/
      keelback fetch --locked my.lock -o pkgs/

    \b
    Exit status: 0 all well, 1 something failed, 2 wrong usage, 3 no or refused
    credential, 130 stopped.
    """
    from keelback.fetching import fetch, fetch_locked  # noqa: PLC0415 - not for --help

    asked = {
        name: options.pop(name) for name in ("subdirs", "with_deps", "all_versions", "channels", "virtual_packages")
    }
    if locked is not None:
        if channel is not None or lock is not None or any(asked.values()):
            raise UsageError("--locked says all there is to fetch", hint="Leave the channel and the specs out.")
        show_run(partial(fetch_locked, locked, to=output), **options)
    if channel is None:
        raise UsageError("no channel", hint="Name one, as in keelback fetch https://prefix.dev/my-channel numpy.")
    show_run(partial(fetch, channel, specs, to=output, lock=lock, **asked), **options)
