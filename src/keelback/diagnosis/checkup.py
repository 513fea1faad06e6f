"""Which credential a URL gets, what its server says to it, and what that means."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2

from keelback.channels.base import Session
from keelback.channels.identity import Identity, whoami
from keelback.channels.reader import given_for_reading
from keelback.channels.registry import target_of
from keelback.credentials.keys import keys_for
from keelback.credentials.logins import served_by
from keelback.credentials.lookup import find, login_name
from keelback.credentials.paths import home_folder
from keelback.credentials.stores import WritableStore
from keelback.diagnosis import mistakes
from keelback.diagnosis.asking import AccountingClient, Asked, Reading, read_channel
from keelback.diagnosis.expiry import expiry_of
from keelback.diagnosis.stores import Opened, State, captured_warnings, open_stores, places
from keelback.diagnosis.subject import Subject, SubjectKind, understood
from keelback.diagnosis.wording import described, shown_url
from keelback.errors import CredentialError, ExitStatus, KeelbackError
from keelback.hosts import host_of
from keelback.report import JSON_VERSION, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential


@dataclass(frozen=True)
class Used:
    """The credential that the URL gets.

    Attributes:
        credential: the credential.
        source: where it is: a store's name, a variable, the URL itself.
        key: under which key; ``None`` where it is not in a store.
        writable: whether its store can be given a renewed one.
        in_url: whether it stands in the URL itself.
    """

    credential: Credential
    source: str
    key: str | None = None
    writable: bool = False
    in_url: bool = False


@dataclass
class Checkup:
    """What is known of the credential of one URL.

    Attributes:
        url: what was asked about, without anything secret.
        sort: what that is.
        host: its host, as it stands in keys.
        stores: all stores.
        keys: the keys that serve it, in the order in which they are tried.
        used: the credential; ``None`` where there is none, or none that can be used.
        serves: which URLs its key is for.
        expires: when it expires, in words.
        requests: what was sent, in order.
        read: whether the channel can be read; ``None`` where that was not asked.
        upload: whether packages can be uploaded; ``None`` where the server does not say.
        identity: whom the server says the credential belongs to.
        identity_said: what else it said of it, or why it was not asked.
        findings: what is wrong.
        verdict: what it comes to, in one or two sentences.
        exit_status: what the command ends with.
    """

    url: str
    sort: SubjectKind
    host: str
    stores: Sequence[Opened] = ()
    keys: Sequence[str] = ()
    used: Used | None = None
    serves: str = ""
    expires: str = ""
    requests: Sequence[Asked] = ()
    read: bool | None = None
    upload: bool | None = None
    identity: str | None = None
    identity_said: str = ""
    findings: list[Problem] = field(default_factory=list)
    verdict: str = ""
    exit_status: ExitStatus = ExitStatus.OK

    def to_json(self) -> dict[str, Any]:
        """The document of ``keelback auth check --json``."""
        used = self.used
        return {
            "version": JSON_VERSION,
            "url": self.url,
            "host": self.host,
            "keys": list(self.keys),
            "stores": [
                {"name": opened.name, "state": str(opened.state), "keys": len(opened.keys)} for opened in self.stores
            ],
            "match": used and {"store": used.source, "key": used.key, "kind": used.credential.kind},
            "requests": [asked.to_json() for asked in self.requests],
            "read": self.read,
            "upload": self.upload,
            "identity": self.identity,
            "findings": [problem.to_json() for problem in self.findings],
            "verdict": self.verdict,
        }


def check_up(
    text: str,
    client: AccountingClient,
    *,
    auth_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    keychain: bool = True,
    now: float | None = None,
) -> Checkup:
    """Find the credential for *text*, and ask its server.

    The channel is first read without a credential; one that is found is tried in any case, as the tools of the rattler
    family send it to channels that answer everybody, too.

    Args:
        text: the URL of a channel, a host, a bucket, or a folder.
        client: sends the requests.
        auth_file: a file named for this run; it is then the only store.
        environ: the variables, in place of the process's own.
        home: the user's home directory, in place of the process's own.
        keychain: whether the system's keychain is asked.
        now: the time, in Unix seconds.

    Raises:
        UsageError: *text* is none of these.
    """
    subject = understood(text)
    if subject.sort is SubjectKind.FOLDER:
        return _folder(subject)
    examination = _Examination(
        subject,
        client,
        os.environ if environ is None else environ,
        home or home_folder(),
        time.time() if now is None else now,
    )
    with captured_warnings():
        return examination.carry_out(auth_file, keychain=keychain)


def _folder(subject: Subject) -> Checkup:
    from pathlib import Path  # noqa: PLC0415 - the name is free here

    there = Path(subject.url).is_dir()
    verdict = "A folder needs no credential." if there else "There is no such folder; it would need no credential."
    status = ExitStatus.OK if there else ExitStatus.FAILED
    return Checkup(subject.url, subject.sort, "", read=there, verdict=verdict, exit_status=status)


class _Examination:
    """One checkup under way."""

    def __init__(
        self, subject: Subject, client: AccountingClient, environ: Mapping[str, str], home: Path | None, now: float
    ) -> None:
        self._subject = subject
        self._client = client
        self._environ = environ
        self._home = home
        self._now = now
        self._result = Checkup(shown_url(subject.url), subject.sort, host_of(subject.url))
        self._tried: list[tuple[str, Opened]] = []
        self._unusable = False

    def carry_out(self, auth_file: Path | None, *, keychain: bool) -> Checkup:
        result, subject = self._result, self._subject
        result.stores = open_stores(auth_file, self._environ, self._home, keychain=keychain)
        self._tried = list(places(subject.asked, result.stores))
        result.keys = list(dict.fromkeys([key for key, _ in self._tried] or keys_for(subject.url)))
        used = result.used = self._choose()
        self._look_at_stores(named=auth_file is not None)
        if used is not None:
            self._look_at(used)
        if subject.sort is SubjectKind.BUCKET:
            self._judge_bucket()
        elif subject.sort is SubjectKind.HOST:
            self._judge_host(self._ask_whose(used))
        else:
            anonymous = read_channel(self._client, subject.url, None)
            auth = used.credential if used is not None and isinstance(used.credential, httpx2.Auth) else None
            known = None if auth is None else read_channel(self._client, subject.url, auth)
            answered = anonymous.error is None and (known is None or known.error is None)
            identity = self._ask_whose(used) if answered else None
            self._judge_channel(anonymous, known, identity)
        if any(opened.state is State.BROKEN for opened in result.stores):
            but = "But every command stops at the store that cannot be read: mend it first."
            result.verdict = f"{result.verdict.removesuffix('.')}. {but}"
            result.exit_status = ExitStatus.CREDENTIAL
        result.requests = list(self._client.requests)
        return result

    # --- the credential -----------------------------------------------------------------------------------------------

    def _choose(self) -> Used | None:
        """The credential that the URL gets: its own, that of the server's variable, or that of a store."""
        subject, stores = self._subject, [opened.store for opened in self._result.stores if opened.store is not None]
        if subject.token is not None:
            return Used(subject.token, "the URL itself", in_url=True)
        try:
            if subject.channel is not None:
                session = Session(self._client, lambda: stores, None, self._environ)
                given, _ = given_for_reading(subject.channel, target_of(subject.named), session)
                if given is not None:
                    return Used(given.credential, given.source)
            match = find(subject.asked, stores)
        except CredentialError as error:
            self._unusable = True
            self._result.findings.append(Problem.of(error))
            return None
        if match is None:
            return None
        store = match.store
        return Used(
            match.credential,
            store.name,
            None if store.is_in_url else match.key,
            writable=isinstance(store, WritableStore),
            in_url=store.is_in_url,
        )

    def _look_at_stores(self, *, named: bool) -> None:
        result, used = self._result, self._result.used
        found = used is not None or self._unusable
        result.findings += mistakes.in_stores(result.stores, found=found)
        result.findings += mistakes.in_keys(self._subject.url, result.keys, result.stores, found=found)
        if used is not None and used.key is not None:
            result.findings += mistakes.in_order((used.key, used.source), self._tried)
        if not found and not named:
            result.findings += mistakes.unread_files(self._subject.url, self._environ, self._home)

    def _look_at(self, used: Used) -> None:
        result = self._result
        if used.key is not None:
            result.serves = served_by(used.key, used.credential.kind)
        elif used.in_url:
            problem = "the URL has a credential in it, which ends up in logs, lock files and the shell's history"
            hint = f"Leave it out, and log in with: keelback auth login {login_name(self._subject.url)}."
            result.findings.append(Problem("secret-in-url", problem, hint))
        expiry = expiry_of(used.credential, writable=used.writable)
        result.expires = "" if expiry is None else expiry.words(self._now)
        result.findings += mistakes.in_credential(
            used.credential, used.key or "", result.host, self._now, writable=used.writable
        )
        result.findings += mistakes.in_kind(used.credential, self._subject.service, self._subject.url)

    def _ask_whose(self, used: Used | None) -> Identity | None:
        """What the server says of the credential itself, where there is such a question."""
        if used is None or not isinstance(used.credential, httpx2.Auth):
            return None
        result = self._result
        try:
            identity = whoami(self._client, self._subject.named, used.credential, self._environ)
        except KeelbackError as error:
            result.identity_said = error.message
            return None
        result.identity, result.identity_said = identity.name, identity.said
        if identity.permits or identity.valid is False:
            result.upload = "upload" in identity.permits
        return identity

    # --- what it comes to ---------------------------------------------------------------------------------------------

    def _conclude(self, verdict: str, status: ExitStatus, *, read: bool | None = None) -> None:
        self._result.verdict, self._result.exit_status, self._result.read = verdict, status, read

    def _judge_bucket(self) -> None:
        used = self._result.used
        if used is None:
            where = "There is no credential for this bucket that could be used, and the bucket was not asked."
            self._conclude(f"{where} {self._how_to_log_in()}", ExitStatus.CREDENTIAL)
        elif self._has("wrong-kind"):
            self._conclude("The credential is of a kind that this server does not take.", ExitStatus.CREDENTIAL)
        else:
            said = "S3 keys are found for this bucket. It was not asked: what they permit shows when they are used."
            self._conclude(said, ExitStatus.OK)

    def _judge_host(self, identity: Identity | None) -> None:
        used = self._result.used
        if used is None:
            self._conclude(self._none_found(), ExitStatus.CREDENTIAL)
        elif identity is not None and identity.valid:
            whose = f" as {identity.name}" if identity.name else ""
            self._conclude(f"{self._result.host} knows the {self._what(used)}{whose}.", ExitStatus.OK)
        elif identity is not None and identity.valid is False:
            self._conclude(f"{self._result.host} refuses the {self._what(used)}.", ExitStatus.CREDENTIAL)
        elif self._has("wrong-kind"):
            self._conclude("The credential is of a kind that this server does not take.", ExitStatus.CREDENTIAL)
        elif identity is None:
            self._conclude(f"Whether the server takes the {self._what(used)} is not known.", ExitStatus.FAILED)
        else:
            said = f"The {self._what(used)} is found for {self._result.host}. Whether the server takes it is not known:"
            self._conclude(f"{said} name the URL of a channel, to have it read.", ExitStatus.OK)

    def _judge_channel(self, anonymous: Reading, known: Reading | None, identity: Identity | None) -> None:
        result, used = self._result, self._result.used
        refused = identity is not None and identity.valid is False
        last = anonymous if known is None else known
        if used is not None and known is not None and (known.status == 401 or refused):
            result.findings += mistakes.in_scheme(used.credential, known.offers or anonymous.offers, self._subject.url)
        mismatched = anonymous.refused and self._has("wrong-kind")  # such servers may say 404 to what they do not know
        if known is not None and (known.refused or (known.ok and refused) or (mismatched and known.status == 404)):
            self._conclude(self._refused(anonymous, known), ExitStatus.CREDENTIAL, read=anonymous.ok)
        elif known is not None and known.error is not None and known.error.exit_status == ExitStatus.CREDENTIAL:
            expired = self._has("expired")
            if not expired:
                result.findings.append(known.error)
            problem = "has expired" if expired else "cannot be used"
            self._conclude(f"The {self._what(used)} {problem}.", ExitStatus.CREDENTIAL, read=anonymous.ok)
        elif last.error is not None:
            self._conclude_without_answer(anonymous, last.error)
        elif anonymous.ok:
            self._conclude(self._open_to_all(known), ExitStatus.OK, read=True)
            if self._unusable:
                self._result.exit_status = ExitStatus.CREDENTIAL
        elif known is not None and known.ok:
            self._conclude(f"The channel can be read with the {self._what(used)}.", ExitStatus.OK, read=True)
        elif last.refused:
            self._conclude(self._wants_one(anonymous), ExitStatus.CREDENTIAL, read=False)
        else:
            self._conclude(self._not_there(last), ExitStatus.FAILED, read=False)

    def _refused(self, anonymous: Reading, known: Reading) -> str:
        what = self._what(self._result.used)
        if known.elsewhere and known.refused:
            return (
                f"{self._result.host} redirects to {known.elsewhere}, where the credential does not go, and which "
                f"answers {known.status}: use the URL to which the channel has moved."
            )
        if self._has("expired"):
            why = f"The {what} has expired, and is refused."
        elif self._has("wrong-kind"):
            why = f"The {what} is of a kind that this server does not take."
        elif known.status == 403:
            why = f"The server takes the {what}, or does not say, but does not let it read this channel (403)."
        else:
            why = f"The server refuses the {what}: it may have been revoked, or be for another server."
        if anonymous.ok:
            why += " Everybody can read the channel without it, but tools that send it are refused: mend or remove it."
        return why

    def _conclude_without_answer(self, anonymous: Reading, error: Problem) -> None:
        self._result.findings.append(error)
        if anonymous.refused and error.code == "plain-http":
            self._conclude("The channel wants a credential, which was not sent.", ExitStatus.CREDENTIAL, read=False)
        elif anonymous.refused:
            wants = (
                f"The channel wants a credential, and whether it takes the {self._what(self._result.used)} is not known"
            )
            self._conclude(f"{wants}: no answer came.", ExitStatus.FAILED)
        elif anonymous.ok:
            self._conclude("Everybody can read this channel; the credential was not sent.", ExitStatus.OK, read=True)
        else:
            self._conclude("No answer came, so that nothing is known of the channel.", ExitStatus.FAILED)

    def _open_to_all(self, known: Reading | None) -> str:
        said = "Everybody can read this channel; no credential is needed."
        if self._unusable:
            return f"{said} But the one that is stored cannot be used, and tools that look for it stop there."
        if known is None:
            return said
        if known.ok:
            return f"{said} The one that is stored does no harm to reading."
        return f"{said} With the one that is stored, the server answers {known.status}."

    def _wants_one(self, anonymous: Reading) -> str:
        if self._unusable:
            return "The channel wants a credential, and the one that is stored cannot be used."
        if anonymous.elsewhere:
            return (
                f"{self._result.host} redirects to {anonymous.elsewhere}, which wants a credential; none is sent where "
                "a redirect leads. Use the URL to which the channel has moved."
            )
        if self._result.used is not None:
            return "The channel wants a credential, and the one that is stored is of a kind that is not sent there."
        offers = f" (it offers {' and '.join(anonymous.offers)})" if anonymous.offers else ""
        return f"The channel wants a credential{offers}. {self._none_found()}"

    def _not_there(self, last: Reading) -> str:
        if last.page:
            return "A web page came in the place of the channel's index: is this the URL of a log-in page?"
        if last.status in {404, 410}:
            hidden = "" if self._result.used else " Some servers say so of private channels: log in if it is one."
            return f"There is no channel at this URL ({last.status}); check how it is spelled.{hidden}"
        return f"The server answered {last.status}, which says nothing about the credential."

    def _none_found(self) -> str:
        if self._unusable:
            return "The credential that is stored for it cannot be used."
        return f"No store has a credential for it. {self._how_to_log_in()}"

    def _how_to_log_in(self) -> str:
        return f"Log in with: keelback auth login {login_name(self._subject.url)}"

    def _what(self, used: Used | None) -> str:
        if used is None:
            return "credential"
        where = f"of {used.source}" if used.key is not None else f"from {used.source}"
        return f"{described(used.credential)} {where}"

    def _has(self, code: str) -> bool:
        return any(problem.code == code for problem in self._result.findings)
