"""How a file gets to anaconda.org: it is staged, sent in a form to storage, and committed (anaconda-client)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keelback.channels.anaconda_api import listed, text
from keelback.channels.answers import expect
from keelback.channels.forms import form_body, refused_by_storage, texts, without_secrets
from keelback.errors import ServerError
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.anaconda_api import Owner
    from keelback.channels.delivery import Delivery


@dataclass(frozen=True, slots=True)
class _Staged:
    """Where a file goes.

    Attributes:
        identifier: by which the API names the file.
        url: to which the form is sent.
        fields: of the form, in order.
    """

    identifier: str
    url: str
    fields: Mapping[str, str] = field(repr=False)


def upload(owner: Owner, archive: PackageArchive, labels: Sequence[str], delivery: Delivery) -> int | None:
    """Send *archive*, and put it under *labels*.

    Args:
        owner: whose file it becomes.
        archive: what is sent; its package and its release are there.
        labels: for a file that is new.
        delivery: told what happens meanwhile.

    Returns:
        How often its bytes were sent; ``None``, with nothing sent, where the owner has a file of that name.

    Raises:
        ServerError: the answers make no sense, or point to a place that is not trusted.
        KeelbackError: it did not work.
    """
    staged = _stage(owner, archive, labels)
    if staged is None:
        return None
    attempts = _send_form(owner, archive, staged, delivery)
    _commit(owner, archive, staged)
    return attempts


def delete(owner: Owner, archive: PackageArchive) -> None:
    """Remove the file, if it is there; with the last one, the server removes its release and its package."""
    answer = owner.call("DELETE", owner.path("dist", archive))
    if answer.status != 404:
        owner.demand(answer)


def _stage(owner: Owner, archive: PackageArchive, labels: Sequence[str]) -> _Staged | None:
    """Announce the file; ``None`` where there is one of that name."""
    body = {
        "distribution_type": "conda",
        "description": None,
        "attrs": dict(archive.index),
        "channels": labels,
        "sha256": archive.sha256,
    }
    answer = owner.call("POST", owner.path("stage", archive), body)
    if answer.status == 409:
        return None
    document = owner.document(answer, 200)
    identifier, url, fields = text(document, "dist_id"), text(document, "post_url"), texts(document.get("form_data"))
    if identifier is None or url is None or fields is None:
        raise ServerError(f"{owner.api} did not say where to send {archive.filename}", status=answer.status)
    if not url.startswith("https://") and (owner.api.startswith("https:") or not url.startswith("http://")):
        raise ServerError(f"{owner.api} wants the file sent to an address that is not https", status=answer.status)
    return _Staged(identifier, url, fields)


def _send_form(owner: Owner, archive: PackageArchive, staged: _Staged, delivery: Delivery) -> int:
    """Send the bytes, without the token; returns how often they were sent."""
    md5 = base64.b64encode(bytes.fromhex(archive.md5)).decode()
    fields = {**staged.fields, "Content-Length": str(archive.size), "Content-MD5": md5}
    body = form_body(fields, archive, delivery)
    headers = {"accept": "application/json"}
    answer = owner.client.send(Request("POST", staged.url, headers=headers, body=body, retried=delivery.retried))
    answer = without_secrets(answer, staged.fields.values())
    if answer.status in (401, 403):
        raise refused_by_storage(answer, owner.api)
    return expect(answer).attempts


def _commit(owner: Owner, archive: PackageArchive, staged: _Staged) -> None:
    answer = owner.call("POST", owner.path("commit", archive), {"dist_id": staged.identifier})
    if answer.uncertain and not answer.ok:  # the first commit may have worked, and the second found nothing to do
        file = owner.file(archive)
        if file is not None and listed(file).same_bytes(archive):
            return
    owner.demand(answer)
