"""JSON objects with keys in them, as processes, containers and machines give them.

("AWS SDKs and Tools Reference Guide": "Process credential provider", "Container credential provider"; Amazon EC2 User
Guide, "Retrieve security credentials from instance metadata".)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.credentials.aws.keys import Keys, checked_keys
from keelback.errors import CredentialError
from keelback.secret import Secret
from keelback.transport.dates import iso_time

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST: Final = 8
"""Characters that a secret has at least. What is one is masked wherever it turns up, and nobody else is to choose an
ordinary word for that."""


def keys_in(
    document: object, *, token: str, source: str, useless: Callable[[str], CredentialError], expire: bool = False
) -> Keys:
    """The keys in *document*.

    Args:
        document: what JSON gave.
        token: the member that is the session token.
        source: where it came from, as a person would say it.
        useless: makes the error for a document that has *what* it is given in the place of keys.
        expire: whether keys have to say when they expire.

    Raises:
        CredentialError: there are none in it. Nothing of it is shown.
    """
    if not isinstance(document, dict):
        raise useless("what is not a JSON object")
    found = {name: document.get(name) for name in ("AccessKeyId", "SecretAccessKey", token)}
    secrets = {
        name: Secret(value, source)
        for name, value in found.items()
        if name != "AccessKeyId" and isinstance(value, str) and len(value) >= _SHORTEST
    }
    access_key_id = found["AccessKeyId"]
    if not isinstance(access_key_id, str) or "SecretAccessKey" not in secrets:
        raise useless("JSON that has no 'AccessKeyId' or no 'SecretAccessKey'")
    if found[token] and token not in secrets:
        raise useless(f"JSON whose {token!r} can be none")
    expires_at = _expiry(document.get("Expiration"), useless, needed=expire)
    try:
        credentials = checked_keys(
            access_key_id,
            secrets["SecretAccessKey"],
            secrets.get(token),
            id_source=source,
        )
    except CredentialError as error:
        raise useless(f"keys that can be none: {error.message[0].lower()}{error.message[1:].rstrip('.')}") from None
    return Keys(credentials, expires_at)


def _expiry(value: object, useless: Callable[[str], CredentialError], *, needed: bool) -> float | None:
    if value in (None, "") and not needed:
        return None
    when = iso_time(value)
    if when is None:
        raise useless("JSON that has no valid 'Expiration'")
    return when
