"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from keelback.cli.ci.detection import CHOICES
from keelback.cli.collecting import bucket_options, retry_options, secret_options, verify_options
from keelback.cli.command import Section, together

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


files_argument = click.argument("paths", nargs=-1, required=True, metavar="FILES...")
"""The packages, for commands that are called with those of a shell."""

_SKIP_EXISTING: Final = Section.TRANSFER.option(
    "-s", "--skip-existing", is_flag=True, help="Keep files that exist with other bytes, and count that as success."
)

_SUBDIR: Final = Section.TRANSFER.option(
    "--subdir", metavar="SUBDIR", help="Subdir for packages that do not declare one."
)

store_options = together(
    Section.CREDENTIALS.option("--auth-file", metavar="FILE", help="Use this file, and no other credential store."),
    Section.CREDENTIALS.option(
        "--no-keychain", is_flag=True, help="Do not use the system's keychain. KEELBACK_NO_KEYCHAIN=1 does the same."
    ),
)
"""Where credentials are looked for."""

trusted_options = together(
    Section.TRUSTED_PUBLISHING.option(
        "--trusted-publishing",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        help="Exchange the CI system's identity for a short-lived token. auto: if no token is given, falling back to "
        "the stores; always: or fail; never: do not ask for an identity.",
    ),
    Section.TRUSTED_PUBLISHING.option(
        "--trusted-publishing-host",
        "trusted_publishing_hosts",
        envvar="KEELBACK_TRUSTED_PUBLISHING_HOSTS",
        multiple=True,
        metavar="HOST",
        help="A server of your own that gets this identity, besides prefix.dev; may be given more than once. The "
        "variable has spaces between hosts.",
    ),
    secret_options("oidc-token", what="ID token to exchange", section=Section.TRUSTED_PUBLISHING),
)
"""Which servers get the identity of the CI system."""

trust_config_option = Section.ATTESTATIONS.option(
    "--trust-config",
    envvar="KEELBACK_TRUST_CONFIG",
    metavar="FILE",
    help="Your own Sigstore deployment (ClientTrustConfig) instead of the public one.",
)

_ATTESTING: Final = together(
    Section.ATTESTATIONS.option(
        "--attest", is_flag=True, help="Attach an attestation to each package, signed with the CI system's identity."
    ),
    Section.ATTESTATIONS.option(
        "--attestation",
        "attestations",
        multiple=True,
        metavar="FILE",
        help="Attach an existing attestation, or those in a folder; may be given more than once.",
    ),
    Section.ATTESTATIONS.option(
        "--attestation-dir", metavar="FOLDER", help="Also write the attestations to this folder, as FILE.sigstore.json."
    ),
    Section.ATTESTATIONS.option(
        "--store-github-attestation", is_flag=True, help="Also store the attestations at GitHub; needs GITHUB_TOKEN."
    ),
    trust_config_option,
)
"""What goes with the packages."""

insecure_option = Section.CONNECTION.option(
    "--allow-insecure-host",
    "insecure_hosts",
    multiple=True,
    metavar="HOST",
    help="Allow credentials over plain HTTP to this host, and do not verify its certificate; may be given more than "
    "once.",
)


def timeout_option(default: float) -> Callable[[F], F]:
    """``--timeout``."""
    return Section.CONNECTION.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=default,
        metavar="SECONDS",
        help="Fail an attempt after this long without progress.",
    )


_CONNECTION: Final = together(insecure_option, timeout_option(120), retry_options)
"""How servers are spoken to."""

json_option = Section.OUTPUT.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document to standard output."
)

_QUIET: Final = Section.OUTPUT.option(
    "-q", "--quiet", is_flag=True, help="Print only the summary, and what went wrong."
)

_VERBOSE: Final = Section.OUTPUT.option(
    "-v", "--verbose", count=True, help="Say which credential is used, and what is retried. Twice: log every request."
)

_OUTPUT: Final = together(
    json_option,
    Section.OUTPUT.option("--no-progress", is_flag=True, help="Print plain lines, even on a terminal."),
    _QUIET,
    _VERBOSE,
    Section.OUTPUT.option(
        "--ci",
        type=click.Choice(CHOICES),
        envvar="KEELBACK_CI",
        default="auto",
        help="The CI system that gets annotations, a summary and outputs.",
    ),
    Section.OUTPUT.option(
        "--ci-outputs", metavar="FILE", help="Write the results to a file, as KEELBACK_NAME=value lines."
    ),
)
"""What is shown of a run."""


def publish_options(dry_run_envvar: str | None = None) -> Callable[[F], F]:
    """What every command that sends archives understands; *dry_run_envvar* is the variable for ``--dry-run``."""
    sending = (_dry_run(dry_run_envvar), _SKIP_EXISTING, verify_options, _SUBDIR, _ATTESTING)
    return together(*sending, store_options, trusted_options, _jobs(8, "Uploads at once."), _CONNECTION, _OUTPUT)


def transfer_options(jobs: int, text: str, *, verifying: bool = False) -> Callable[[F], F]:
    """What every command that takes archives out of a channel understands.

    Args:
        jobs: how many archives at once, if the user does not say.
        text: the help of ``--jobs``.
        verifying: whether there is an index to wait for.
    """
    moving = (_dry_run(), _SKIP_EXISTING, *([verify_options] if verifying else []))
    how = (store_options, trusted_options, _jobs(jobs, text), _CONNECTION, bucket_options, _OUTPUT)
    return together(*moving, *how)


def subdirs_option(text: str, *, default: str) -> Callable[[F], F]:
    """``--subdir``; *default* says what is taken without it."""
    return Section.PLAIN.option(
        "-p",
        "--subdir",
        "--platform",
        "subdirs",
        multiple=True,
        metavar="SUBDIR",
        help=f"{text}; may be given more than once.  [default: {default}]",
    )


def solving_options(*, with_deps: str, channel: str) -> Callable[[F], F]:
    """``--with-deps``, with the help *with_deps*; and what the dependencies are solved with: *channel* and others."""
    return together(
        Section.PLAIN.option("--with-deps", is_flag=True, help=with_deps),
        Section.PLAIN.option(
            "-c", "--channel", "channels", multiple=True, metavar="URL", help=f"{channel}; may be given more than once."
        ),
        Section.PLAIN.option(
            "--virtual-package",
            "virtual_packages",
            multiple=True,
            metavar="NAME=VERSION",
            help="Virtual package of the target machine, such as __cuda=12.4; may be given more than once.",
        ),
    )


def requiring_options(verb: str) -> Callable[[F], F]:
    """What says which attestations a package must have; *verb* is what happens to it then."""
    return together(
        Section.ATTESTATIONS.option(
            "--require-attestation",
            metavar="POLICY",
            help=f"{verb} only packages attested by whom POLICY names, such as repo:OWNER/NAME.",
        ),
        Section.ATTESTATIONS.option(
            "--attestation",
            "attestations",
            multiple=True,
            metavar="FILE",
            help="Look for attestations here first: a file, or a folder with FILE.sigstore.json; may be given more "
            "than once.",
        ),
        trust_config_option,
    )


def username_option(text: str) -> Callable[[F], F]:
    """``--username``."""
    return Section.CREDENTIALS.option("--username", metavar="NAME", help=text)


def credential_options(of: str = "") -> Callable[[F], F]:
    """A token, or a user with a password; *of* says of which channel, if there are two."""
    whose = of and f" of {of}"
    return together(
        secret_options("api-key", "-a", what=f"token{whose}"),
        username_option(f"The user{whose}, with a password."),
        secret_options("password", what="password"),
    )


def force_option(*names: str, envvar: str | None = None) -> Callable[[F], F]:
    """``--force``."""
    text = "Replace files that exist with other bytes."
    return Section.TRANSFER.option(*names, "--force", is_flag=True, envvar=envvar, help=text)


def _dry_run(envvar: str | None = None) -> Callable[[F], F]:
    text = "Show what would be transferred, without doing it."
    return Section.TRANSFER.option("-n", "--dry-run", is_flag=True, envvar=envvar, help=text)


def _jobs(default: int, text: str) -> Callable[[F], F]:
    return Section.CONNECTION.option(
        "-j", "--jobs", type=click.IntRange(1, 64), default=default, metavar="N", help=text
    )


index_options = together(
    store_options,
    trusted_options,
    _jobs(8, "Packages of a bucket read at once."),
    _CONNECTION,
    bucket_options,
    json_option,
    _QUIET,
    _VERBOSE,
)
"""What a command that writes only an index understands."""
