"""The fault table: what a server does wrong with the second of three files, and what becomes of each of them.

The scenarios are data. ``test_fault_table.py`` holds keelback to them; ``scripts/fault_table.py`` plays them to
keelback and to py-rattler-build, and writes both results side by side into the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

import keelback
from keelback import ExitStatus, Status
from keelback.report import Reporter
from making import make_conda
from servers.scripted import AnacondaServer, ArtifactoryServer, Fault, PrefixServer, QuetzServer, Trap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from keelback import Outcome, PackageArchive, Report
    from servers.scripted.channel import ChannelServer

NAMES: Final = ("first", "second", "third")
"""The packages; keelback sends in the order of the paths, and one at a time here."""

FILENAMES: Final = tuple(f"{name}-1.0-h0_0.conda" for name in NAMES)
SECOND: Final = FILENAMES[1]

ATTEMPTS: Final = 4
"""How often keelback tries a request here."""

_PAYLOAD: Final = 600_000
"""More than a server reads at once, so that it can break off in the middle; less than what is deployed by checksum."""
_PATIENCE: Final = 30.0
_SOON: Final = 1.0
"""How long keelback waits for a server that stalls, in seconds; in the others a busy machine must not run into it."""


# --- servers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of server.

    Attributes:
        name: what people call it.
        make: makes one that takes the given secret.
        variable: the environment variable in which keelback finds that secret.
        peer_call: how py-rattler-build publishes ``files`` to the server at ``url`` with ``key``.
        asks_first: whether keelback finds a file that is there before it sends its bytes.
        overwrites: whether the server lets a repeated upload through, and stores it again.
        staged: whether an upload takes the steps ``stage``, ``upload`` and ``commit``.
    """

    name: str
    make: Callable[[str], ChannelServer]
    variable: str
    peer_call: str
    asks_first: bool = False
    overwrites: bool = False
    staged: bool = False


KINDS: Final = (
    Kind(
        name="prefix.dev",
        make=PrefixServer,
        variable="PREFIX_API_KEY",
        peer_call="upload_package_to_prefix(files, url, 'my-channel', api_key=key)",
    ),
    Kind(
        name="anaconda.org",
        make=AnacondaServer,
        variable="ANACONDA_API_KEY",
        peer_call="upload_package_to_anaconda(files, 'owner', channel=['main'], api_key=key, url=url)",
        asks_first=True,
        staged=True,
    ),
    Kind(
        name="Quetz",
        make=QuetzServer,
        variable="QUETZ_API_KEY",
        peer_call="upload_package_to_quetz(files, url, 'chan', api_key=key)",
    ),
    Kind(
        name="Artifactory",
        make=ArtifactoryServer,
        variable="ARTIFACTORY_TOKEN",
        peer_call="upload_package_to_artifactory(files, url, 'repo', token=key)",
        asks_first=True,
        overwrites=True,
    ),
)


# --- scenarios ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """What keelback says became of a file; as text it is what the table shows."""

    status: Status
    code: str = ""

    def __str__(self) -> str:
        return f"{self.status}: {self.code}" if self.code and self.status is Status.FAILED else f"{self.status}"


class Kept(StrEnum):
    """What a server has under a file's name in the end."""

    OURS = "the file that was sent"
    THEIRS = "the file that was there"
    NOTHING = "nothing"


UPLOADED: Final = End(Status.UPLOADED)
IDENTICAL: Final = End(Status.IDENTICAL)
NOT_ATTEMPTED: Final = End(Status.NOT_ATTEMPTED, "not-attempted")
REFUSED: Final = End(Status.FAILED, "credential-refused")

_ONCE: Final[Mapping[str, Any]] = {"nth": 2}
_FROM_THEN_ON: Final[Mapping[str, Any]] = {"nth": 2, "times": None}
_THAT_FILE: Final[Mapping[str, Any]] = {"file": SECOND, "times": None}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One thing that goes wrong with the second of three files, and what keelback makes of it.

    Attributes:
        name: what goes wrong, as the table calls it.
        fault: the kind of :class:`Fault`; empty where the server does all it should.
        options: the fault's arguments.
        staged_step: which step it strikes where an upload has several.
        there: the file that the channel has before: ``same`` bytes, ``other`` bytes, or none.
        second: what becomes of the second file; the first is always uploaded.
        third: what becomes of the third file.
        exit_status: what the command ends with.
        attempts: how often the second file is tried; ``None`` where that depends on who is quicker.
        waits: the waits in seconds before the second file is tried again, where the server asked for them.
        processed: whether the server carries out what it does not answer, so that the repetition finds it done.
        timeout: seconds without progress after which keelback tries again.
        staged_only: whether it can happen only where an upload has several steps.
    """

    name: str
    fault: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    staged_step: str = "upload"
    there: str = ""
    second: End = UPLOADED
    third: End = UPLOADED
    exit_status: ExitStatus = ExitStatus.OK
    attempts: int | None = 1
    waits: tuple[float, ...] | None = None
    processed: bool = False
    timeout: float = _PATIENCE
    staged_only: bool = False

    @property
    def ends(self) -> tuple[End, End, End]:
        """What becomes of each file."""
        return UPLOADED, self.second, self.third

    def step(self, kind: Kind) -> str:
        """The step of the protocol that the fault strikes."""
        return self.staged_step if kind.staged else "upload"

    def attempts_at(self, kind: Kind) -> int | None:
        """How often the second file's bytes are sent."""
        return 0 if self.there and kind.asks_first else self.attempts

    def times_stored(self, kind: Kind) -> int:
        """How often something is stored under the second file's name."""
        return 2 if self.processed and kind.overwrites else 1

    def kept(self) -> tuple[Kept, Kept, Kept]:
        """What the server has of each file in the end: what keelback says, and nothing else."""
        missing = Kept.THEIRS if self.there == "other" else Kept.NOTHING
        arrived = {Status.UPLOADED, Status.IDENTICAL}
        first, second, third = (Kept.OURS if end.status in arrived else Kept.NOTHING for end in self.ends)
        return first, second if second is Kept.OURS else missing, third


def _failed(name: str, code: str, fault: str = "status", **settings: Any) -> Scenario:
    """A scenario in which the second file fails for good, and the others do not."""
    options = {**_THAT_FILE, **settings.pop("options", {})}
    end = End(Status.FAILED, code)
    return Scenario(name=name, fault=fault, options=options, second=end, exit_status=ExitStatus.FAILED, **settings)


def _refused(name: str, fault: str, **options: Any) -> Scenario:
    """A scenario in which the credential is refused from the second file on."""
    return Scenario(
        name=name,
        fault=fault,
        options={**_FROM_THEN_ON, "status": 401, **options},
        staged_step="stage",
        second=REFUSED,
        third=NOT_ATTEMPTED,
        exit_status=ExitStatus.CREDENTIAL,
    )


def _mended(name: str, fault: str, *, attempts: int | None = 2, **settings: Any) -> Scenario:
    """A scenario that another try mends."""
    options = {**_ONCE, **settings.pop("options", {})}
    return Scenario(name=name, fault=fault, options=options, attempts=attempts, **settings)


SCENARIOS: Final = (
    _mended("500 once", "status", options={"status": 500}),
    _failed("500 always", "server", options={"status": 500}, attempts=ATTEMPTS),
    _mended("503 with Retry-After: 1", "status", options={"status": 503, "retry_after": 1}, waits=(1.0,)),
    _mended("429 once", "status", options={"status": 429}),
    _mended("reset before the body", "reset"),
    _mended("reset in the middle of the body", "reset-body", options={"after_bytes": _PAYLOAD // 3}),
    _mended("keep-alive closed after an answer", "keepalive-closed", options={"nth": 1}, attempts=None),
    _mended("keep-alive cut at the next request", "keepalive-cut", options={"nth": 1}, attempts=None),
    _mended("stall once", "stall", timeout=_SOON),
    _refused("401", "status"),
    _refused("401 early", "early", then="drain"),
    _refused("401 that echoes the credential", "echo"),
    _failed("403", "forbidden", options={"status": 403}, staged_step="stage"),
    _failed("404", "not-found", options={"status": 404}, staged_step="stage"),
    Scenario(name="409, same bytes", there="same", second=IDENTICAL),
    Scenario(
        name="409, other bytes",
        there="other",
        second=End(Status.FAILED, "conflict"),
        exit_status=ExitStatus.FAILED,
    ),
    _failed("413 early", "too-large", "early", options={"status": 413, "then": "drain"}),
    _failed("422", "rejected", options={"status": 422}, staged_step="stage"),
    _failed("307 to another origin", "redirect", "redirect", options={"status": 307}),
    _failed(
        "307 of the stage to another origin",
        "redirect",
        "redirect",
        options={"status": 307},
        staged_step="stage",
        staged_only=True,
    ),
    _mended("answer of the upload lost", "lost-answer", processed=True),
    _mended("500 at the commit once", "status", staged_step="commit", attempts=1, staged_only=True),
    _mended("answer of the commit lost", "lost-answer", staged_step="commit", attempts=1, staged_only=True),
)


def cases() -> Iterator[tuple[Kind, Scenario]]:
    """Every server with every scenario that can happen at it."""
    for kind in KINDS:
        for scenario in SCENARIOS:
            if kind.staged or not scenario.staged_only:
                yield kind, scenario


# --- playing them ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """Three packages, and another one that goes by the second's name.

    Attributes:
        ours: the three, in order.
        theirs: the other one.
    """

    ours: tuple[Path, Path, Path]
    theirs: Path

    @classmethod
    def make(cls, folder: Path) -> Files:
        """Make them below *folder*."""
        first, second, third = (make_conda(folder / "ours", name, payload=_PAYLOAD) for name in NAMES)
        return cls((first, second, third), make_conda(folder / "theirs", NAMES[1], payload={"other": b"other bytes"}))


class Stage:
    """A server of one kind, ready to do what a scenario says, and another origin beside it.

    Args:
        kind: the kind of server.
        scenario: what goes wrong.
        files: what will be sent.
        secret: what the server takes.
    """

    def __init__(self, kind: Kind, scenario: Scenario, files: Files, secret: str) -> None:
        self.server = kind.make(secret)
        self.trap = Trap()
        self._kind = kind
        self._scenario = scenario
        self._files = files
        self._before: Path | None = {"same": files.ours[1], "other": files.theirs}.get(scenario.there)

    def __enter__(self) -> Self:
        self.trap.start()
        self.server.start()
        if self._before is not None:
            self.server.put(f"noarch/{SECOND}", self._before.read_bytes())
        if self._scenario.fault:
            step = self._scenario.step(self._kind)
            self.server.plan(Fault(self._scenario.fault, when=step, to=self.trap.url, **self._scenario.options))
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.trap.stop()

    def kept(self) -> tuple[Kept, Kept, Kept]:
        """What the server has of each file."""
        first, second, third = (self._kept(file) for file in self._files.ours)
        return first, second, third

    def met(self) -> bool:
        """Whether the client met what goes wrong; it need not use a connection again that is to be cut."""
        struck = [request for request in self.server.requests if request.fault == self._scenario.fault]
        return not self._scenario.fault or len(struck) > (self._scenario.fault == "keepalive-cut")

    def times_stored(self, filename: str) -> int:
        """How often something was stored under *filename*, the file that was there before included."""
        stored = self.server.files.get(f"noarch/{filename}")
        return stored.times_stored if stored else 0

    def _kept(self, file: Path) -> Kept:
        stored = self.server.files.get(f"noarch/{file.name}")
        if stored is None:
            return Kept.NOTHING
        return Kept.OURS if stored.content == file.read_bytes() else Kept.THEIRS


class Waits(Reporter):
    """Notes how long keelback waits before it tries the second file again."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def waiting(self, archive: PackageArchive, seconds: float, why: str) -> None:  # noqa: ARG002 - as Reporter has it
        """Another try of *archive* comes in *seconds*."""
        if archive.filename == SECOND:
            self.seconds.append(seconds)


def publish(
    stage: Stage, scenario: Scenario, files: Files, secret: str, *, jobs: int = 1, reporter: Reporter | None = None
) -> Report:
    """Have keelback publish *files* to the server of *stage*."""
    return keelback.publish(
        files.ours,
        stage.server.publish_url,
        api_key=secret,
        jobs=jobs,
        retry=keelback.Retry(attempts=ATTEMPTS, base=0.01),
        timeout=scenario.timeout,
        reporter=reporter,
    )


def end_of(outcome: Outcome) -> End:
    """What keelback says became of a file."""
    return End(outcome.status, outcome.error.code if outcome.error else "")


# --- the page -------------------------------------------------------------------------------------------------------


def keelback_cells(scenario: Scenario) -> list[str]:
    """What the table says of keelback: one cell a file, and the exit status."""
    return [*(str(end) for end in scenario.ends), str(int(scenario.exit_status))]


def row(cells: list[str]) -> str:
    """A row of a Markdown table, or its beginning."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
