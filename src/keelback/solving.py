"""Everything that has to be there for some specs to be installed: rattler's solver, in a process of its own.

The solver's runtime outlives its work, and may bring the interpreter down when that ends; a hostile index may bring
down the solver. So ``python -m keelback.solving`` reads a problem as JSON, writes the solution as JSON, and ends.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

from keelback.childenv import for_interpreter
from keelback.errors import ChannelError, Interrupted, KeelbackError, UsageError
from keelback.indexed import IndexedArchive
from keelback.selecting import in_few_words, indexed, match_spec
from keelback.stopping import on_stop, stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.selecting import Index

_DEADLINE: Final = 300.0
"""Seconds: more than any environment takes that a person waits for."""

_PREFACE: Final = "Cannot solve the request because of:"
"""What rattler says before its reason."""

_LIKE_LINUX: Final = ("__unix=0", "__linux=5.10", "__glibc=2.28")
_LIKE_MACOS: Final = ("__unix=0", "__osx=13.0")
_ASSUMED: Final = {
    "linux": _LIKE_LINUX,
    "osx": _LIKE_MACOS,
    "win": ("__win=0",),
    "emscripten": ("__unix=0", "__emscripten=0"),
}
"""Virtual packages (CEP 30) that a machine of each system can be assumed to have; pixi assumes about the same."""

_ARCHSPEC: Final = {"64": "x86_64", "32": "x86", "aarch64": "aarch64", "arm64": "m1", "ppc64le": "ppc64le"}


def assumed_virtual_packages(subdir: str) -> list[str]:
    """The virtual packages of a usual machine for *subdir*, as ``NAME=VERSION`` or ``NAME=VERSION=BUILD``."""
    system, _, machine = subdir.partition("-")
    arch = _ARCHSPEC.get(machine)
    return [*_ASSUMED.get(system, ()), *([f"__archspec=1={arch}"] if arch else [])]


def solve(specs: Sequence[str], indexes: Sequence[Index], virtual_packages: Sequence[str]) -> list[IndexedArchive]:
    """The archives that an environment with *specs* consists of.

    Args:
        specs: MatchSpecs.
        indexes: where the packages are; those of the first channel go first (strict channel priority).
        virtual_packages: what the machine has, as ``NAME=VERSION`` or ``NAME=VERSION=BUILD``.

    Raises:
        ChannelError: code ``no-solution``: there is no such environment; or the index is malformed.
        UsageError: a spec or a virtual package is none.
    """
    import subprocess  # noqa: PLC0415 - few runs have anything to solve

    for spec in specs:
        match_spec(spec)
    problem = {
        "specs": list(specs),
        "indexes": [{"channel": index.channel, "subdir": index.subdir, "file": str(index.file)} for index in indexes],
        "virtual_packages": [_virtual_package(text) for text in virtual_packages],
    }
    try:
        solution = json.loads(_solved_apart(json.dumps(problem)))
    except subprocess.TimeoutExpired:
        raise _no_solution(f"none was found in {_DEADLINE:.0f} seconds") from None
    except ValueError:
        raise _no_solution("the solver ended without one") from None
    if "error" in solution:
        raise _no_solution(str(solution["error"]))
    return [IndexedArchive(**archive) for archive in solution["archives"]]


def _solved_apart(problem: str) -> str:
    """What the child process prints for *problem*.

    Raises:
        TimeoutExpired: it takes too long.
        Interrupted: the user has stopped the run.
    """
    import subprocess  # noqa: PLC0415 - see solve

    with subprocess.Popen(
        [sys.executable, "-P", "-m", "keelback.solving"],  # -P: nothing of the working directory is imported
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env=for_interpreter(os.environ),  # what reads indexes that anybody may have written needs no secret
    ) as child:
        try:
            with on_stop(child.kill):
                solution, _ = child.communicate(problem, _DEADLINE)
        finally:
            child.kill()
    if stopped():
        raise Interrupted("stopped while it was being found out what fits together")
    return solution


def _virtual_package(text: str) -> dict[str, str]:
    name, _, rest = text.partition("=")
    version, _, build = rest.partition("=")
    from rattler import PackageName, Version  # noqa: PLC0415 - large, and not for --help

    try:
        PackageName(name), Version(version or "0")
    except Exception:  # noqa: BLE001 - rattler's errors have no common root but this
        name = ""
    if not name.startswith("__"):
        raise UsageError(f"{text!r} is not a valid virtual package", hint="Write it like __glibc=2.28.")
    return {"name": name, "version": version or "0", "build": build or "0"}


def _no_solution(why: str) -> ChannelError:
    return ChannelError(
        f"no set of packages fits: {in_few_words(why.replace(_PREFACE, ''))}",
        hint="Name the channels of the dependencies with --channel, or virtual packages of the target machine with "
        "--virtual-package.",
        code="no-solution",
    )


def _solve_here(problem: dict[str, Any]) -> list[IndexedArchive]:
    """The solution of *problem*, as :func:`solve` has put it down."""
    import asyncio  # noqa: PLC0415 - large, and for this process only

    from rattler import (  # noqa: PLC0415 - large
        BuildString,
        Channel,
        GenericVirtualPackage,
        MatchSpec,
        PackageName,
        SparseRepoData,
        Version,
    )
    from rattler.solver import solve_with_sparse_repodata  # noqa: PLC0415 - likewise

    data = [SparseRepoData(Channel(index["channel"]), index["subdir"], index["file"]) for index in problem["indexes"]]
    virtual_packages = [
        GenericVirtualPackage(PackageName(package["name"]), Version(package["version"]), BuildString(package["build"]))
        for package in problem["virtual_packages"]
    ]
    records = asyncio.run(
        solve_with_sparse_repodata(
            [MatchSpec(spec) for spec in problem["specs"]],  # as elsewhere: of texts, the solver wants a stricter form
            data,
            virtual_packages=virtual_packages,
            timeout=timedelta(seconds=_DEADLINE),
        )
    )
    subdirs = dict.fromkeys(index["subdir"] for index in problem["indexes"])
    return [indexed(record, list(subdirs)) for record in records]


def _main() -> NoReturn:
    try:
        solution: dict[str, Any] = {"archives": [asdict(found) for found in _solve_here(json.load(sys.stdin))]}
    except KeelbackError as error:
        solution = {"error": error.message}
    except Exception as error:  # noqa: BLE001 - rattler's errors have no common root but this
        solution = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(solution))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
