"""The credential that a person gives to ``keelback auth login``: by options, on standard input, or when asked."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, field
from typing import Final

import click

from keelback.channels.identity import service_of
from keelback.cli.auth.common import interactive, note, warn
from keelback.credentials.helpers import Helper, parse_helper
from keelback.credentials.kinds import (
    CONTROL,
    BasicHTTP,
    BearerToken,
    CondaToken,
    Credential,
    OAuth,
    S3Credentials,
    check_token,
)
from keelback.credentials.logins import key_for_login
from keelback.errors import CredentialError, UsageError
from keelback.secret import Secret, redact

_SERVERS: Final = {"prefix": "prefix.dev", "anaconda": "anaconda.org", "quetz": "Quetz", "s3": "an object store"}
_TAKES: Final = {
    "prefix": {BearerToken.kind, OAuth.kind, Helper.kind},
    "anaconda": {CondaToken.kind, Helper.kind},
    "quetz": {CondaToken.kind, Helper.kind},
    "s3": {S3Credentials.kind},
}
"""The kinds that known servers take; the first one's check is that of ``rattler auth login``."""

_WAYS: Final = {
    "prefix": "Give --token - and the token on standard input, or --oauth to log in with a code in a browser.",
    "anaconda": "Give --conda-token - and the token on standard input.",
    "quetz": "Give --conda-token - and the API key on standard input.",
    "s3": "Give --s3-access-key-id KEY and --s3-secret-access-key - with the secret on standard input.",
}
_ANY_WAY: Final = "Give --token -, --conda-token -, or --username NAME --password -, and the secret on standard input."


@dataclass
class Given:
    """What the command line says of the credential.

    Attributes:
        place: what is logged in to.
        kinds: the kinds of which there are options, by the option that says so.
        values: the options' values, by their names.
    """

    place: str
    kinds: dict[str, str]
    values: dict[str, str | None]
    _stdin_taken_by: str = field(default="", init=False)

    def kind(self) -> str:
        """The kind to log in with: the one that was given, or the usual one of the server, or what a person says.

        Raises:
            UsageError: several are given; or the server does not take it; or none is given, and there is nobody to ask.
        """
        service = service_of(self.place) or ""
        if len(self.kinds) > 1:
            first, second, *_ = self.kinds.values()
            raise UsageError(f"{first} and {second} are of two kinds of credential", hint="Give one of them.")
        kind = next(iter(self.kinds), None) or self._usual_kind(service)
        if kind == BearerToken.kind and CondaToken.kind in _TAKES.get(service, ()):
            note(f"{_SERVERS[service]} takes conda tokens: the one given by --token is stored as such")
            kind = CondaToken.kind
        takes = _TAKES.get(service)
        if takes is not None and kind not in takes:
            wanted = " or ".join(sorted(takes - {Helper.kind}))
            raise UsageError(f"{_SERVERS[service]} takes {wanted}, and no {kind}", hint=_WAYS[service])
        return kind

    def _usual_kind(self, service: str) -> str:
        if not interactive():
            raise UsageError(
                f"no credential for {self.place} was given, and there is no terminal to ask at",
                hint=_WAYS.get(service, _ANY_WAY),
            )
        if service == "prefix":
            return OAuth.kind
        if service in _TAKES:
            return next(iter(_TAKES[service] - {Helper.kind}))
        answers = {"token": BearerToken.kind, "password": BasicHTTP.kind, "conda-token": CondaToken.kind}
        choice = click.Choice(list(answers))
        return answers[click.prompt(f"What does {redact(self.place)} take", type=choice, default="token", err=True)]

    def credential(self, kind: str) -> Credential:
        """The credential of *kind*, which is none that is got by a login in the browser or from a helper.

        Raises:
            UsageError: a part of it is missing, and there is nobody to ask.
            CredentialError: code ``bad-token``: a secret that can be none.
        """
        if kind == BasicHTTP.kind:
            username = self.values["--username"] or self._asked("--username", "User name")
            return BasicHTTP(_one_line(username, "--username"), self._password())
        if kind == S3Credentials.kind:
            return self._s3()
        option = "--conda-token" if self.values["--conda-token"] is not None else "--token"
        token = check_token(self._secret(option, "Token"), option)
        return CondaToken(token) if kind == CondaToken.kind else BearerToken(token)

    def _password(self) -> Secret:
        password = self._secret("--password", "Password")
        _one_line(password.reveal(), "--password")
        return password

    def _s3(self) -> Credential:
        option = "--s3-access-key-id"
        key_id = self.values[option] or self._asked(option, "Access key ID")
        secret = self._secret("--s3-secret-access-key", "Secret access key")
        session = self.values["--s3-session-token"]
        return S3Credentials(
            access_key_id=check_token(Secret(key_id, option), option).reveal(),
            secret_access_key=check_token(secret, "--s3-secret-access-key"),
            session_token=None
            if session is None
            else check_token(self._secret("--s3-session-token", "Session token"), "--s3-session-token"),
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
        elif CondaToken.kind in _TAKES.get(service_of(self.place) or "", ()):
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
        if value == "-" and not interactive():
            return self._from_stdin(option)
        if value is None or value == "-":
            if not interactive():
                raise UsageError(f"{option} is missing", hint=f"Give {option} - and the secret on standard input.")
            return Secret(click.prompt(what, hide_input=True, err=True), option)
        warn(f"the secret of {option} is now in the shell's history and the process list; '{option} -' keeps it out")
        return Secret(value, option)

    def _from_stdin(self, option: str) -> Secret:
        if self._stdin_taken_by:
            raise UsageError(
                f"{self._stdin_taken_by} and {option} are both to come from standard input",
                hint="Run it at a terminal, and leave one of them out: it is asked for.",
            )
        self._stdin_taken_by = option
        line = sys.stdin.readline(65536).removesuffix("\n").removesuffix("\r")
        if not line:
            raise UsageError(f"{option}: standard input is empty")
        return Secret(line, option)

    def _asked(self, option: str, what: str) -> str:
        if not interactive():
            raise UsageError(f"{option} is missing", hint=f"Give {option} NAME.")
        answer: str = click.prompt(what, err=True)
        return answer


def _one_line(value: str, option: str) -> str:
    if not value or CONTROL.search(value):
        problem = "is empty" if not value else "has a control character in it"
        raise CredentialError(f"The value of {option} {problem}.", hint="Copy it again.", code="bad-token")
    return value


def from_helper(helper: Helper, place: str) -> Credential:
    """What *helper* gives for *place*.

    Raises:
        CredentialError: code ``helper``: nothing.
    """
    credential = helper.credential_for(f"https://{key_for_login(place, Helper).removeprefix('*.')}")
    if credential is None:
        raise CredentialError(
            f"The {helper} says that it has no credential for {place}.",
            hint="Log in with the tool that it belongs to.",
            code="helper",
        )
    return credential
