"""Attestations in files: in a folder of their own, or beside the package."""

from __future__ import annotations

import secrets
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive.source import reason
from keelback.durable import rename, write_synced
from keelback.errors import AttestationError, ChannelError, UsageError
from keelback.findings import printable
from keelback.provenance.bundle import MAX_DOCUMENT, bundles_in

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIX: Final = ".sigstore.json"
"""What is put behind a file name for the one bundle of that file, as Sigstore's own tools do."""
SIDECARS: Final = (SUFFIX, ".v0.sigs", ".sigs")
"""Where attestations may be beside a file: the latter two as channels serve them (prefix.dev; CEP 50)."""


def read_bundles(file: Path) -> list[bytes]:
    """The bundles in *file*.

    Raises:
        keelback.errors.UsageError: it cannot be read.
        AttestationError: it holds something else.
    """
    shown = printable(str(file))
    try:
        with file.open("rb") as stream:
            document = stream.read(MAX_DOCUMENT + 1)
    except (OSError, ValueError) as error:  # ValueError: its name has a zero byte
        raise UsageError(f"the attestation {shown} cannot be read: {reason(error)}") from None
    bundles = bundles_in(document, shown)
    if not bundles:
        raise AttestationError(f"{shown} is empty: there is no attestation in it", code="no-attestation")
    return bundles


def bundles_beside(package: Path) -> list[bytes]:
    """The bundles in files beside *package*: ``NAME.sigstore.json``, ``NAME.v0.sigs``, ``NAME.sigs``; none is no error.

    Raises as :func:`read_bundles`.
    """
    files = (package.with_name(package.name + suffix) for suffix in SIDECARS)
    return [bundle for file in files if file.is_file() for bundle in read_bundles(file)]


class AttestationFolder:
    """A folder that takes the attestations of one run, each as ``FILENAME.sigstore.json``.

    Args:
        folder: made when the first one is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def check(self, filenames: Iterable[str]) -> None:
        """See that each of *filenames* can have a file of its own; call it before anything is signed.

        Raises:
            keelback.errors.UsageError: two packages, of different subdirs, have one name.
        """
        twice = [name for name, count in Counter(filenames).items() if count > 1]
        if twice:
            raise UsageError(
                f"two packages are called {printable(twice[0])}, and their attestations would be one file",
                hint="Give each subdir a run, and a folder for attestations, of its own.",
            )

    def write(self, filename: str, bundle: bytes) -> Path:
        """Write the *bundle* of the file *filename*, in the place of one that is there; safe from several threads.

        Returns:
            where it is.

        Raises:
            AttestationError: code ``disk``: it cannot be written.
        """
        if Path(filename).name != filename or filename in ("", ".."):
            raise AttestationError(f"{filename} is no file name: no attestation is written there", code="disk")
        target = self._folder / f"{filename}{SUFFIX}"
        unfinished = self._folder / f".{filename}.{secrets.token_hex(4)}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                write_synced(unfinished, bundle + b"\n")
                rename(unfinished, target)
            finally:
                unfinished.unlink(missing_ok=True)
        except (OSError, ChannelError) as error:  # ChannelError: on Windows, somebody has it open
            raise AttestationError(
                f"the attestation {printable(str(target))} cannot be written: {reason(error)}",
                hint="Choose a folder in which you may write, with --attestation-dir.",
                code="disk",
            ) from None
        return target
