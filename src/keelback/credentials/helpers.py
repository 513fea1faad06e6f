"""Commands that give a credential each time one is needed, as ``gcloud auth print-access-token`` does.

What they print is one of three things: a token; the answer of keelback's own protocol, which is described in
:mod:`keelback.credentials.helperprotocol`; or the answer of Docker's protocol (docker-credential-helpers,
credentials/credentials.go).
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time as _now
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from keelback.credentials.codec import parse_credential
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential
from keelback.errors import CredentialError
from keelback.hosts import host_of
from keelback.secret import redact, redact_cut, remember

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.commands import Output

__all__ = ["Helper", "helper_to_json", "parse_helper"]

PROTOCOL_VERSION: Final = 1
OUTPUTS: Final = ("token", "json", "docker")
"""What a helper may print."""

DEFAULT_TIMEOUT: Final = 30.0
_LONGEST_TIMEOUT: Final = 600
_KEPT_FOR: Final = 300.0
"""Seconds for which an answer is good that does not say how long it is."""
_MARGIN: Final = 60.0
"""Seconds before its end from which on a credential is not begun with; half of its life, for one that is short."""
_FAILED_FOR: Final = 60.0
"""Seconds in which a helper that failed is not run again."""
_RUNNING: Final = "KEELBACK_RUNNING_HELPERS"
"""The variable that tells a keelback that a helper runs what it is being asked for."""
NONE_FOUND: Final = "credentials not found in native keychain"
"""What a helper of Docker prints that has no credential (docker-credential-helpers, credentials/error.go)."""
IDENTITY_TOKEN: Final = "<token>"  # noqa: S105 - the name that stands in the place of a user's
"""The user name by which Docker tells a token from a password."""

_TOKEN_KINDS: Final = (BearerToken.kind, CondaToken.kind, BasicHTTP.kind)


@dataclass(frozen=True)
class Helper(Credential):
    """A command that gives a credential.

    Attributes:
        command: the program, by its whole path or by its name alone, and its arguments; no shell sees it.
        output: what it prints, one of :data:`OUTPUTS`.
        gives: the kind of credential that a bare token is.
        username: the user whose password it is, where *gives* is ``BasicHTTP``.
        timeout: seconds after which it is ended.
    """

    kind: ClassVar[str] = "Helper"
    command: tuple[str, ...]
    output: str = "token"
    gives: str = BearerToken.kind
    username: str | None = None
    timeout: float = DEFAULT_TIMEOUT

    def __str__(self) -> str:
        return f"helper {Path(self.command[0]).name!r}"

    def credential_for(self, url: str) -> Credential | None:
        """What the command gives for *url*, or nothing where it says that it has none.

        It runs once in this process for each URL, and again a minute before what it gave expires (when half of its time
        is over, where that comes later), or after five minutes where it does not say when that is. One that failed
        is run again after a minute.

        Raises:
            CredentialError: code ``helper``: it cannot be run, fails, is not done in time, or prints what is no
                credential; code ``bad-token``: what it prints cannot be a token.
            Interrupted: the user has stopped the run.
        """
        return _answers.of(self, url)


# -- an entry of keelback's own file ---------------------------------------------------------------------------------


def parse_helper(payload: object, *, source: str) -> Helper:
    """The helper that *payload*, the value of the member ``Helper``, describes.

    Args:
        payload: the value as JSON gave it.
        source: where it came from, for messages.

    Raises:
        CredentialError: code ``bad-credential``: it describes none.
    """
    if not isinstance(payload, dict):
        raise _bad_entry("the value of Helper is an object", source)
    unknown = [name for name in payload if name not in _MEMBERS]
    if unknown:
        raise _bad_entry(f"a Helper has no member {unknown[0]!r}; it has {', '.join(_MEMBERS)}", source)
    if "command" not in payload:
        raise _bad_entry("Helper has no member 'command'", source)
    members = {_MEMBERS[name]: value for name, value in payload.items() if value is not None}
    for is_good, what in _RULES:
        if not is_good(members):
            raise _bad_entry(what, source)
    members["command"] = tuple(members["command"])
    return Helper(**members)


def helper_to_json(helper: Helper) -> dict[str, object]:
    """*helper* as :func:`parse_helper` reads it, without what goes without saying."""
    default = Helper(command=())
    values = {name: value for name, value in asdict(helper).items() if value != getattr(default, name)}
    return {name: values[attribute] for name, attribute in _MEMBERS.items() if attribute in values}


_MEMBERS: Final = {
    "command": "command",
    "output": "output",
    "kind": "gives",
    "username": "username",
    "timeout": "timeout",
}
"""The members of an entry, and the attributes that they are."""


def _is_command(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and "\0" not in word for word in value)


def _is_program(word: str) -> bool:
    """Whether *word* means the same from every working directory."""
    return bool(word) and (Path(word).is_absolute() or word == Path(word).name)


def _is_timeout(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _LONGEST_TIMEOUT


_RULES: Final[tuple[tuple[Callable[[Mapping[str, object]], object], str], ...]] = (
    (lambda entry: _is_command(entry.get("command")), "'command' of Helper is a list of strings: the program first"),
    (
        lambda entry: _is_program(_first(entry["command"])),
        "'command' of Helper begins with the whole path of a program, or with its name alone",
    ),
    (lambda entry: entry.get("output", "token") in OUTPUTS, f"'output' of Helper is one of {', '.join(OUTPUTS)}"),
    (
        lambda entry: entry.get("gives", BearerToken.kind) in _TOKEN_KINDS,
        f"'kind' of Helper is one of {', '.join(_TOKEN_KINDS)}",
    ),
    (lambda entry: isinstance(entry.get("username", ""), str), "'username' of Helper is a string"),
    (
        lambda entry: (entry.get("gives") == BasicHTTP.kind) == ("username" in entry),
        "'username' of Helper goes with the kind BasicHTTP, and that with 'username'",
    ),
    (
        lambda entry: _is_timeout(entry.get("timeout", 1)),
        f"'timeout' of Helper is a number of seconds, at most {_LONGEST_TIMEOUT}",
    ),
)
"""What holds for an entry, in the order in which it is asked, and what to say where it does not."""


def _first(words: object) -> str:
    return str(words[0]) if isinstance(words, list) else ""


def _bad_entry(problem: str, source: str) -> CredentialError:
    hint = f'In {source}, write it like {{"Helper": {{"command": ["gcloud", "auth", "print-access-token"]}}}}.'
    return CredentialError(f"{problem}.", hint=hint, code="bad-credential")


# -- running one ----------------------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    credential: Credential | None
    expires_at: float | None


class _Answers:
    """What helpers gave in this process, as long as it is good; or how they failed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Helper, str], tuple[Credential | CredentialError | None, float]] = {}
        self._locks: dict[tuple[Helper, str], threading.Lock] = {}
        self._guard = threading.Lock()

    def of(self, helper: Helper, url: str) -> Credential | None:
        question = (helper, url)
        with self._guard:
            lock = self._locks.setdefault(question, threading.Lock())
        with lock:
            kept, good_until = self._kept.get(question, (None, 0.0))
            if _now() >= good_until:
                kept, good_until = self._kept[question] = _asked(helper, url)
        if isinstance(kept, CredentialError):
            raise CredentialError(
                kept.message, hint=kept.hint, code=kept.code
            )  # each thread has a traceback of its own
        return kept


_answers: Final = _Answers()


def _asked(helper: Helper, url: str) -> tuple[Credential | CredentialError | None, float]:
    """What *helper* gives for *url*, or how it fails; and until when it need not be asked again."""
    try:
        answer = _ask(helper, url)
    except CredentialError as error:
        return CredentialError(error.message, hint=error.hint, code=error.code), _now() + _FAILED_FOR
    if answer.expires_at is None:
        return answer.credential, _now() + _KEPT_FOR
    return answer.credential, max(answer.expires_at - _MARGIN, (answer.expires_at + _now()) / 2)


def _ask(helper: Helper, url: str) -> _Answer:
    from keelback.credentials.commands import CommandError, run  # noqa: PLC0415 - few have a helper

    name = f"{helper} for {host_of(url)}"
    running = os.environ.get(_RUNNING, "").split()
    if url in running:
        raise _failed(f"{name} asks keelback for what it is to give itself.", "Name another command in its entry.")
    environ = {**os.environ, _RUNNING: " ".join([*running, url])}
    try:
        output = run(helper.command, _REQUESTS[helper.output](url), helper.timeout, environ)
    except CommandError as error:
        raise _failed(f"{name} {error}.", error.hint) from error
    return _READERS[helper.output](helper, name, output)


_REQUESTS: Final[Mapping[str, Callable[[str], bytes | None]]] = {
    "token": lambda _: None,
    "json": lambda url: json.dumps({"version": PROTOCOL_VERSION, "action": "get", "url": url}).encode() + b"\n",
    "docker": lambda url: url.partition("://")[2].partition("/")[0].encode() + b"\n",
}


def _read_token(helper: Helper, name: str, output: Output) -> _Answer:
    _check_status(name, output)
    value = _checked_text(name, output).strip()
    if not value:
        raise _failed(f"{name} printed nothing.", "Run it yourself to see whether it prints a token.")
    if helper.gives == BasicHTTP.kind:
        return _Answer(_credential(name, {BasicHTTP.kind: {"username": helper.username, "password": value}}), None)
    return _Answer(_credential(name, {helper.gives: value}), None)


def _read_docker(helper: Helper, name: str, output: Output) -> _Answer:  # noqa: ARG001 - as the other readers
    if output.status and _text(output.stdout).strip() == NONE_FOUND:
        return _Answer(None, None)
    _check_status(name, output)
    answer = _checked_object(name, output)
    username, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _failed(f"{name} printed no 'Username' or no 'Secret'.", "See that its 'output' really is docker.")
    if username == IDENTITY_TOKEN:
        return _Answer(_credential(name, {BearerToken.kind: secret}), None)
    return _Answer(_credential(name, {BasicHTTP.kind: {"username": username, "password": secret}}), None)


def _read_json(helper: Helper, name: str, output: Output) -> _Answer:
    try:
        answer = _checked_object(name, output)
    except CredentialError:
        _check_status(name, output)  # says more, where it failed
        raise
    error = answer.get("error")
    if not isinstance(error, dict):
        _check_status(name, output)
    if answer.get("version") != PROTOCOL_VERSION:
        raise _failed(f"{name} does not speak version 1 of keelback's protocol.", "See whether there is a newer one.")
    if isinstance(error, dict):
        message, hint = (_shortened(str(error.get(member, ""))) for member in ("message", "hint"))
        raise _failed(f"{name} says: {message or 'it failed'}.", hint)
    if answer.get("found") is False:
        return _Answer(None, None)
    return _Answer(_credential(name, _as_entry(answer, helper)), _expiry(name, answer))


_READERS: Final[Mapping[str, Callable[[Helper, str, Output], _Answer]]] = {
    "token": _read_token,
    "json": _read_json,
    "docker": _read_docker,
}


def _as_entry(answer: Mapping[str, object], helper: Helper) -> dict[str, object]:
    """The answer as an entry of an auth file; where it names no kind, that is told by its members."""
    kind = answer.get("kind") or (BasicHTTP.kind if "password" in answer else helper.gives)
    if kind == "OAuth":  # whoever refreshes it has it; what is given is good until it expires
        kind = BearerToken.kind
    return {str(kind): answer.get("token") if kind in {BearerToken.kind, CondaToken.kind} else dict(answer)}


def _expiry(name: str, answer: Mapping[str, object]) -> float | None:
    expires_at = answer.get("expires_at")
    if expires_at is None:
        return None
    if not isinstance(expires_at, int | float) or isinstance(expires_at, bool):
        why = f"{name} printed an 'expires_at' that is not a number of seconds."
        raise _failed(why, "It counts from 1970, in UTC.")
    if expires_at <= _now():
        raise _failed(f"{name} gave a credential that has expired.", "See whether this machine's clock is right.")
    return float(expires_at)


def _credential(name: str, entry: dict[str, object]) -> Credential:
    try:
        return parse_credential(entry, source=f"the {name}")
    except CredentialError as error:
        if error.code == "bad-token":
            raise
        raise _failed(f"{name} printed no credential: {error.message}", "Is the 'output' of its entry right?") from None


def _check_status(name: str, output: Output) -> None:
    if output.status:
        for word in _text(output.stdout).split():  # a token may have got into both
            if len(word) >= 16:
                remember(word)
        said = _shortened(_text(output.stderr), cut=output.cut) or "it does not say why"
        hint = "Run it yourself: it may want you to log in."
        raise _failed(f"{name} failed with exit status {output.status}: {said}.", hint)


def _checked_object(name: str, output: Output) -> dict[str, object]:
    try:
        answer = json.loads(_checked_text(name, output))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _failed(f"{name} did not print a JSON object.", "Is the 'output' of its entry right?")
    return answer


def _checked_text(name: str, output: Output) -> str:
    try:
        return output.stdout.decode()
    except UnicodeDecodeError:
        raise _failed(f"{name} printed something that is not UTF-8.", "See that it is the right command.") from None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _shortened(text: str, *, cut: bool = False) -> str:
    """The end of *text*, where programs say what went wrong, in one line and without secrets."""
    text = " ".join((redact_cut(text) if cut else redact(text)).split()).rstrip(".")
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 300 else f"…{text[-299:]}"


def _failed(message: str, hint: str) -> CredentialError:
    return CredentialError(message[0].upper() + message[1:], hint=hint, code="helper")
