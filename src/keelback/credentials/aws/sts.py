"""What a security token service is asked, and what it answers (AWS STS API Reference, version 2011-06-15)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from keelback.credentials.aws.keys import Keys
from keelback.credentials.kinds import S3Credentials
from keelback.transport import servers_words
from keelback.transport.dates import iso_time
from keelback.xmltexts import NotXMLError, texts

if TYPE_CHECKING:
    from keelback.credentials.oidc.asking import Reply
    from keelback.transport import Answer

HEADERS: Final = {
    "content-type": "application/x-www-form-urlencoded; charset=utf-8",
    "accept": "application/xml",
}
_ACCESS_KEY_ID: Final = re.compile(r"[A-Za-z0-9_]{1,128}")
_ERROR_CODE: Final = re.compile(r"[A-Za-z.]{1,64}")


def form(action: str, parameters: dict[str, str]) -> bytes:
    """The body of the request for *action*."""
    return urlencode({"Action": action, "Version": "2011-06-15", **parameters}).encode()


def keys_in(reply: Reply, action: str) -> Keys:
    """The keys in the *reply* to *action*; they always expire.

    Raises:
        CredentialError: there are none in it. Nothing of it is shown.
    """
    try:
        found = texts(reply.answer.content)
    except NotXMLError as error:
        raise reply.useless(f"what is not the XML of a security token service: {error}") from None

    def value(name: str) -> str:
        return found.get(f"{action}Response/{action}Result/Credentials/{name}", "")

    access_key_id = value("AccessKeyId")
    if not _ACCESS_KEY_ID.fullmatch(access_key_id):
        raise reply.useless("XML that has no valid 'AccessKeyId'")
    secret_access_key, session_token = (reply.checked(value(name)) for name in ("SecretAccessKey", "SessionToken"))
    expires_at = iso_time(value("Expiration"))
    if expires_at is None:
        raise reply.useless("XML that has no valid 'Expiration'")
    return Keys(S3Credentials(access_key_id, secret_access_key, session_token), expires_at)


def error_code(answer: Answer) -> str:
    """The word by which the service calls its error; empty where there is none."""
    try:
        code = texts(answer.content).get("ErrorResponse/Error/Code", "")
    except NotXMLError:
        return ""
    return code if _ERROR_CODE.fullmatch(code) else ""


def words(answer: Answer) -> str:
    """The service's own words for an error, with that word before them; redacted."""
    return ": ".join(filter(None, (error_code(answer), servers_words(answer))))
