"""What an examination found: which credential a URL gets, what its server said, and what that means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2

from keelback.errors import ExitStatus
from keelback.report import JSON_VERSION, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.credentials.kinds import Credential
    from keelback.diagnosis.asking import Asked
    from keelback.diagnosis.exchanging import Attempt
    from keelback.diagnosis.stores import Opened
    from keelback.diagnosis.subject import SubjectKind


@dataclass(frozen=True)
class Used:
    """The credential that the URL gets.

    Attributes:
        credential: the credential.
        source: where it is: a store's name, a variable, trusted publishing, the URL itself.
        key: under which key; ``None`` where it is not in a store.
        writable: whether its store can be given a renewed one.
        in_url: whether it stands in the URL itself.
        sent: what the channel makes of it where packages are read; ``None`` where the channel leaves it as it is.
    """

    credential: Credential
    source: str
    key: str | None = None
    writable: bool = False
    in_url: bool = False
    sent: Credential | None = None

    @property
    def as_read(self) -> Credential:
        """What is sent where packages are read."""
        return self.sent or self.credential

    @property
    def auth(self) -> httpx2.Auth | None:
        """What puts it onto a request for packages; ``None`` where it is nothing for a web server."""
        return self.as_read if isinstance(self.as_read, httpx2.Auth) else None


@dataclass
class Checkup:
    """What is known of the credential of one URL.

    Attributes:
        url: what was asked about, without anything secret.
        sort: what that is.
        host: its host, as it stands in keys.
        stores: all stores.
        keys: the keys that serve it, in the order in which they are tried.
        trusted: what came of trusted publishing; ``None`` where there is no channel for it.
        used: the credential; ``None`` where there is none, or none that can be used.
        serves: which URLs its key is for.
        expires: when it expires, in words.
        bucket: where the bucket is, by name: the settings in force; ``None`` for what is none.
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
    trusted: Attempt | None = None
    used: Used | None = None
    serves: str = ""
    expires: str = ""
    bucket: Mapping[str, str] | None = None
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
            "trusted_publishing": None if self.trusted is None else self.trusted.to_json(),
            "bucket": None if self.bucket is None else dict(self.bucket),
            "requests": [asked.to_json() for asked in self.requests],
            "read": self.read,
            "upload": self.upload,
            "identity": self.identity,
            "findings": [problem.to_json() for problem in self.findings],
            "verdict": self.verdict,
        }
