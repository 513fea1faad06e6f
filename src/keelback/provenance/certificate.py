"""Who signed: the identity in the certificate that Sigstore's authority gave to a CI job.

(Fulcio, "Sigstore OID information": the extensions below 1.3.6.1.4.1.57264.1; from .8 on, DER-encoded UTF8Strings.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from keelback.errors import AttestationError

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.x509 import Certificate, SubjectAlternativeName

_ARC: Final = "1.3.6.1.4.1.57264.1"
_OTHER_NAME: Final = f"{_ARC}.7"
_EXTENSIONS: Final = {
    "issuer": 8,
    "signer_uri": 9,
    "source_uri": 12,
    "source_digest": 13,
    "source_ref": 14,
    "owner_uri": 16,
    "config_uri": 18,
    "config_digest": 19,
    "trigger": 20,
    "run_uri": 21,
}
_UTF8_STRING: Final = 0x0C


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """The identity that a certificate was given to; what the certificate does not have is ``None``.

    Attributes:
        name: the identity itself, of the issuer's own form: a workflow's URL, a person's e-mail address (the subject's
            alternative name).
        issuer: who vouched for it: the URL of the CI system's identity provider.
        source_uri: the repository that the job ran for.
        source_digest: the commit.
        source_ref: the branch or tag, as a full name: ``refs/tags/v1``.
        owner_uri: to whom the repository belongs.
        config_uri: the file that defines the workflow, and of which version: ``…/release.yml@refs/tags/v1``.
        config_digest: the commit of that file.
        signer_uri: the file whose job signed: another one where that workflow calls others.
        trigger: what started it: ``push``.
        run_uri: the run itself.
        issued: when the certificate was issued: at most ten minutes before the signature was made.
        expires: until when it could be used.
    """

    name: str
    issuer: str | None
    source_uri: str | None = None
    source_digest: str | None = None
    source_ref: str | None = None
    owner_uri: str | None = None
    config_uri: str | None = None
    config_digest: str | None = None
    signer_uri: str | None = None
    trigger: str | None = None
    run_uri: str | None = None
    issued: datetime
    expires: datetime

    @classmethod
    def of(cls, certificate: Certificate) -> Self:
        """The identity in *certificate*, whose chain somebody else has verified.

        Raises:
            AttestationError: code ``attestation-certificate``: it has none, or several, or one that cannot be read.
        """
        values = {name: _extension(certificate, number) for name, number in _EXTENSIONS.items()}
        return cls(
            name=_alternative_name(certificate),
            issued=certificate.not_valid_before_utc,
            expires=certificate.not_valid_after_utc,
            **values,
        )


def _alternative_name(certificate: Certificate) -> str:
    from cryptography import x509  # noqa: PLC0415 - comes with the extra

    try:
        names: SubjectAlternativeName = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except (x509.ExtensionNotFound, ValueError):
        raise _bad("it names nobody (no subject alternative name)") from None
    found = [
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *names.get_values_for_type(x509.RFC822Name),
        *(
            other.value.decode("utf-8", "replace")
            for other in names.get_values_for_type(x509.OtherName)
            if other.type_id.dotted_string == _OTHER_NAME
        ),
    ]
    if len(found) != 1 or len(list(names)) != 1 or not found[0]:
        raise _bad("it does not name one identity")
    return found[0]


def _extension(certificate: Certificate, number: int) -> str | None:
    from cryptography import x509  # noqa: PLC0415 - comes with the extra

    oid = x509.ObjectIdentifier(f"{_ARC}.{number}")
    try:
        extension = certificate.extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None
    except ValueError:  # an extension of another kind that cannot be read
        raise _bad("its extensions cannot be read") from None
    if not isinstance(extension, x509.UnrecognizedExtension):
        raise _bad(f"its extension {oid.dotted_string} is of another kind")
    return _utf8_string(extension.value, oid.dotted_string)


def _utf8_string(der: bytes, oid: str) -> str:
    """The text of a DER-encoded UTF8String."""
    content = _content(der)
    if content is None:
        raise _bad(f"its extension {oid} is not a UTF8String")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _bad(f"its extension {oid} is not UTF-8") from None


def _content(der: bytes) -> bytes | None:
    """What a UTF8String holds; the length is in its shortest form (ITU-T X.690, sections 8.1.3 and 10.1)."""
    if len(der) < 2 or der[0] != _UTF8_STRING:
        return None
    length, start = der[1], 2
    if length >= 0x80:
        start += length - 0x80
        number = der[2:start]
        length = int.from_bytes(number, "big")
        if length < 0x80 or number[0] == 0:
            return None
    return der[start:] if start + length == len(der) else None


def _bad(why: str) -> AttestationError:
    return AttestationError(
        f"the certificate of the attestation cannot be used: {why}",
        hint="Only attestations signed in the public Sigstore way, by a CI job or a person, can be verified.",
        code="attestation-certificate",
    )
