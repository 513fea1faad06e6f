"""Keys that were given by options or in variables; they have to be complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from keelback.credentials.aws.keys import KeySource, checked_keys
from keelback.errors import UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS: Final = ("--access-key-id", "--secret-access-key", "--session-token")
_RATTLERS: Final = ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_SESSION_TOKEN")
_AWS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_OLD_TOKEN: Final = "AWS_SECURITY_TOKEN"  # noqa: S105 - the name of a variable


class GivenKeys(Protocol):
    """What the user said; ``None`` for what was left out."""

    @property
    def access_key_id(self) -> str | None:
        """The ID of the keys."""

    @property
    def secret_access_key(self) -> Secret | None:
        """The secret of the keys."""

    @property
    def session_token(self) -> Secret | None:
        """What goes with keys that are good for a time."""


@dataclass(frozen=True)
class _Parts:
    """An ID, a secret and a token, each as somebody gave it, or not; and what each was given by."""

    access_key_id: str | None
    secret: Secret | None
    token: Secret | None
    names: tuple[str, str, str]

    def keys(self) -> KeySource | None:
        """The keys that they are; ``None`` where none was given.

        Raises:
            UsageError: one that is needed is missing.
            CredentialError: one of them can be none.
        """
        given = (self.access_key_id, self.secret, self.token)
        if not any(given):
            return None
        for value, missing in zip(given[:2], self.names, strict=False):
            if not value:
                there = " and ".join(name for part, name in zip(given, self.names, strict=True) if part)
                raise UsageError(
                    f"{missing} is missing, which belongs to {there}",
                    hint=f"Give {self.names[0]} and {self.names[1]}, or neither.",
                )
        assert self.access_key_id is not None  # noqa: S101 - as was made sure of
        assert self.secret is not None  # noqa: S101 - likewise
        is_variable = not any(name.startswith("--") for name in self.names[:2])
        source = f"{'the variables ' if is_variable else ''}{self.names[0]} and {self.names[1]}"
        credentials = checked_keys(self.access_key_id, self.secret, self.token, id_source=self.names[0])
        return KeySource.fixed(source, credentials)


def given_keys(options: GivenKeys, environ: Mapping[str, str]) -> KeySource | None:
    """The keys in *options*, each part of them that is left out from rattler-build's variable for it.

    A session token in a variable does not belong to keys that are both in *options*.

    Raises:
        UsageError: a part is missing.
        CredentialError: a part can be none.
    """
    access_key_id, secret, token = (environ.get(name) or None for name in _RATTLERS)
    if options.access_key_id and options.secret_access_key:
        token = None
    said = (options.access_key_id, options.secret_access_key, options.session_token)
    variables = (access_key_id, secret, token)
    first, second, third = (
        option if by_option else variable if by_variable else f"{option} or {variable}"
        for by_option, by_variable, option, variable in zip(said, variables, _OPTIONS, _RATTLERS, strict=True)
    )
    return _Parts(
        options.access_key_id or access_key_id,
        options.secret_access_key or _secret(secret, _RATTLERS[1]),
        options.session_token or _secret(token, _RATTLERS[2]),
        (first, second, third),
    ).keys()


def aws_variables(environ: Mapping[str, str]) -> KeySource | None:
    """The keys in the variables of the AWS SDKs; raises as :func:`given_keys`."""
    access_key_id, secret, token = (environ.get(name) or None for name in _AWS)
    token_name = _AWS[2]
    if token is None and environ.get(_OLD_TOKEN):
        token, token_name = environ[_OLD_TOKEN], _OLD_TOKEN
    names = (_AWS[0], _AWS[1], token_name)
    return _Parts(access_key_id, _secret(secret, names[1]), _secret(token, token_name), names).keys()


def _secret(value: str | None, name: str) -> Secret | None:
    return None if value is None else Secret(value.strip("\r\n"), f"the variable {name}")
