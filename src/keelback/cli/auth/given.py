"""The credential that a person gives to ``keelback auth login``: by options, on standard input, or when asked."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from keelback.channels.buckets.keycheck import bucket_channel
from keelback.channels.identity import service_of
from keelback.channels.service import Site
from keelback.cli.auth.common import note, warn
from keelback.cli.secrets import interactive, read_secret
from keelback.credentials.helpers import Helper, parse_helper
from keelback.credentials.kinds import (
    BasicHTTP,
    BearerToken,
    CondaToken,
    Credential,
    OAuth,
    S3Credentials,
    check_token,
)
from keelback.credentials.logins import url_of
from keelback.errors import CredentialError, UsageError
from keelback.secret import Secret, redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.channels.service import Service

_ANY_WAY: Final = "Give --token -, --conda-token -, or --username NAME --password -, and the secret on standard input."

_ANSWERS: Final = {
    "token": BearerToken.kind,
    "bearer": BearerToken.kind,
    "password": BasicHTTP.kind,
    "basic": BasicHTTP.kind,
    "conda-token": CondaToken.kind,
}
"""What a person may answer when asked for the kind of credential."""


@dataclass
class Given:
    """What the command line says of the credential.

    Attributes:
        place: what is logged in to.
        kinds: the kinds of which there are options, by the option that says so.
        values: the options' values, by their names; those of secrets are a :class:`Secret`, or ``-``.
    """

    place: str
    kinds: dict[str, str]
    values: Mapping[str, Any] = field(repr=False)

    def kind(self) -> str:
        """The kind to log in with: the one that was given, or the usual one of the server, or what a person says.

        Raises:
            UsageError: several are given; or the server does not take it; or none is given, and there is nobody to ask.
        """
        service = service_of(self.place)
        if len(self.kinds) > 1:
            first, second, *_ = self.kinds.values()
            raise UsageError(f"{first} and {second} are of two kinds of credential", hint="Give one of them.")
        kind = next(iter(self.kinds), None) or self._usual_kind(service)
        takes = _kinds_for(service)
        if service is None or kind in takes or (kind == Helper.kind and S3Credentials.kind not in takes):
            return kind
        if kind == BearerToken.kind and CondaToken.kind in takes:
            note(f"{service.title} takes conda tokens: the one given by --token is stored as such")
            return CondaToken.kind
        raise UsageError(f"{service.title} takes {' or '.join(takes)}, not {kind}", hint=service.login_hint)

    def _usual_kind(self, service: type[Service] | None) -> str:
        takes = _kinds_for(service)
        in_browser = OAuth.kind in takes and bucket_channel(self.place) is None  # a bucket is no issuer of its own
        if in_browser and (interactive() or sys.stderr.isatty()):
            return OAuth.kind  # by a code, which has to be seen and is typed elsewhere
        if not interactive():
            raise UsageError(
                f"no credential for {self.place} was given, and there is no terminal to ask at",
                hint=_ANY_WAY if service is None else service.login_hint,
            )
        asked = [kind for kind in takes if kind in _ANSWERS.values()]
        if len(takes) == 1 or len(asked) == 1:
            return (asked or takes)[0]
        answers = {answer: kind for answer, kind in _ANSWERS.items() if not takes or kind in takes}
        usual = {kind: answer for answer, kind in reversed(answers.items())}
        question = f"What does {redact(self.place)} take ({', '.join(reversed(usual.values()))})"
        choice = click.Choice(list(answers))
        return answers[click.prompt(question, type=choice, default="token", show_choices=False, err=True)]

    def credential(self, kind: str) -> Credential:
        """The credential of *kind*, which is none that is got by a login in the browser or from a helper.

        Raises:
            UsageError: a part of it is missing, and there is nobody to ask.
            CredentialError: code ``bad-token``: a secret that can be none.
        """
        if kind == BasicHTTP.kind:
            username = self.values["--username"] or self._usual_username() or self._asked("--username", "User name")
            return BasicHTTP(_one_line(username, "--username"), self._password())
        if kind == S3Credentials.kind:
            return self._s3()
        option = "--conda-token" if self.values["--conda-token"] is not None else "--token"
        token = self._token(option, "Token")
        return CondaToken(token) if kind == CondaToken.kind else BearerToken(token)

    def _usual_username(self) -> str:
        service = service_of(self.place)
        return "" if service is None else service.usual_username(Site.of(self.place))

    def _password(self) -> Secret:
        password = self._secret("--password", "Password")
        _one_line(password.reveal(), "--password")
        return password

    def _token(self, option: str, what: str) -> Secret:
        return check_token(self._secret(option, what), "standard input" if self._is_piped(option) else option)

    def _is_piped(self, option: str) -> bool:
        return self.values[option] == "-" and not interactive()

    def _s3(self) -> Credential:
        option = "--s3-access-key-id"
        key_id = self.values[option] or self._asked(option, "Access key ID")
        secret = self._token("--s3-secret-access-key", "Secret access key")
        has_session = self.values["--s3-session-token"] is not None
        return S3Credentials(
            access_key_id=check_token(Secret(key_id, option), option).reveal(),
            secret_access_key=secret,
            session_token=self._token("--s3-session-token", "Session token") if has_session else None,
        )

    def helper(self) -> Helper:
        """The helper that the options describe.

        Raises:
            UsageError: its quotes do not match.
            CredentialError: code ``bad-credential``: it can be none.
        """
        try:
            words = shlex.split(self.values["--helper"] or "", posix=os.name != "nt")
        except ValueError as error:
            raise UsageError(f"--helper: {error}", hint="Give one argument, quoted as a shell would want it.") from None
        gives = BearerToken.kind
        if self.values["--username"] is not None:
            gives = BasicHTTP.kind
        elif CondaToken.kind in _kinds_for(service_of(self.place)):
            gives = CondaToken.kind
        entry = {
            "command": words,
            "output": self.values["--helper-output"],
            "kind": gives,
            "username": self.values["--username"],
        }
        return parse_helper(entry, source="--helper")

    def client_secret(self) -> Secret | None:
        """What ``--oauth-client-secret`` says."""
        option = "--oauth-client-secret"
        return None if self.values[option] is None else self._secret(option, "Client secret")

    def _secret(self, option: str, what: str) -> Secret:
        """The secret of *option*: on standard input where it is ``-``, asked for where it is not given."""
        value = self.values[option]
        if isinstance(value, Secret):
            warn(f"the secret of {option} is now in the shell's history and the process list; '{option} -' avoids that")
            return value
        if value is None and not interactive():
            raise UsageError(f"{option} is missing", hint=f"Give {option} - and the secret on standard input.")
        return read_secret("-", option, prompt=what)

    def _asked(self, option: str, what: str) -> str:
        if not interactive():
            raise UsageError(f"{option} is missing", hint=f"Give {option} NAME.")
        answer: str = click.prompt(what, err=True)
        return answer


def _kinds_for(service: type[Service] | None) -> list[str]:
    """The kinds that *service* takes, by their names, the usual one first; none where that is not known."""
    return [] if service is None else [kind.kind for kind in service.takes]


_NOT_SENDABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and what a terminal that does not write UTF-8 leaves of others."""


def _one_line(value: str, option: str) -> str:
    if not value or _NOT_SENDABLE.search(value):
        problem = "is empty" if not value else "has a character in it that cannot be sent"
        raise CredentialError(f"The value of {option} {problem}.", hint="Copy it again.", code="bad-token")
    return value


def from_helper(helper: Helper, place: str) -> Credential:
    """What *helper* gives for *place*.

    Raises:
        CredentialError: code ``helper``: nothing.
    """
    credential = helper.credential_for(url_of(place).replace("://*.", "://", 1))
    if credential is None:
        raise CredentialError(
            f"The {helper} says that it has no credential for {place}.",
            hint="Log in with the tool that it belongs to.",
            code="helper",
        )
    return credential
