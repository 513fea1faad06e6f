"""HTTP: one client, with retries, progress and redaction."""

from __future__ import annotations

from keelback.transport.body import ArchiveBody, Body, MultipartBody, PartBody, disposition
from keelback.transport.client import Client
from keelback.transport.download import Downloaded, download
from keelback.transport.explain import servers_words
from keelback.transport.messages import Answer, Origin, Request, origin_of
from keelback.transport.partial import Expected, unchanged
from keelback.transport.pools import is_loopback
from keelback.transport.renewable import RenewableAuth
from keelback.transport.retry import Retry, is_temporary

__all__ = [
    "Answer",
    "ArchiveBody",
    "Body",
    "Client",
    "Downloaded",
    "Expected",
    "MultipartBody",
    "Origin",
    "PartBody",
    "RenewableAuth",
    "Request",
    "Retry",
    "disposition",
    "download",
    "is_loopback",
    "is_temporary",
    "origin_of",
    "servers_words",
    "unchanged",
]
