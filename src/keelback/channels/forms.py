"""Forms in which files are sent to where a server says: mostly the storage of another service, without a credential."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from keelback.errors import ServerError
from keelback.hosts import host_of
from keelback.secret import MASK
from keelback.transport import ArchiveBody, MultipartBody, disposition, servers_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keelback.archive import PackageArchive
    from keelback.channels.delivery import Delivery
    from keelback.transport import Answer


def form_body(
    fields: Mapping[str, str], archive: PackageArchive, delivery: Delivery, *, filename: str | None = None
) -> MultipartBody:
    """A form with *fields* in their order, and then the file: S3 ignores what follows it (Amazon S3 API, POST Object).

    Args:
        fields: by name.
        archive: what is sent.
        delivery: told what is out.
        filename: what the form calls the file; ``None`` for no name.
    """
    file = disposition("file") if filename is None else disposition("file", filename)
    return MultipartBody(
        [
            *(([disposition(name)], value) for name, value in fields.items()),
            ([file], ArchiveBody(archive, delivery.sent)),
        ]
    )


def texts(value: object) -> dict[str, str] | None:
    """*value*, which a server sent, if it is an object of texts that can be sent; else ``None``."""
    if not isinstance(value, dict) or not all(map(_is_text, [*value, *value.values()])):
        return None
    return dict(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def without_secrets(answer: Answer, secrets: Iterable[str]) -> Answer:
    """*answer* with *secrets* masked, in every spelling: with the fields of a form, anybody can upload once."""
    content = answer.content
    for secret in secrets:
        if len(secret) > len(MASK):
            for spelling in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], html.escape(secret)}:
                content = content.replace(spelling.encode(), MASK.encode())
    return replace(answer, content=content)


def refused_by_storage(answer: Answer, server: str) -> ServerError:
    """The error for a 401 or 403 of the storage that *server* chose: no credential of ours was refused."""
    refused = (
        f"{host_of(answer.url)}, where {host_of(server)} wants the file, refused it ({answer.status}): "
        f"{servers_words(answer)}"
    )
    error = ServerError(refused.removesuffix(": "), status=answer.status)
    error.attempts = answer.attempts
    return error
