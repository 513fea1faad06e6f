"""What the HTTP libraries log, without secrets: tokens in the path of a URL, header fields that a server echoes."""

from __future__ import annotations

import logging
from typing import Final

from keelback.secret import redact

_LOGGERS: Final = (
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
)
"""By name, one by one: a logger's filters are not asked about the records of the loggers below it."""


class _Redaction(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return True


_REDACTION: Final = _Redaction()


def redact_logs() -> None:
    """Take secrets out of whatever the HTTP libraries log from now on; doing it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_REDACTION)
