"""What a service with the S3 protocol answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from keelback.channels.buckets.s3xml import error_in
from keelback.transport.dates import http_time

if TYPE_CHECKING:
    from keelback.transport import Answer

_REGION: Final = re.compile(r"[a-z0-9-]{1,63}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service answered.

    Attributes:
        answer: all of it; its status is that of the error, also where that came late, with a 200.
        code: the word by which the service calls its error; empty where there is none.
        region: the region in which it says that the bucket is; empty where it does not.
    """

    answer: Answer
    code: str
    region: str

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """The reply that *answer* is."""
        if answer.ok:
            return cls(answer, "", "")
        error = error_in(answer.content)
        region = answer.headers.get("x-amz-bucket-region") or error.get("Region", "")
        return cls(answer, error.get("Code", ""), region if _REGION.fullmatch(region) else "")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.answer.status

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.answer.ok

    @property
    def date(self) -> float | None:
        """When the service says that it is, in Unix seconds; ``None`` where it does not."""
        return http_time(self.answer.headers.get("date"))
