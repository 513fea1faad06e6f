"""Requests to a bucket with the S3 protocol: where they go, how they are signed, and which mistakes are corrected.

(Amazon S3 API Reference; "Virtual hosting of buckets" and "Making requests" of the Amazon S3 User Guide.)
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

from keelback.channels.buckets.listings import checked_key
from keelback.channels.buckets.s3errors import SKEWED, Place, s3_error
from keelback.channels.buckets.s3reply import Reply
from keelback.channels.buckets.s3xml import error_in
from keelback.credentials.sigv4 import SigV4
from keelback.hosts import host_of, is_address
from keelback.transport import Client as TransportClient
from keelback.transport import Request, Retry, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.channels.buckets.s3errors import Action
    from keelback.credentials.aws.settings import S3Settings
    from keelback.credentials.kinds import S3Credentials
    from keelback.errors import KeelbackError
    from keelback.transport import Answer, Body, Client

_log = logging.getLogger(__name__)

_DNS_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn")
_NAMES_REGION: Final = frozenset({301, 307, 400, 403})
_MOST_CORRECTIONS: Final = 2
_LARGEST_ANSWER: Final = 1 << 20

_PASSES: Final = {
    "ConditionalRequestConflict": 429,
    "OperationAborted": 429,
    "RequestTimeout": 408,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "SlowDown": 503,
}
"""Errors that may be gone a moment later, whatever status they come with, and the status that says so."""
_LATE: Final = {"PreconditionFailed": 412, "NoSuchUpload": 404, "NoSuchKey": 404, "AccessDenied": 403}
"""The status that an error would have had, if it had been known before the service answered with 200."""


class BucketRequests:
    """Sends requests to one bucket.

    A bucket that turns out to be in another region, and a clock that is wrong, are corrected for all requests to come,
    with a line in the log.

    Args:
        client: sends them.
        bucket: its name.
        prefix: of all keys, without slashes at its ends; may be empty.
        settings: the endpoint, the region, and whether the bucket's name goes into the path.
        keys: gives the keys that sign; ``None`` for a bucket that everybody may use.
        source: where the keys came from, for messages.

    Attributes:
        auth: signs; ``None`` without keys.
        prefix, source: see above.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        prefix: str,
        settings: S3Settings,
        keys: Callable[[], S3Credentials] | None,
        source: str,
    ) -> None:
        self.prefix = prefix
        self.source = source
        self.auth = None if keys is None else SigV4(keys, settings.region)
        self._client = client
        self._bucket = bucket
        self._settings = settings

    @property
    def place(self) -> Place:
        """What messages say of the bucket."""
        resource = "/".join(filter(None, (f"arn:aws:s3:::{self._bucket}", self.prefix, "*")))
        source = None if self.auth is None else self.source
        host = urlsplit(self._settings.endpoint).netloc
        return Place(self._bucket, host, self._settings.region, resource, source)

    @property
    def base(self) -> str:
        """The URL of the bucket, without a slash at its end."""
        scheme, host = urlsplit(self._settings.endpoint)[:2]
        if self.by_path:
            return f"{scheme}://{host}/{quote(self._bucket, safe='')}"
        return f"{scheme}://{self._bucket}.{host}"

    @property
    def by_path(self) -> bool:
        """Whether the bucket's name goes into the path, and not into the host name.

        No certificate for ``*.HOST`` counts for a name with a dot; an address has no names below it.
        """
        parts = urlsplit(self._settings.endpoint)
        return (
            self._settings.path_style
            or not _DNS_NAME.fullmatch(self._bucket)
            or ("." in self._bucket and parts.scheme == "https")
            or is_loopback(parts.hostname or "")
            or is_address(host_of(self._settings.endpoint))
        )

    def full_key(self, key: str) -> str:
        """*key*, which is relative to the channel, as the bucket has it."""
        return f"{self.prefix}/{key}" if self.prefix else key

    def apart(self) -> BucketRequests:
        """The same with connections of its own and short timeouts, for requests after a run was stopped.

        The caller closes it.
        """
        host = urlsplit(self._settings.endpoint).hostname or ""
        insecure = [host] if self._client.may_be_insecure(self.base) else []
        other = copy.copy(self)
        other._client = TransportClient(  # noqa: SLF001 - of this class
            retry=Retry(attempts=2, base=0.1), timeout=10.0, connect_timeout=5.0, insecure_hosts=insecure
        )
        return other

    def close(self) -> None:
        """Close the connections; only for what :meth:`apart` has returned."""
        self._client.close()

    def send(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        limit: int = _LARGEST_ANSWER,
        retried: Callable[[float, str], None] | None = None,
        late: bool = False,
    ) -> Reply:
        """Send a request about *key*, relative to the channel, or about the bucket, and return the last reply.

        Args:
            method: of HTTP.
            key: of an object; ``None`` for the bucket.
            query: names and values.
            headers: more header fields.
            body: what is sent.
            limit: bytes that the answer may have.
            retried: told of each repetition.
            late: whether an error may come with the status 200.

        Raises:
            TransportError, Interrupted: as :meth:`keelback.transport.Client.send`.
        """
        corrections = 0
        while True:
            region, offset = self._settings.region, 0.0 if self.auth is None else self.auth.offset
            request = Request(
                method,
                self._url(key, query),
                auth=self.auth,
                headers=headers or {},
                body=body,
                limit=limit,
                retried=retried,
            )
            reply = self._persist(request, late=late)
            corrections += 1
            if corrections > _MOST_CORRECTIONS or not (self._moved(reply, region) or self._reset_clock(reply, offset)):
                return reply
            if retried is not None:
                retried(0.0, "it goes to another region, or with another time, from now on")

    def expect(self, reply: Reply, action: Action) -> Reply:
        """*reply*, if it is a success; raises the error that it stands for otherwise, when *action* was asked for."""
        if not reply.ok:
            raise self.error(reply, action)
        return reply

    def error(self, reply: Reply, action: Action) -> KeelbackError:
        """What *reply*, which does not say that *action* worked, means."""
        return s3_error(reply, action, self.place)

    def _persist(self, request: Request, *, late: bool) -> Reply:
        def once() -> Answer:
            answer = self._client.send_once(request)
            if answer.ok and not late:
                return answer
            code = error_in(answer.content).get("Code", "")
            if code in _PASSES:
                return dataclasses.replace(answer, status=_PASSES[code])
            return dataclasses.replace(answer, status=_LATE.get(code, 400)) if answer.ok and code else answer

        return Reply.of(self._client.persist(request, once))

    def _url(self, key: str | None, query: Mapping[str, str] | None) -> str:
        path = "" if key is None else quote(checked_key(self.full_key(key)), safe="/-_.~")
        slash = "" if key is None and self.by_path else "/"
        fields = urlencode(query or {}, quote_via=quote, safe="-_.~")
        return f"{self.base}{slash}{path}{'?' if fields else ''}{fields}"

    def _moved(self, reply: Reply, region: str) -> bool:
        """Whether *reply*, to a request signed for *region*, names another, which is used from now on."""
        if not reply.region or reply.region == region or reply.status not in _NAMES_REGION:
            return False
        if self._settings.region == region:  # no other thread was faster
            endpoint = _endpoint_in(reply.region, self._settings.endpoint, region)
            _log.warning(
                "bucket %s is in region %s, and not in %s: using that from now on; --region %s saves the detour",
                self._bucket,
                reply.region,
                region,
                reply.region,
            )
            self._settings = dataclasses.replace(self._settings, endpoint=endpoint, region=reply.region)
            if self.auth is not None:
                self.auth.region = reply.region
        return True

    def _reset_clock(self, reply: Reply, offset: float) -> bool:
        """Whether *reply* complains of the clock, which was *offset* when it was asked, and has been set since."""
        return reply.code in SKEWED and self.auth is not None and self.auth.offset != offset


def _endpoint_in(region: str, endpoint: str, old: str) -> str:
    """*endpoint*, which serves the region *old*, for another *region*: AWS has one for each, others have not.

    (AWS General Reference, "Amazon Simple Storage Service endpoints and quotas".)
    """
    scheme, host = urlsplit(endpoint)[:2]
    if not host.endswith(_AMAZON):
        return endpoint
    if host == "s3.amazonaws.com":
        return f"{scheme}://s3.{region}.amazonaws.com"
    labels = [region if label == old else label for label in host.split(".")]
    return f"{scheme}://{'.'.join(labels)}"
