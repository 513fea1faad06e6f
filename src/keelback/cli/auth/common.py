"""What the commands of ``keelback auth`` share: the stores, a client, messages."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.channels.session import BucketOptions
    from keelback.credentials.stores import Store
    from keelback.transport import Client

_WEB: Final = frozenset({"http", "https"})


def stores_of(auth_file: str | None, *, no_keychain: bool, to_write: bool = False) -> list[Store]:
    """The stores that the options leave; a file that was named need not be there yet where it is *to_write*."""
    from keelback.credentials.opening import default_stores  # noqa: PLC0415 - not for --help

    log_to_stderr()
    path = None if auth_file is None else Path(auth_file)
    return default_stores(path, keychain=not no_keychain, required=not to_write)


def new_client(insecure_hosts: Sequence[str] = ()) -> Client:
    """A client for a few questions that a person waits for."""
    from keelback.transport import Client, Retry  # noqa: PLC0415 - not for --help

    return Client(retry=Retry(attempts=3, base=0.5, patience=10), timeout=30, insecure_hosts=insecure_hosts)


def warn(text: str) -> None:
    """A warning on standard error."""
    click.echo(f"{click.style('warning:', fg='yellow')} {redact(text)}", err=True)


def note(text: str) -> None:
    """A line on standard error."""
    click.echo(redact(text), err=True)


def in_a_sentence(store: Store) -> str:
    """The name of *store* with its article, where it has one."""
    return f"the {store.name}" if store.name.startswith("default ") else store.name


def url_path(place: str) -> str:
    """The path of *place*, a host or a URL, without a slash at its end; empty where it has none."""
    from keelback.credentials.logins import url_of  # noqa: PLC0415 - not for --help

    return urlsplit(url_of(place)).path.rstrip("/")


def stored_for(place: str, buckets: BucketOptions | None = None) -> str:
    """What the credential for *place* is looked up for: *place* itself, or what its kind of server makes of it.

    Args:
        place: a host or a URL.
        buckets: where buckets are.

    Raises:
        UsageError: it names a bucket or another channel, and no valid one.
    """
    from keelback.channels.buckets.keycheck import bucket_channel  # noqa: PLC0415 - not for --help
    from keelback.channels.session import Session  # noqa: PLC0415 - not for --help

    channel = bucket_channel(place)
    if channel is None and _is_named_by_kind(place):
        from keelback.credentials.lookup import login_name  # noqa: PLC0415 - not for --help
        from keelback.diagnosis.subject import understood  # noqa: PLC0415 - not for --help

        return login_name(understood(place).url)
    if channel is None or place.startswith("s3://"):  # which rattler looks for as it is written
        return place
    with new_client() as client:
        return channel.stored_for(Session(client, list, buckets=buckets))


def _is_named_by_kind(place: str) -> bool:
    """Whether *place* is written ``KIND://...``, as ``cloudsmith://OWNER/REPOSITORY`` is."""
    from keelback.channels.identity import service_of  # noqa: PLC0415 - not for --help

    scheme, separator, _ = place.partition("://")
    return bool(separator) and "+" not in scheme and scheme.lower() not in _WEB and service_of(place) is not None


def log_to_stderr() -> None:
    """Show the warnings of the library."""
    logger = logging.getLogger("keelback")
    logger.handlers = [_Warnings(logging.WARNING)]


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage())
