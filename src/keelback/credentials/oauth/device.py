"""Logs in with a code that is typed into a browser on any machine (RFC 8628)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keelback.credentials.oauth.endpoints import FAILED, checked_endpoint, error_words, object_in, post_form
from keelback.credentials.oauth.settings import Prompt
from keelback.credentials.oauth.tokens import SECONDS, TokenEndpointBusy, TokenRefused, request_tokens
from keelback.errors import CredentialError, TransportError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.oauth.discovery import Provider
    from keelback.credentials.oauth.settings import Interaction, Settings
    from keelback.credentials.oauth.tokens import Tokens
    from keelback.transport import Client

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL: Final = 5.0
"""Seconds between two questions where the server does not say (RFC 8628, section 3.2), and what ``slow_down`` adds to
them (section 3.5)."""
_LONGEST_INTERVAL: Final = 60.0
_LIFE: Final = 900.0
_LONGEST_LIFE: Final = 3600.0
"""Seconds that a code is good for where the server does not say, and at most."""
_LONGEST_CODE: Final = 64
_TROUBLE_IN_A_ROW: Final = 5


@dataclass(frozen=True)
class _Device:
    """What the device authorization endpoint gave (RFC 8628, section 3.2)."""

    code: Secret
    user_code: str
    url: str
    complete_url: str
    life: float
    interval: float


def device_tokens(
    client: Client, provider: Provider, settings: Settings, person: Interaction, now: Callable[[], float]
) -> Tokens:
    """The tokens of a person who types a code into a browser.

    Raises:
        CredentialError: code ``no-oauth``: the server gives no such codes; ``login-failed``: the person said no, or did
            nothing while the code was good, or the server gave what cannot be used.
        TransportError: the server could not be reached, several times in a row.
    """
    device = _ask_for_code(client, provider, settings)
    opened = person.open_browser(device.complete_url)
    person.show(Prompt(device.url, device.user_code, opened))
    grant = {"grant_type": _GRANT, "device_code": device.code.reveal()}
    waited, interval, trouble = 0.0, device.interval, 0
    while waited + interval <= device.life:
        person.wait(interval)
        waited += interval
        try:
            return request_tokens(client, provider.token_endpoint, grant, settings.application, now=now)
        except TokenRefused as error:
            trouble = 0
            if error.error == "slow_down":
                interval += _INTERVAL
            elif error.error != "authorization_pending":
                raise _refused(error, provider) from None
        except (TokenEndpointBusy, TransportError) as error:
            trouble += 1
            if trouble == _TROUBLE_IN_A_ROW or getattr(error, "code", "") == "plain-http":
                raise
            interval = min(interval * 2, max(interval, _LONGEST_INTERVAL))  # as section 3.5 has it for time-outs
    raise _too_late(provider)


def _ask_for_code(client: Client, provider: Provider, settings: Settings) -> _Device:
    endpoint = provider.device_authorization_endpoint
    if endpoint is None:
        raise CredentialError(
            f"{provider.host} does not offer logins with a device code.",
            hint="Log in with the browser of this machine: --oauth-flow auth-code.",
            code="no-oauth",
        )
    form = {"scope": " ".join(settings.scopes)}
    answer = post_form(client, endpoint, form, settings.application, seconds=SECONDS)
    members = object_in(answer, f"the device endpoint of {provider.host}")
    if not answer.ok:
        words = error_words(members) or f"HTTP {answer.status}"
        raise CredentialError(f"{provider.host} gave no device code: {words}", code=FAILED)
    return _device(members, provider)


def _device(members: Mapping[str, Any], provider: Provider) -> _Device:
    device_code, user_code = members.get("device_code"), members.get("user_code")
    if not isinstance(device_code, str) or not device_code:
        raise CredentialError(f"{provider.host} gave no device_code.", code=FAILED)
    if not isinstance(user_code, str) or not user_code.isprintable() or not 1 <= len(user_code) <= _LONGEST_CODE:
        raise CredentialError(f"{provider.host} gave no user_code that could be typed.", code=FAILED)
    url = checked_endpoint(members.get("verification_uri"), "verification_uri", provider.issuer)
    complete = members.get("verification_uri_complete")
    return _Device(
        code=Secret(device_code),
        user_code=user_code,
        url=url,
        complete_url=url
        if complete is None
        else checked_endpoint(complete, "verification_uri_complete", provider.issuer),
        life=_number(members.get("expires_in"), _LIFE, _LONGEST_LIFE),
        interval=_number(members.get("interval"), _INTERVAL, _LONGEST_INTERVAL),
    )


def _number(value: object, default: float, most: float) -> float:
    """*value* between 1 and *most*, and *default* where it is no number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return default
    return float(min(max(value, 1), most))


def _refused(error: TokenRefused, provider: Provider) -> CredentialError:
    if error.error == "expired_token":
        return _too_late(provider)
    if error.error == "access_denied":
        return CredentialError(f"{provider.host}: the login was refused in the browser.", code=FAILED)
    return error


def _too_late(provider: Provider) -> CredentialError:
    return CredentialError(
        f"{provider.host}: the login was not confirmed while its code was good.", hint="Log in again.", code=FAILED
    )
