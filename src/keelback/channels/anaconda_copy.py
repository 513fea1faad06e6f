"""Copies that anaconda.org makes itself, from owner to owner, or from label to label (anaconda-client: copy, label)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.channels.anaconda_api import file_path
from keelback.channels.answers import expect
from keelback.channels.delivery import Refusal
from keelback.channels.relay.servercopy import CannotCopy, ServerCopy
from keelback.channels.relay.stream import changed
from keelback.errors import ServerError
from keelback.transport import servers_words

if TYPE_CHECKING:
    from keelback.archive import PackageArchive
    from keelback.channels.anaconda import AnacondaChannel
    from keelback.listing import Listed

_CANNOT: Final = frozenset({400, 403, 404, 405, 422, 500, 501})
"""Statuses with which the server does not copy, but may still take an upload: it has no such route, the token may not
read the source, or the copy fails inside the server."""


class AnacondaCopy(ServerCopy):
    """Copies between the labels of an owner, and between owners, of the same server.

    An owner has one file of a name, on which labels are put: from label to label, there is no second file. What the
    server says of a copy is checked: afterwards, the file has to be there, with its label. A label is put only on the
    bytes that the index of the source names.

    Args:
        source: from which is copied.
        target: to which; opened.
    """

    def __init__(self, source: AnacondaChannel, target: AnacondaChannel) -> None:
        self._source = source
        self._target = target
        self._is_one_owner = source.owner == target.owner

    def find(self, archive: PackageArchive) -> Listed | None:
        """See :class:`ServerCopy`; a file of the same owner without the label is not there yet."""
        found = self._target.find(archive)
        labelled_here = found is None or self._target.has_labels(archive)
        return None if self._is_one_owner and not labelled_here and found and found.same_bytes(archive) else found

    def copy(self, archive: PackageArchive, *, overwrite: bool) -> int:
        """``POST /channels/OWNER/LABEL`` for a label, ``POST`` or ``PUT /copy/package/...`` for another owner."""
        attempts = 1
        if self._is_one_owner:
            if not self._is_there(archive):
                raise changed(f"{self._source.url}/{archive.relative_path}", "it was replaced or deleted")
            self._target.keep(archive)
        else:
            attempts = self._ask(archive, overwrite=overwrite)
            if self._is_there(archive) and not self._target.has_labels(archive):
                self._target.keep(archive)
        if not self._is_there(archive) or not self._target.has_labels(archive):
            raise ServerError(
                f"{self._target.url} says that it has copied {archive.relative_path}, and has not those bytes there",
                status=200,
                hint="Look at the file on the server; with --force, it is copied again.",
            )
        return attempts

    def _is_there(self, archive: PackageArchive) -> bool:
        found = self._target.find(archive)
        return found is not None and found.same_bytes(archive) is True

    def _ask(self, archive: PackageArchive, *, overwrite: bool) -> int:
        places = {
            "to_owner": self._target.owner,
            "from_channel": self._source.labels[0],
            "to_channel": self._target.labels[0],
        }
        path = f"copy/package/{file_path(self._source.owner, archive)}"
        answer = self._target.api.call("PUT" if overwrite else "POST", path, places)
        if answer.status == 409 and not overwrite:
            raise Refusal(answer.attempts, uncertain=answer.uncertain)
        if answer.status in _CANNOT:
            raise CannotCopy(f"{answer.status} {servers_words(answer)}".rstrip())
        expect(answer)
        return answer.attempts
