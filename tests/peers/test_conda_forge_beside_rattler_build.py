"""keelback and py-rattler-build, each publishing to the same scripted conda-forge, and what came of it.

py-rattler-build is what ``rattler-build upload conda-forge`` is made of.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import run_keelback
from servers.scripted import Fault
from servers.scripted.conda_forge import CondaForgeServer, make_output

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.scripted import Recorded

pytestmark = pytest.mark.peer("py-rattler-build")

FEEDSTOCK = "demo-feedstock"
_UPLOAD = """
import json, os, sys
import rattler_build
args, options = json.load(sys.stdin)
try:
    rattler_build.upload_packages_to_conda_forge(*args, **options)
except BaseException as error:
    print(type(error).__name__, error)
    sys.stdout.flush()
    os._exit(1)
os._exit(0)
"""


@pytest.fixture(autouse=True)
def _peer(require_peer: Callable[[str, bool, str], None]) -> None:
    available = importlib.util.find_spec("rattler_build") is not None
    require_peer("py-rattler-build", available, "the package py-rattler-build is not installed")


class Scene:
    """A conda-forge of its own for each program, and the same packages for both.

    Args:
        folder: where packages are made.
        targets: what they are for.
        names: what they are called.
    """

    def __init__(self, folder: Path, *names: str, targets: str = "conda-forge main") -> None:
        self.token, self.feedstock_token = leaks.new_secret("staging"), leaks.new_secret("feedstock")
        self.shown_token = self.feedstock_token
        self.files = [str(make_output(folder, name, targets=targets)) for name in names]
        self.faults: list[dict[str, Any]] = []

    def server(self) -> CondaForgeServer:
        """A conda-forge that does not want ``forbidden``."""
        faults = [Fault(**fault) for fault in self.faults]
        return CondaForgeServer(self.token, self.feedstock_token, refused=frozenset({"forbidden"}), faults=faults)

    def keelback(self, server: CondaForgeServer) -> bool:
        """Whether keelback says that all went well."""
        place = ["--anaconda-url", server.url, "--validation-endpoint", server.endpoint, "--provider", "azure"]
        env = {"STAGING_BINSTAR_TOKEN": self.token, "FEEDSTOCK_TOKEN": self.shown_token}
        done = run_keelback(["upload", "conda-forge", "--feedstock", FEEDSTOCK, *place, *self.files], env=env)
        return done.returncode == 0

    def rattler_build(self, server: CondaForgeServer) -> bool:
        """Whether py-rattler-build says so."""
        args = [self.files, self.token, FEEDSTOCK, self.shown_token]
        place = {"anaconda_url": server.url, "validation_endpoint": server.endpoint, "provider": "azure"}
        done = subprocess.run(
            [sys.executable, "-c", _UPLOAD],
            input=json.dumps([args, place]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        leaks.check(done.stdout + done.stderr, "what py-rattler-build prints")
        return done.returncode == 0

    def both(self) -> dict[str, tuple[bool, list[str]]]:
        """By program: whether it says that all went well, and what conda-forge then has."""
        seen = {}
        for program in (self.keelback, self.rattler_build):
            with self.server() as server:
                seen[program.__name__] = (program(server), sorted(server.production))
        return seen


def copy_requests(server: CondaForgeServer) -> list[tuple[str | None, Any]]:
    """What conda-forge was asked, in the order of the labels: the token, and the document."""
    asked = [(request.header("FEEDSTOCK_TOKEN"), request.json()) for request in server.of_step("copy")]
    return sorted(asked, key=lambda each: each[1]["channel"])


def staged(server: CondaForgeServer) -> list[tuple[str, list[str], str]]:
    """What was announced to the staging area: the place, the labels, the hash."""

    def told(request: Recorded) -> tuple[str, list[str], str]:
        document = request.json()
        return request.path, document["channels"], document["sha256"]

    return sorted(map(told, server.of_step("stage")))


def test_both_ask_for_the_same(tmp_path: Path) -> None:
    """The same files under the same labels, and the same requests to copy them, to the last member."""
    scene = Scene(tmp_path, "demo", "other")
    scene.files.append(str(make_output(tmp_path, "early", targets="conda-forge demo_rc")))
    with scene.server() as ours, scene.server() as theirs:
        assert scene.keelback(ours)
        assert scene.rattler_build(theirs)
    assert copy_requests(ours) == copy_requests(theirs)
    assert staged(ours) == staged(theirs)
    assert set(ours.steps()) - set(theirs.steps()) == {"dist"}  # whether conda-forge has it already
    assert sorted(ours.production) == sorted(theirs.production)
    ours.assert_clean()
    theirs.assert_clean()


def test_a_refusal_is_a_success_to_rattler_build(tmp_path: Path) -> None:
    """Of two packages, conda-forge takes one: both programs did the same, and one of them says so."""
    seen = Scene(tmp_path, "demo", "forbidden").both()
    assert seen == {
        "keelback": (False, ["noarch/demo-1.0-h0_0.conda"]),
        "rattler_build": (True, ["noarch/demo-1.0-h0_0.conda"]),
    }


def test_so_is_a_wrong_token(tmp_path: Path) -> None:
    """Nothing gets into conda-forge."""
    scene = Scene(tmp_path, "demo")
    scene.shown_token = leaks.new_secret("wrong")
    assert scene.both() == {"keelback": (False, []), "rattler_build": (True, [])}


def test_so_is_a_failure_of_the_service(tmp_path: Path) -> None:
    """A 403 with a document of whatever content is all that it takes."""
    scene = Scene(tmp_path, "demo")
    scene.faults = [{"kind": "status", "when": "copy", "status": 403, "body": "{}", "times": None}]
    assert scene.both() == {"keelback": (False, []), "rattler_build": (True, [])}


def test_a_second_run_sends_nothing_here_and_all_of_it_there(tmp_path: Path) -> None:
    """After the first run the staging area is empty: rattler-build sends all once more, is refused, and content."""
    scene = Scene(tmp_path, "demo")
    with scene.server() as ours:
        assert [scene.keelback(ours), scene.keelback(ours)] == [True, True]
        assert ours.steps().count("upload") == 1
    with scene.server() as theirs:
        assert [scene.rattler_build(theirs), scene.rattler_build(theirs)] == [True, True]
        assert theirs.steps().count("upload") == 2


def test_what_a_broken_run_left_in_the_staging_area_is_used_here(tmp_path: Path) -> None:
    """There, the conflict with the file of the earlier run is an error."""
    scene = Scene(tmp_path, "demo")
    content = (tmp_path / "demo-1.0-h0_0.conda").read_bytes()
    results = []
    for program in (scene.keelback, scene.rattler_build):
        with scene.server() as server:
            server.put("noarch/demo-1.0-h0_0.conda", content)
            results.append((program(server), list(server.production)))
    assert results == [(True, ["noarch/demo-1.0-h0_0.conda"]), (False, [])]
