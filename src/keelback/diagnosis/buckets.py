"""Asks a bucket: whether it takes the credential that is found for it, and whether the channel in it can be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from keelback.channels.buckets.keycheck import see_first
from keelback.diagnosis.asking import Reading, read_channel
from keelback.diagnosis.result import Used
from keelback.errors import KeelbackError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.channels.access import Access
    from keelback.channels.buckets.bucket import Bucket
    from keelback.channels.buckets.keycheck import CheckedBucketChannel
    from keelback.channels.session import Session
    from keelback.diagnosis.stores import Opened


@dataclass(frozen=True)
class BucketAnswers:
    """What a bucket said.

    Attributes:
        refusal: why its objects were not listed with the credential; ``None`` where they were, or there is none.
        reading: what came of reading the channel's index, with the credential where there is one.
    """

    refusal: KeelbackError | None
    reading: Reading


class BucketQuestions:
    """One channel in a bucket, and the credential that a run gets for it.

    Args:
        channel: the channel.
        session: what a run works with.

    Raises:
        UsageError: what the session says of the bucket is invalid.
        CredentialError: there is a credential, and it cannot be used.
        TransportError: no answer came from where the credential is to be got.
    """

    def __init__(self, channel: CheckedBucketChannel, session: Session) -> None:
        self._client = session.client
        self._bucket: Bucket = channel.bucket(session)
        self._access = self._bucket.access()

    def used(self, tried: Sequence[tuple[str, Opened]]) -> Used | None:
        """The credential; where it is one of a store, that is told from the keys that are *tried*."""
        access = self._access
        if access is None:
            return None
        found = next(((key, opened) for key, opened in tried if access.source == f"key {key!r} of {opened.name}"), None)
        if found is None:
            return Used(access.credential, access.source)
        key, opened = found
        return Used(access.credential, opened.name, key)

    def put(self) -> BucketAnswers:
        """Ask the bucket for the first of its objects, and for the channel's index."""
        refusal = None
        try:
            if self._access is None:
                self._bucket.locate()
            else:
                see_first(self._bucket)
        except TransportError as error:
            return BucketAnswers(error, Reading(None))
        except KeelbackError as error:
            refusal = error
        return BucketAnswers(refusal, read_channel(self._client, self.reading_url, _auth_of(self._access)))

    @property
    def reading_url(self) -> str:
        """Where the channel is read, as far as is known by now."""
        return self._bucket.reading_url


def shown_settings(settings: Mapping[str, str], questions: BucketQuestions | None) -> dict[str, str]:
    """The *settings* of a bucket, and where the channel in it is read."""
    return {**settings, **({} if questions is None else {"reading_url": questions.reading_url})}


def _auth_of(access: Access | None) -> httpx2.Auth | None:
    if access is None:
        return None
    assert isinstance(access.credential, httpx2.Auth)  # noqa: S101 - what a bucket gives
    return access.credential
