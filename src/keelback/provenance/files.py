"""Attestations in files: in a folder of their own, or beside the package."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive.source import reason
from keelback.attestationfiles import CURRENT, KEPT, LARGEST, UNPINNED, bundles_in, claims_of, read_start
from keelback.durable import rename, write_synced
from keelback.errors import AttestationError, ChannelError, UsageError
from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_BESIDE: Final = (KEPT, UNPINNED, CURRENT)


def read_bundles(file: Path) -> list[bytes]:
    """The bundles in *file*.

    Raises:
        keelback.errors.UsageError: it cannot be read.
        AttestationError: it holds something else.
    """
    try:
        return _read(file)
    except (OSError, ValueError) as error:  # ValueError: its name has a zero byte
        raise UsageError(f"the attestation {printable(str(file))} cannot be read: {reason(error)}") from None


def _read(file: Path) -> list[bytes]:
    document = read_start(file, LARGEST)
    if document is None:
        raise FileNotFoundError("there is no such file")
    bundles = bundles_in(document, printable(str(file)))
    if not bundles:
        raise AttestationError(f"{printable(str(file))} has no attestation in it", code="no-attestation")
    return bundles


def files_beside(package: Path) -> list[Path]:
    """The files with attestations beside *package*: ``NAME.sigstore.json``, ``NAME.v0.sigs``, ``NAME.sigs``."""
    files = (package.with_name(package.name + suffix) for suffix in _BESIDE)
    return [file for file in files if file.is_file()]


class GivenAttestations:
    """The attestations that a user names: bundles, files with bundles in them, and folders of such files.

    Args:
        given: paths, and bundles as bytes. Files are read now; of a folder, ``FILENAME.sigstore.json`` when it is
            asked for.

    Raises:
        keelback.errors.UsageError: a path is not there, or cannot be read.
        AttestationError: a file holds something else.
    """

    def __init__(self, given: Iterable[str | Path | bytes]) -> None:
        self._bundles: list[bytes] = []
        self._folders: list[Path] = []
        for one in given:
            if isinstance(one, bytes):
                self._bundles.append(one)
            elif Path(one).is_dir():
                self._folders.append(Path(one))
            else:
                self._bundles += read_bundles(Path(one))
        self._by_filename = defaultdict[str, list[bytes]](list)
        for bundle in self._bundles:
            for filename in {claim.filename for claim in claims_of(bundle)}:
                self._by_filename[filename].append(bundle)

    def of(self, filename: str) -> list[bytes]:
        """The bundles for the file *filename*, by what they claim; one that is given alone is taken to be meant for it.

        Raises:
            AttestationError: the file in a folder cannot be read, or holds something else.
        """
        alone = self._bundles if len(self._bundles) == 1 else []
        found = list(self._by_filename.get(filename, alone))
        for file in (folder / f"{filename}{KEPT}" for folder in self._folders):
            if file.is_file():
                found += read_kept(file)
        return found


def read_kept(file: Path) -> list[bytes]:
    """The bundles in *file*, of which the user knows nothing.

    Raises:
        AttestationError: it holds something else; code ``disk``: it cannot be read.
    """
    try:
        return _read(file)
    except OSError as error:
        raise AttestationError(f"{printable(str(file))} cannot be read: {reason(error)}", code="disk") from None


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
        target = self._folder / f"{filename}{KEPT}"
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
