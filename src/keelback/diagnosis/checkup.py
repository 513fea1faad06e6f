"""Which credential a URL gets, what its server says to it, and what that means."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2

from keelback.channels.bucketoptions import check_bucket_options
from keelback.channels.buckets.keycheck import CheckedBucketChannel
from keelback.channels.identity import Identity, whoami
from keelback.channels.opening import given_for_reading
from keelback.channels.registry import target_of
from keelback.channels.session import BucketOptions, Session
from keelback.credentials.keys import keys_for
from keelback.credentials.logins import served_by
from keelback.credentials.lookup import find, login_name
from keelback.credentials.oidc.exchanged import ExchangedToken
from keelback.credentials.oidc.providers import provider_in
from keelback.credentials.oidc.trusted import Mode, TrustedPublishing
from keelback.credentials.paths import home_folder
from keelback.credentials.stores import WritableStore
from keelback.diagnosis import mistakes
from keelback.diagnosis.asking import AccountingClient, read_channel
from keelback.diagnosis.buckets import BucketQuestions, shown_settings
from keelback.diagnosis.bucketverdict import BucketJudge
from keelback.diagnosis.channelverdict import ChannelJudge
from keelback.diagnosis.exchanging import Exchanging
from keelback.diagnosis.expiry import expiry_of
from keelback.diagnosis.hostverdict import HostJudge
from keelback.diagnosis.result import Checkup, Used
from keelback.diagnosis.stores import Opened, State, captured_warnings, open_stores, places
from keelback.diagnosis.subject import Subject, SubjectKind, understood
from keelback.diagnosis.wording import shown_url
from keelback.errors import CredentialError, ExitStatus, KeelbackError, UsageError
from keelback.hosts import host_of
from keelback.report import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keelback.credentials.stores import Store


def check_up(  # noqa: PLR0913 - each has a default, and is given by its name
    text: str,
    client: AccountingClient,
    *,
    trusted: TrustedPublishing | None = None,
    buckets: BucketOptions | None = None,
    auth_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    keychain: bool = True,
    now: float | None = None,
) -> Checkup:
    """Find the credential for *text*, and ask its server.

    The channel is first read without a credential; one that is found is tried in any case, as the tools of the rattler
    family send it to channels that answer everybody, too. So is the identity of the CI system, where ``publish`` would
    exchange it for a token.

    Args:
        text: the URL of a channel, a host, a bucket, or a folder.
        client: sends the requests.
        trusted: when that identity is exchanged, and with whom.
        buckets: where buckets are.
        auth_file: a file named for this run; it is then the only store.
        environ: the variables, in place of the process's own.
        home: the user's home directory, in place of the process's own.
        keychain: whether the system's keychain is asked.
        now: the time, in Unix seconds.

    Raises:
        UsageError: *text* is none of these; or it is no channel, and trusted publishing alone is to be used; or what is
            said of buckets is invalid, or of no use.
    """
    subject = understood(text)
    shown = host_of(subject.url) if subject.sort is SubjectKind.HOST else subject.url
    check_bucket_options(buckets, [subject.channel or shown])
    trusted = trusted or TrustedPublishing()
    if trusted.insists and subject.sort not in {SubjectKind.CHANNEL, SubjectKind.BUCKET}:
        raise UsageError(
            f"{shown_url(subject.url)} is no channel on a server, and an identity is exchanged for one",
            hint="Name the URL of a channel.",
        )
    if subject.sort is SubjectKind.FOLDER:
        return _folder(subject)
    examination = _Examination(
        subject,
        client,
        trusted,
        buckets or BucketOptions(),
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
        self,
        subject: Subject,
        client: AccountingClient,
        trusted: TrustedPublishing,
        buckets: BucketOptions,
        environ: Mapping[str, str],
        home: Path | None,
        now: float,
    ) -> None:
        self._subject = subject
        self._place = subject.url
        self._client = client
        self._trusted = trusted
        self._buckets = buckets
        self._environ = environ
        self._home = home
        self._now = now
        self._result = Checkup(shown_url(subject.url), subject.sort, host_of(subject.url))
        self._tried: list[tuple[str, Opened]] = []
        self._unusable = False
        self._read_at = subject.url

    def carry_out(self, auth_file: Path | None, *, keychain: bool) -> Checkup:
        result, subject = self._result, self._subject
        result.stores = open_stores(auth_file, self._environ, self._home, keychain=keychain)
        if isinstance(subject.channel, CheckedBucketChannel):
            self._ask_bucket(subject.channel, named=auth_file is not None)
        else:
            self._ask_server(named=auth_file is not None)
        if any(opened.state is State.BROKEN for opened in result.stores):
            but = "But every command stops at the store that cannot be read: mend it first."
            result.verdict = f"{result.verdict.removesuffix('.')}. {but}"
            result.exit_status = ExitStatus.CREDENTIAL
        result.requests = list(self._client.requests)
        return result

    def _look_up(self, asked: str) -> None:
        """Which keys serve the URL that is *asked* for, and where."""
        self._tried = list(places(asked, self._result.stores))
        self._result.keys = list(dict.fromkeys([key for key, _ in self._tried] or keys_for(self._place)))

    def _ask_bucket(self, channel: CheckedBucketChannel, *, named: bool) -> None:
        result, session = self._result, self._session()
        self._place = channel.stored_for(session)
        self._look_up(self._place)
        settings = result.bucket = channel.settings(session)
        failure, answers = None, None
        with captured_warnings("keelback.channels.buckets") as said:
            try:
                questions = BucketQuestions(channel, session)
                result.used = questions.used(self._tried)
                answers = questions.put()
                result.bucket = shown_settings(settings, questions)
            except UsageError:
                raise
            except KeelbackError as error:
                failure = Problem.of(error)
        self._unusable = failure is not None
        self._look_at_stores(named=named)
        if result.used is not None:
            self._look_at(result.used)
        result.findings += (Problem("bucket", text) for text in said)
        BucketJudge(result, self._subject, unusable=self._unusable).judge(answers, failure)

    def _ask_server(self, *, named: bool) -> None:
        result, subject = self._result, self._subject
        self._look_up(subject.asked)
        used = result.used = self._choose()
        self._look_at_stores(named=named)
        if used is not None:
            self._look_at(used)
        if subject.sort is SubjectKind.HOST:
            provider = None if self._trusted.mode is Mode.NEVER else provider_in(self._environ)
            ci_system = None if provider is None else provider.name
            HostJudge(result, subject, unusable=self._unusable).judge(self._ask_whose(used), ci_system)
        else:
            anonymous = read_channel(self._client, self._read_at, None)
            auth = None if used is None else used.auth
            known = None if auth is None else read_channel(self._client, self._read_at, auth)
            answered = anonymous.error is None and (known is None or known.error is None)
            identity = self._ask_whose(used) if answered else None
            ChannelJudge(result, subject, unusable=self._unusable).judge(anonymous, known, identity)

    # --- the credential -----------------------------------------------------------------------------------------------

    def _choose(self) -> Used | None:
        """The credential that the URL gets: its own, that of the server's variable, an exchanged one, a stored one."""
        session = Session(self._client, list, None, self._environ, self._trusted)
        try:
            used = None if self._trusted.insists else self._given(session)
            if self._subject.sort is SubjectKind.CHANNEL:
                used = self._exchange(session, used) or used
            return used if self._trusted.insists else self._as_read(used or self._stored())
        except CredentialError as error:
            self._unusable = True
            self._result.findings.append(Problem.of(error))
            return None

    def _given(self, session: Session) -> Used | None:
        """What takes precedence over trusted publishing."""
        subject = self._subject
        if subject.token is not None:
            return Used(subject.token, "the URL itself", in_url=True)
        if subject.asked != subject.url:  # it has a name and a password in it
            return self._stored()
        if subject.channel is None:
            return None
        given, _ = given_for_reading(subject.channel, target_of(subject.named), session)
        return None if given is None else Used(given.credential, given.source)

    def _exchange(self, session: Session, given: Used | None) -> Used | None:
        """The token for the CI system's identity, unless there is a credential that was *given*."""
        exchanging = Exchanging(session, self._subject.channel, self._subject.url, self._now)
        attempt = self._result.trusted = exchanging.attempt
        if given is not None:
            attempt.preceded_by = given.source
            return None
        access = exchanging.carry_out()
        if access is None:
            return None
        attempt.precedes = next(
            (f"key {key!r} of {opened.name}" for key, opened in self._tried if key in opened.keys), ""
        )
        return Used(access.credential, access.source)

    def _stored(self) -> Used | None:
        match = find(self._subject.asked, self._stores())
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

    def _as_read(self, used: Used | None) -> Used | None:
        """*used* as the channel sends it where packages are read, if the channel has a say in that."""
        channel = self._subject.channel
        settled = used is not None and (used.in_url or isinstance(used.credential, ExchangedToken))
        found = None if channel is None or settled else channel.reading_access(self._session())
        if found is None:
            return used
        self._read_at, access = found
        if access is None or not isinstance(access.credential, httpx2.Auth):
            return used
        if used is not None and access.source in {used.source, f"key {used.key!r} of {used.source}"}:
            return replace(used, sent=access.credential)
        return Used(access.credential, access.source, sent=access.credential)

    def _stores(self) -> list[Store]:
        return [opened.store for opened in self._result.stores if opened.store is not None]

    def _session(self) -> Session:
        """What a run works with."""
        return Session(self._client, self._stores, None, self._environ, self._trusted, self._buckets)

    def _look_at_stores(self, *, named: bool) -> None:
        result, used = self._result, self._result.used
        found = used is not None or self._unusable
        result.findings += mistakes.in_stores(result.stores, found=found)
        result.findings += mistakes.in_keys(self._place, result.keys, result.stores, found=found)
        if used is not None and used.key is not None:
            result.findings += mistakes.in_order((used.key, used.source), self._tried)
        if not found and not named:
            result.findings += mistakes.unread_files(self._place, self._environ, self._home)

    def _look_at(self, used: Used) -> None:
        result = self._result
        if isinstance(used.credential, ExchangedToken):  # which its own account says all of
            return
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
        if result.bucket is None and used.sent is None:  # otherwise the channel has looked at the kind itself
            result.findings += mistakes.in_kind(used.credential, self._subject.service, self._subject.url)

    def _ask_whose(self, used: Used | None) -> Identity | None:
        """What the server says of the credential itself, where there is such a question."""
        if used is None or isinstance(used.credential, ExchangedToken):  # whose that is, the identity says
            return None
        if not isinstance(used.credential, httpx2.Auth):
            return None
        service = self._subject.service
        if used.sent is not None and service is not None and not isinstance(used.credential, service.takes):
            return None  # it is for reading alone, and the server knows nobody by it
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
