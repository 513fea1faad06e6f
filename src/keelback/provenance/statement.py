"""What an attestation says: this file, with this hash, was published to that channel (CEP 27; in-toto Statement v1)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

from keelback.archive.findings import Unreadable, quoted
from keelback.archive.strictjson import parse_object
from keelback.channels.naming import is_same_channel
from keelback.errors import AttestationError, UsageError
from keelback.hosts import scheme_and_host
from keelback.secret import redact

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://schemas.conda.org/attestations-publish-1.schema.json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
"""The type of the payload in which a statement is signed (in-toto, "Envelope")."""

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_TOKEN_IN_PATH: Final = re.compile(r"\A/t/[^/]+(?=/|\Z)")
_LONGEST_URL: Final = 2083
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Statement:
    """A publish attestation, as CEP 27 defines it.

    Attributes:
        filename: the file name of the package, with its extension.
        sha256: its SHA-256, in lower-case hexadecimal.
        channel: the URL of the channel to which it is published, without a slash at its end; ``None`` where the
            statement names none.
    """

    filename: str
    sha256: str
    channel: str | None = None

    def to_json(self) -> bytes:
        """The statement as it is signed."""
        predicate = None if self.channel is None else {"targetChannel": self.channel}
        return json.dumps(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": self.filename, "digest": {"sha256": self.sha256}}],
                "predicateType": PREDICATE_TYPE,
                "predicate": predicate,
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """The statement that *payload* is; members that CEP 27 does not know are passed over, as in-toto wants it.

        Raises:
            AttestationError: code ``attestation-statement``: it is none, or not one of CEP 27.
        """
        try:
            document = parse_object(payload, "the statement")
        except Unreadable as error:
            raise _not_cep_27(error.message) from None
        if document.get("_type") != STATEMENT_TYPE:
            raise _not_cep_27(f"its _type is {quoted(document.get('_type'))}, not {STATEMENT_TYPE}")
        if document.get("predicateType") != PREDICATE_TYPE:
            raise _not_cep_27(f"its predicateType is {quoted(document.get('predicateType'))}, not {PREDICATE_TYPE}")
        filename, sha256 = _subject(document.get("subject"))
        return cls(filename, sha256, _target(document.get("predicate")))

    def check(self, *, filename: str, sha256: str, channel: str | None) -> None:
        """See that this speaks of the file *filename* with the hash *sha256*, and of no *channel* but this one.

        A statement that names no channel holds for any: CEP 27 leaves the predicate to the publisher.

        Args:
            filename: compared byte for byte.
            sha256: in hexadecimal.
            channel: the URL of the channel that the package comes from, under whichever of its names; ``None``: any
                will do.

        Raises:
            AttestationError: code ``attestation-name``, ``attestation-digest`` or ``attestation-channel``.
        """
        if self.filename != filename:
            raise AttestationError(
                f"{filename}: the attestation is for another file, {quoted(self.filename)}",
                hint="Give the attestation of this file.",
                code="attestation-name",
            )
        if self.sha256 != sha256.lower():
            raise AttestationError(
                f"{filename}: the attestation is for other bytes: for sha256 {self.sha256}, and the file has {sha256}",
                hint="Do not use the file before you know why: it was built again, damaged or tampered with.",
                code="attestation-digest",
            )
        if channel is not None and self.channel is not None and not _is_same(self.channel, channel):
            raise AttestationError(
                f"{filename}: the attestation is for another channel, {quoted(self.channel)}, and not for {channel}",
                hint="Get the package from the channel that it was published to.",
                code="attestation-channel",
            )


def target_channel(url: str) -> str:
    """*url* as a statement names a channel: without a slash at its end, and without anything that is secret.

    The statement is public for ever: a name and a password in the URL, and a token in its path (``/t/TOKEN/``), are
    left out, and so is a query.

    Raises:
        keelback.errors.UsageError: it is no URL of a channel.
    """
    if not all(scheme_and_host(url)) or len(url) > _LONGEST_URL or not url.isprintable():
        raise UsageError(f"{quoted(redact(url))} is no URL of a channel", hint="Give one like https://prefix.dev/NAME.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UsageError(f"{quoted(redact(url))} is no URL of a channel") from None
    path = _TOKEN_IN_PATH.sub("", parts.path).rstrip("/")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def _subject(subjects: Any) -> tuple[str, str]:
    """File name and SHA-256 of the one subject."""
    if not isinstance(subjects, list) or len(subjects) != 1:
        count = len(subjects) if isinstance(subjects, list) else "no list of them"
        raise _not_cep_27(f"it has to have one subject, and has {count}")
    subject = subjects[0] if isinstance(subjects[0], dict) else {}
    name, digest = subject.get("name"), subject.get("digest")
    if not isinstance(name, str) or not name:
        raise _not_cep_27("its subject has no name")
    if not isinstance(digest, dict) or set(digest) != {"sha256"}:
        raise _not_cep_27("the digest of its subject is not one sha256 and nothing else")
    sha256 = digest["sha256"]
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise _not_cep_27(f"the sha256 of its subject is {quoted(sha256)}")
    return name, sha256.lower()


def _target(predicate: Any) -> str | None:
    if predicate is None:
        return None
    url = predicate.get("targetChannel") if isinstance(predicate, dict) else None
    if not isinstance(url, str) or not all(scheme_and_host(url)) or len(url) > _LONGEST_URL or not url.isprintable():
        raise _not_cep_27("its predicate is there, and has no URL as its targetChannel")
    if url.endswith("/"):
        raise _not_cep_27(f"its targetChannel ends with a slash: {quoted(url)}")
    return url


def _is_same(one: str, other: str) -> bool:
    return is_same_channel(_without_default_port(one), _without_default_port(other))


def _without_default_port(url: str) -> str:
    """*url*, which may be anything, without the port that its scheme has anyway."""
    try:
        parts = urlsplit(url)
        if parts.port is None or parts.port != _DEFAULT_PORTS.get(parts.scheme.rpartition("+")[2]):
            return url
    except ValueError:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0]))


def _not_cep_27(why: str) -> AttestationError:
    return AttestationError(
        f"the attestation is no publish attestation (CEP 27): {why}",
        hint="Give an attestation that was made for conda packages.",
        code="attestation-statement",
    )
