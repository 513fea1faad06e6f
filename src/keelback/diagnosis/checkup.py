"""Which credential a URL gets, what its server says to it, and what that means."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

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
from keelback.diagnosis.asking import AccountingClient, read_channel
from keelback.diagnosis.expiry import expiry_of
from keelback.diagnosis.result import Checkup, Used
from keelback.diagnosis.stores import Opened, State, captured_warnings, open_stores, places
from keelback.diagnosis.subject import Subject, SubjectKind, understood
from keelback.diagnosis.verdict import Judge
from keelback.diagnosis.wording import shown_url
from keelback.errors import CredentialError, ExitStatus, KeelbackError
from keelback.hosts import host_of
from keelback.report import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
        judge = Judge(result, subject, unusable=self._unusable)
        if subject.sort is SubjectKind.BUCKET:
            judge.bucket()
        elif subject.sort is SubjectKind.HOST:
            judge.host(self._ask_whose(used))
        else:
            anonymous = read_channel(self._client, subject.url, None)
            auth = used.credential if used is not None and isinstance(used.credential, httpx2.Auth) else None
            known = None if auth is None else read_channel(self._client, subject.url, auth)
            answered = anonymous.error is None and (known is None or known.error is None)
            identity = self._ask_whose(used) if answered else None
            judge.channel(anonymous, known, identity)
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
