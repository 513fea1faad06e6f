"""conda-forge: packages of a feedstock go to a staging area; conda-forge copies those that it finds valid."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from keelback.channels.access import Access, given_token, in_order
from keelback.channels.anaconda import MAIN, SERVER, AnacondaChannel
from keelback.channels.base import Channel
from keelback.channels.condaforge_targets import OWNER, label_of
from keelback.channels.condaforge_webservice import PAUSES, Feedstock, Webservice
from keelback.channels.delivery import Arrival, Delivery, Refusal
from keelback.channels.memo import Memo
from keelback.channels.reading import IndexReader
from keelback.channels.target import check_server
from keelback.credentials.kinds import CondaToken, check_token
from keelback.errors import ConflictError, CredentialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.credentials.kinds import Credential
    from keelback.errors import KeelbackError
    from keelback.listing import Listed
    from keelback.secret import Secret

STAGING: Final = "cf-staging"
ENDPOINT: Final = "https://conda-forge.herokuapp.com/feedstock-outputs/copy"


class CondaForgeChannel(Channel):
    """conda-forge, as a channel for the packages of one feedstock.

    Each package goes under the label that it names itself (:mod:`keelback.channels.condaforge_targets`).

    Args:
        feedstock: the repository, ``foo-feedstock``.
        feedstock_token: the token of that feedstock; otherwise that of the variable ``FEEDSTOCK_TOKEN``.
        staging: the owner of the staging area.
        url: the API of anaconda.org.
        endpoint: where conda-forge is asked to take packages over.
        provider: the CI system, as the feedstock's tokens name it.
        git_sha: the commit that the packages were built of.
        pauses: the seconds before each look for packages of which conda-forge has not said what became of them.
    """

    kind: ClassVar[str] = "conda-forge"
    title: ClassVar[str] = "conda-forge's staging area"
    takes: ClassVar[tuple[type[Credential], ...]] = (CondaToken,)
    variables: ClassVar[tuple[str, ...]] = ("STAGING_BINSTAR_TOKEN",)
    needs_md5: ClassVar[bool] = True
    arrival: ClassVar[Arrival] = Arrival.DECIDED

    def __init__(
        self,
        feedstock: str,
        *,
        feedstock_token: Secret | None = None,
        staging: str = STAGING,
        url: str = SERVER,
        endpoint: str = ENDPOINT,
        provider: str | None = None,
        git_sha: str | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._api = check_server(url, "--anaconda-url")
        self._endpoint = check_server(endpoint, "--validation-endpoint")
        self._feedstock = Feedstock(feedstock, provider, git_sha)
        self._feedstock_token = feedstock_token
        self._staging_owner = staging
        self._pauses = pauses
        self.url = self._owned(OWNER, MAIN).url
        self._labels: Memo[str] = Memo()
        self._owners: Memo[_Owner] = Memo()
        self._staged: list[PackageArchive] = []
        self._staging_lock = threading.Lock()
        self._rejected: dict[str, KeelbackError] = {}

    @classmethod
    def from_target(cls, target: Target) -> CondaForgeChannel | None:  # noqa: ARG003 - no URL says whose feedstock it is
        """See :class:`Channel`: no URL names it."""
        return None

    # --- credentials ------------------------------------------------------------------------------------------------

    def given_access(self, session: Session) -> Access | None:
        """See :class:`Channel`: the token of the staging area."""
        access = given_token(session, self._api, CondaToken, *self.variables, server=self.title)
        if access is not None and isinstance(access.credential, CondaToken):
            _check_replaced(access.credential.token)
        return access

    def server_copy(self, source: Channel | None) -> NoReturn:  # noqa: ARG002 - whatever it is
        """See :class:`Channel`: it takes what a feedstock has built, and nothing from another channel."""
        raise UsageError(f"{self.url} takes no copies", hint="Fetch the packages, then publish them.")

    def open(self, session: Session) -> None:
        """See :class:`Channel`: both tokens have to be given; none from a store is for this."""
        self._session = session
        self._access = in_order(
            session, self._api, given=lambda: self.given_access(session), exchange=None, stored=_no_staging_token
        )
        token = self._feedstock_token or session.variable("FEEDSTOCK_TOKEN", self._endpoint)
        if token is None:
            raise CredentialError(
                "No token of the feedstock.", hint="Give it by --feedstock-token or the variable FEEDSTOCK_TOKEN."
            )
        source = token.source or "the given feedstock token"
        auth = CondaToken(check_token(_check_replaced(token), source)).header("FEEDSTOCK_TOKEN")
        self._webservice = Webservice(
            session.client,
            self._endpoint,
            auth=auth,
            source=source,
            has_arrived=self._has_arrived,
            pauses=self._pauses,
        )

    def check_credential(self) -> None:
        """See :class:`Channel`."""
        self._owner(self._staging_owner, MAIN).check_credential()

    # --- the archives -----------------------------------------------------------------------------------------------

    def examine(self, archives: Sequence[PackageArchive]) -> None:
        """See :class:`Channel`: each archive has to say for which label it is."""
        for archive in archives:
            self._label(archive)

    def begin(self, archives: Sequence[PackageArchive]) -> None:  # noqa: ARG002 - of whatever archives
        """See :class:`Channel`."""
        self._staged, self._rejected = [], {}

    def find(self, archive: PackageArchive) -> Listed | None:
        """What conda-forge itself has; a file in the staging area is noticed when this one is sent."""
        label = self._label(archive)
        production = self._owner(OWNER, label)
        found = production.find(archive)
        if found is not None and found.same_bytes(archive) and label not in production.labels_found(archive):
            return None
        return found

    def announce(self, archive: PackageArchive) -> None:
        """See :class:`Channel`."""
        self._staging(archive).announce(archive)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:  # noqa: ARG002 - nothing is
        """Put *archive* into the staging area, where it may be from an earlier run; :meth:`finish` does the rest."""
        try:
            attempts = self._staging(archive).send(archive, overwrite=False, delivery=delivery)
        except Refusal as refusal:
            self._check_staged(archive)
            attempts = refusal.attempts
        with self._staging_lock:
            self._staged.append(archive)
        return attempts

    def _check_staged(self, archive: PackageArchive) -> None:
        """The staging area has a file of that name: conda-forge takes it only with these bytes, under this label only.

        Raises:
            ConflictError: it is another.
        """
        staging, label = self._staging(archive), self._label(archive)
        found = staging.find(archive)
        if found is None or not found.same_bytes(archive):
            what = "with other bytes"
        elif staging.labels_found(archive) != {label}:
            what = f"under the label {', '.join(sorted(staging.labels_found(archive)))}, and not under {label} alone"
        else:
            return
        raise ConflictError(
            f"{self._staging_owner} has {archive.relative_path} already, {what}",
            hint="An earlier job left it there: raise the build number, or have conda-forge's core team remove it.",
        )

    # --- the copying ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Ask conda-forge to copy what was staged, label by label."""
        for label, archives in self._by_label(self._staged):
            self._rejected.update(self._webservice.copy(self._told, label, archives))

    def foreseen(self, archives: Sequence[PackageArchive]) -> Sequence[str]:
        """See :class:`Channel`: where each archive would be staged, and what conda-forge would be asked."""
        lines = []
        for label, chosen in self._by_label(archives):
            lines += [f"{archive.relative_path}: label {label} of {self._staging_owner}" for archive in chosen]
            lines.append(f"POST {self._endpoint} {json.dumps(self._told.document(label, chosen))}")
        return lines

    def rejected(self) -> Mapping[str, KeelbackError]:
        """See :class:`Channel`."""
        return self._rejected

    @property
    def _told(self) -> Feedstock:
        """The feedstock; a variable of the job, with any value, says that failures become comments."""
        given = self._feedstock
        return Feedstock(given.name, given.provider, given.git_sha, "POST_COMMENT_ON_ERROR" in self._session.environ)

    def _by_label(self, archives: Sequence[PackageArchive]) -> list[tuple[str, list[PackageArchive]]]:
        by_label: dict[str, list[PackageArchive]] = defaultdict(list)
        for archive in sorted(archives, key=lambda archive: archive.relative_path):
            by_label[self._label(archive)].append(archive)
        return sorted(by_label.items())

    def _has_arrived(self, archive: PackageArchive, label: str) -> bool:
        production = self._owner(OWNER, label)
        found = production.find(archive)
        return found is not None and found.same_bytes(archive) is True and label in production.labels_found(archive)

    # --- as it is read ----------------------------------------------------------------------------------------------

    def url_of(self, archive: PackageArchive) -> str:
        """See :class:`Channel`."""
        return self._owner(OWNER, self._label(archive)).url_of(archive)

    def listed(self, archive: PackageArchive) -> Listed | None:
        """See :class:`Channel`."""
        return self._owner(OWNER, self._label(archive)).listed(archive)

    def refresh(self) -> None:
        """See :class:`Channel`."""
        self._owners.forget()

    # --- owners and labels ------------------------------------------------------------------------------------------

    def _label(self, archive: PackageArchive) -> str:
        return self._labels.get(archive.path, lambda: label_of(archive))

    def _staging(self, archive: PackageArchive) -> _Owner:
        return self._owner(self._staging_owner, self._label(archive))

    def _owner(self, owner: str, label: str) -> _Owner:
        return self._owners.get((owner, label), lambda: self._opened(owner, label))

    def _opened(self, owner: str, label: str) -> _Owner:
        opened = self._owned(owner, label)
        opened.open_with(self._session, self._access)
        return opened

    def _owned(self, owner: str, label: str) -> _Owner:
        return _Owner(owner, [label], url=self._api)


class _Owner(AnacondaChannel):
    """The files of an owner, spoken to with the token of the staging area."""

    def open_with(self, session: Session, access: Access) -> None:
        """Work with the token in *access*; the index is public, and read without it."""
        assert isinstance(access.credential, CondaToken)  # noqa: S101 - given_token made it
        auth = access.credential.header("Authorization", "token ")
        self.use(session, auth, access.source, IndexReader(session.client, self.url, None))

    def labels_found(self, archive: PackageArchive) -> set[str]:
        """The labels of *archive*, as :meth:`find` has found them."""
        return {str(label) for label in self._labels_of.get(archive.relative_path, ())}


def _no_staging_token() -> Access:
    raise CredentialError(
        "No token of conda-forge's staging area.",
        hint="Give it by --staging-token or the variable STAGING_BINSTAR_TOKEN.",
    )


def _check_replaced(token: Secret) -> Secret:
    """*token*, unless it is a variable of Azure Pipelines that has no value, as in jobs of pull requests.

    Raises:
        CredentialError: it is.
    """
    if token.reveal().startswith("$("):
        raise CredentialError(
            f"{token.source or 'the token'} holds the name of a variable, and not its value",
            hint="Jobs of pull requests do not get secrets: do not upload from them.",
        )
    return token
