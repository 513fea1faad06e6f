"""Has a server try a credential before ``keelback auth login`` stores it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx2

from keelback.channels.buckets.keycheck import bucket_channel
from keelback.channels.identity import Identity, whoami
from keelback.channels.session import Session
from keelback.cli.auth.common import url_path
from keelback.diagnosis.asking import read_channel
from keelback.diagnosis.subject import SubjectKind, understood
from keelback.errors import CredentialRefused, KeelbackError
from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.channels.session import BucketOptions
    from keelback.credentials.kinds import Credential
    from keelback.diagnosis.asking import Reading
    from keelback.transport import Client

_NOTHING_STORED: Final = "Nothing was stored."


def verified(client: Client, place: str, credential: Credential, buckets: BucketOptions | None = None) -> Identity:
    """What the server at *place* says of *credential*: as its own endpoint for that does, else as the channel there.

    Args:
        client: sends the requests.
        place: a host, or a URL.
        credential: one of a kind that is taken there.
        buckets: where buckets are.

    Raises:
        CredentialRefused: it does not take the credential.
        KeelbackError: no answer came, or one that says nothing about the credential.
    """
    try:
        bucket = bucket_channel(place)
        if bucket is not None:
            identity = bucket.ask(Session(client, list, buckets=buckets), credential)
        else:
            identity = whoami(client, place, credential)
        if identity.valid is None:
            identity = _tried_on_channel(client, place, credential) or identity
    except KeelbackError as error:
        error.hint = f"{_NOTHING_STORED} {error.hint}".strip()
        if error.code != "plain-http":
            error.hint += " --no-verify stores it without asking the server."
        raise
    if identity.valid is False:
        raise CredentialRefused(
            f"{place} does not take the {credential.noun}: {identity.said}",
            hint=f"{_NOTHING_STORED} The credential may have expired, be mistyped, or belong to another server.",
        )
    return identity


def _tried_on_channel(client: Client, place: str, credential: Credential) -> Identity | None:
    """What comes of reading the channel at *place*, without and with *credential*; ``None`` where there is none."""
    if not isinstance(credential, httpx2.Auth) or not url_path(place):
        return None
    where = understood(place)
    if where.sort is not SubjectKind.CHANNEL:
        return None
    without = _answered(read_channel(client, where.url, None))
    return _what_it_means(where.url, without, _answered(read_channel(client, where.url, credential)))


def _what_it_means(url: str, without: Reading, reading: Reading) -> Identity:
    if reading.elsewhere:
        return Identity(None, said=f"the channel's index is at {reading.elsewhere}, where no credential is sent")
    if reading.refused:
        return Identity(valid=False, said=f"{reading.status}: {reading.said}".rstrip(": "))
    if not reading.ok:
        answer = "a web page" if reading.page else reading.status
        return Identity(None, said=f"{redact(url)} answered {answer} in place of a channel's index")
    if without.ok:
        return Identity(None, said="the channel can be read without a credential, too")
    return Identity(valid=True, permits=("read",))


def _answered(reading: Reading) -> Reading:
    """*reading*, to which an answer came.

    Raises:
        KeelbackError: none did.
    """
    if reading.error is not None:
        error = KeelbackError(reading.error.message, hint=reading.error.hint, code=reading.error.code)
        error.exit_status = reading.error.exit_status
        raise error
    return reading
