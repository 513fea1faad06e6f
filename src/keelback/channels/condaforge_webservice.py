"""How conda-forge copies packages from its staging area: it is asked once; if the answer is lost, they are looked for.

(conda-forge-webservices, ``/feedstock-outputs/copy``; conda-forge-ci-setup, ``feedstock_outputs.py``.) The service
looks whether the feedstock may have such packages, copies them, and removes them from the staging area. It goes on
with that after its answer has timed out, and a second request, which finds the staging area empty, is a failure that
it reports in public: so that the request is never repeated once it may have arrived.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keelback.channels.answers import error_of
from keelback.errors import ChannelError, CredentialRefused, Interrupted, KeelbackError, ServerError
from keelback.hosts import host_of
from keelback.secret import redact
from keelback.stopping import on_stop
from keelback.transport import Request, servers_words
from keelback.transport.failures import BROKEN, NEVER_SENT, no_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx2

    from keelback.archive import PackageArchive
    from keelback.transport import Answer, Client

_log = logging.getLogger(__name__)

PAUSES: Final = (10.0, 10.0, 10.0, 16.0, 32.0)
"""The seconds before each look for packages whose copying got no answer (conda-forge-ci-setup)."""
_REFUSED: Final = "invalid feedstock token"
"""What the service says of a token that is not that of the feedstock; no status of its own says so."""
_LONGEST: Final = 300
"""How many characters of the service's message about one package are shown."""


@dataclass(frozen=True)
class Feedstock:
    """What conda-forge is told of the job that asks.

    Attributes:
        name: of the repository, ``foo-feedstock``.
        provider: the CI system, as feedstock tokens name it.
        git_sha: the commit that the packages were built of.
        comment_on_error: whether a failure becomes a comment or an issue in the repository.
    """

    name: str
    provider: str | None = None
    git_sha: str | None = None
    comment_on_error: bool = False

    def document(self, label: str, archives: Sequence[PackageArchive]) -> dict[str, Any]:
        """The request to copy *archives* into *label*, as JSON; nothing in it is secret."""
        document = {
            "feedstock": self.name,
            "outputs": {archive.relative_path: archive.sha256 for archive in archives},
            "channel": label,
            "comment_on_error": self.comment_on_error,
            "hash_type": "sha256",
            "provider": self.provider,
        }
        return document if self.git_sha is None else {**document, "git_sha": self.git_sha}


class _NoVerdict(Exception):
    """The request may have arrived, but no answer came."""


class Webservice:
    """The service that copies packages out of the staging area.

    Args:
        client: sends the request.
        endpoint: where it goes.
        auth: puts the feedstock's token onto it.
        source: where that token came from, for messages.
        has_arrived: whether conda-forge has an archive under a label.
        pauses: the seconds before each look for archives of which nothing was said.
    """

    def __init__(
        self,
        client: Client,
        endpoint: str,
        *,
        auth: httpx2.Auth,
        source: str,
        has_arrived: Callable[[PackageArchive, str], bool],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._auth = auth
        self._source = source
        self._has_arrived = has_arrived
        self._pauses = pauses

    def copy(self, feedstock: Feedstock, label: str, archives: Sequence[PackageArchive]) -> Mapping[str, KeelbackError]:
        """Ask for *archives* to be copied into *label*; returns, by relative path, why some were not.

        Raises:
            Interrupted: the user stopped it.
        """
        try:
            answer = self._ask(json.dumps(feedstock.document(label, archives)).encode())
            return self._verdicts(answer, feedstock, archives)
        except _NoVerdict as error:
            return self._look_for(label, archives, why=str(error))
        except Interrupted:
            raise
        except KeelbackError as error:  # the service was not asked
            return {archive.relative_path: error for archive in archives}

    def _ask(self, document: bytes) -> Answer:
        headers = {"content-type": "application/json", "accept": "application/json"}
        request = Request("POST", self._endpoint, auth=self._auth, headers=headers, body=document)

        def once() -> Answer:
            try:
                answer = self._client.send_once(request)
            except NEVER_SENT:
                raise
            except BROKEN as error:
                raise _NoVerdict(no_answer(request, error, 1)) from error
            if answer.status >= 500:
                raise _NoVerdict(error_of(answer))
            return answer

        return self._client.persist(request, once)

    def _verdicts(
        self, answer: Answer, feedstock: Feedstock, archives: Sequence[PackageArchive]
    ) -> Mapping[str, KeelbackError]:
        document = answer.json()
        copied = document.get("copied") if isinstance(document, dict) else None
        if isinstance(copied, dict):
            paths = [archive.relative_path for archive in archives]
            return {path: self._refusal(answer, document, path) for path in paths if copied.get(path) is not True}
        if answer.ok:
            raise _NoVerdict(f"{host_of(self._endpoint)} answered {answer.status}, and not what it copied")
        error = error_of(answer, source=self._source)
        if 400 <= answer.status <= 499 and _REFUSED in servers_words(answer).lower():
            error = CredentialRefused(
                f"{host_of(self._endpoint)} refused the token from {self._source} ({answer.status}): "
                f"{servers_words(answer)}",
                hint=f"Check that it is the token of {feedstock.name}.",
            )
        elif isinstance(error, ServerError) and 400 <= answer.status <= 499:
            error.hint = f"Check the name of the feedstock, and the token from {self._source}."
        return {archive.relative_path: error for archive in archives}

    def _refusal(self, answer: Answer, document: Mapping[str, Any], path: str) -> ServerError:
        """Why *path* was not copied, in the service's words: those about this file, or all where there are none."""
        errors = document.get("errors")
        said = [error for error in errors if isinstance(error, str)] if isinstance(errors, list) else []
        words = "; ".join([error for error in said if path in error] or said)
        valid = document.get("valid")
        if isinstance(valid, dict) and valid.get(path) is False:
            words = f"not valid: {words}".removesuffix(": ")
        words = " ".join(redact(words).split())[:_LONGEST]
        return ServerError(
            f"{host_of(self._endpoint)} did not copy {path} to conda-forge ({answer.status}): {words}".removesuffix(
                ": "
            ),
            status=answer.status,
            hint="Put right what it says, then run it again: what is in the staging area is not sent again.",
            code="not-copied",
        )

    def _look_for(self, label: str, archives: Sequence[PackageArchive], *, why: str) -> Mapping[str, KeelbackError]:
        """By relative path, an error for each of *archives* that does not turn up."""
        missing = list(archives)
        for seconds in self._pauses:
            _log.warning("%s; looking for %d packages in %.0f s", why, len(missing), seconds)
            _wait(seconds)
            missing = [archive for archive in missing if not self._is_there(archive, label)]
            if not missing:
                break
        return {archive.relative_path: _unknown(archive, label, why) for archive in missing}

    def _is_there(self, archive: PackageArchive, label: str) -> bool:
        try:
            return self._has_arrived(archive, label)
        except Interrupted:
            raise
        except KeelbackError as error:
            _log.info("%s: %s", archive.filename, error)
            return False


def _unknown(archive: PackageArchive, label: str, why: str) -> ChannelError:
    return ChannelError(
        f"whether conda-forge copied {archive.relative_path} is not known: {why}; "
        f"it has not turned up under the label {label}",
        hint="It may still do. Run it again later: what is there by then is left alone.",
        code="not-copied",
    )


def _wait(seconds: float) -> None:
    over = threading.Event()
    with on_stop(over.set):
        if over.wait(seconds):
            raise Interrupted("stopped before it was known what conda-forge copied")
