"""What is released can be built again, to the byte, and says what it is made of.

Anybody can so compare a release with its source, and know by name all that comes with it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SBOM_TOOL = ROOT / ".peers" / "cyclonedx"
HERE, ELSEWHERE = 1_600_000_000.0, 1_700_000_000.0
"""Times of the source files in two places."""


def released_names() -> list[str]:
    """Files and folders of the project that go into the source archive."""
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    return ["pyproject.toml", ".gitignore", *(pattern.removeprefix("/") for pattern in included)]


def lay_out(target: Path, *, modes: tuple[int, int], time: float, backwards: bool) -> Path:
    """A copy of what is released in *target*: its files and folders have *modes* and *time*."""
    target.mkdir(parents=True)
    for name in sorted(released_names(), reverse=backwards):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, target / name)
    for path in sorted(target.rglob("*"), reverse=backwards):
        path.chmod(modes[0] if path.is_file() else modes[1])
        os.utime(path, (time, time))
    return target


def build(folder: Path, command: list[str], **environment: str) -> Path:
    """Run a build in *folder*; gives the folder with what was built."""
    options: dict[str, Any] = {"umask": int(environment.pop("umask"), 8)} if os.name == "posix" else {}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")
    return folder / "dist"


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in *folder*."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that was built from it."""
    tree = lay_out(tmp_path_factory.mktemp("one") / "keelback", modes=(0o600, 0o700), time=HERE, backwards=False)
    command = ["build", "--no-isolation", "--skip-dependency-check"]
    return build(tree, command, umask="077", TZ="Pacific/Kiritimati", LC_ALL="C", PYTHONHASHSEED="1")


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    """The wheel, opened."""
    (path,) = dist.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """What the wheel says of itself."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_two_builds_give_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    """Folder, file times, modes, order, umask, time zone, locale and hash seed differ; the wheel comes once from the
    source archive, and once from the sources themselves."""  # noqa: D209, D205 - one sentence
    tree = lay_out(tmp_path / "a" / "b" / "elsewhere", modes=(0o644, 0o775), time=ELSEWHERE, backwards=True)
    command = ["hatchling", "build", "-t", "wheel", "-t", "sdist"]
    again = build(tree, command, umask="002", TZ="America/Adak", LC_ALL="C.UTF-8", PYTHONHASHSEED="2")
    assert digests(again) == digests(dist)
    assert len(digests(dist)) == 2


def test_the_source_archive_has_all_that_is_under_version_control(dist: Path) -> None:
    """So its tests pass, and its pages lead somewhere; what is not for others is named here."""
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tops = {name.partition("/")[0] for name in names}
    assert set(released_names()) - tops == set()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = set(filter(None, listed.stdout.split("\0"))) if listed.returncode == 0 else set()
    assert {name for name in tracked - names if (ROOT / name).exists()} <= {".ci/run"}


def test_the_wheel_has_keelback_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No tests, no leftovers: the package's own files, and those that describe it."""
    kept = re.compile(r"keelback/(\w+/)*(\w+\.py|py\.typed)|keelback-[\w.]+\.dist-info/[\w/]+(\.txt)?")
    assert [name for name in wheel.namelist() if not kept.fullmatch(name)] == []


def test_the_wheel_says_what_it_needs_and_its_licence(metadata: Message) -> None:
    """What tools read that list the parts of a program: name, version, licence, and every dependency as declared."""
    project = PYPROJECT["project"]
    extras = project.get("optional-dependencies", {})
    declared = {str(Requirement(text)) for text in project["dependencies"]}
    said = {str(Requirement(text)) for text in metadata.get_all("Requires-Dist", [])}
    assert {text for text in said if "extra ==" not in text} == declared
    assert len(said) == len(declared) + sum(map(len, extras.values()))
    assert set(metadata.get_all("Provides-Extra", [])) == set(extras)
    assert (metadata["Name"], metadata["License-Expression"]) == ("keelback", project["license"])
    assert metadata["Version"] == importlib.metadata.version("keelback")


def test_all_that_comes_with_keelback_is_pinned() -> None:
    """``constraints.txt`` has one version of each dependency, those of dependencies and of extras included."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if re.fullmatch(r"[\w.-]+==[\w.]+", line)}
    assert len(pinned) == len([line for line in lines if line and not line.startswith("#")])
    everything = set(needed("keelback", set(PYPROJECT["project"].get("optional-dependencies", {}))))
    assert everything - pinned == set()


def needed(name: str, extras: set[str]) -> Iterator[str]:
    """The names of all distributions that *name* with *extras* brings along on this system."""
    waiting, seen = [(name, frozenset(extras))], set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for text in importlib.metadata.requires(one[0]) or []:
            requirement = Requirement(text)
            if not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *one[1]}):
                yield canonicalize_name(requirement.name)
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))


def test_a_bill_of_materials_names_what_the_wheel_needs(metadata: Message, tmp_path: Path, require_peer: Any) -> None:
    """CycloneDX's own tool, asked about this environment: keelback, its licence, and each of its dependencies."""
    program = SBOM_TOOL / ("Scripts/cyclonedx-py.exe" if os.name == "nt" else "bin/cyclonedx-py")
    require_peer("CycloneDX", program.exists(), "'make peers' makes it")
    bill = tmp_path / "bill.json"
    subprocess.run([program, "environment", "--no-validate", "-o", bill, sys.executable], check=True)
    document = json.loads(bill.read_bytes())
    (entry,) = (component for component in document["components"] if component["name"] == "keelback")
    assert entry["licenses"] == [{"license": {"acknowledgement": "declared", "id": "BSD-3-Clause"}}]
    assert entry["version"] == metadata["Version"]
    (edges,) = (one["dependsOn"] for one in document["dependencies"] if one["ref"] == entry["bom-ref"])
    wanted = {Requirement(text) for text in metadata.get_all("Requires-Dist", [])}
    here = {canonicalize_name(one.name) for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})}
    assert here <= {canonicalize_name(edge.partition("==")[0]) for edge in edges}
    assert {canonicalize_name(edge.partition("==")[0]) for edge in edges} <= {canonicalize_name(o.name) for o in wanted}
