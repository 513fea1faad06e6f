"""The examples for CI systems: they can be read, and every command in them can be typed."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ci.test_action import ACTION
from ci.test_component import INPUTS
from docs.pages import ROOT
from keelback.cli.publish import command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = sorted((ROOT / "ci" / "examples").glob("*.yml"))
_COMMAND = re.compile(r"\S*\bkeelback publish .*")


def texts(document: Any) -> Iterator[str]:
    """Every text in *document*."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for each in document.values() if isinstance(document, dict) else document:
            yield from texts(each)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_can_be_typed(file: Path) -> None:
    """Its options are options of the command, and its inputs are inputs."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    lines = [line for text in texts(document) for line in text.split("\n") if _COMMAND.fullmatch(line)]
    for line in lines:
        command.make_context("publish", shlex.split(line)[2:])
    inputs = [step["inputs"] for step in document.get("include", [])]
    actions = [step for job in document.get("jobs", {}).values() for step in job["steps"] if "with" in step]
    assert lines or inputs or actions
    assert all(set(given) <= set(INPUTS) for given in inputs)
    assert all(set(step["with"]) <= set(ACTION["inputs"]) for step in actions)


def test_there_is_an_example_for_each_system() -> None:
    """Those of which the identity is taken, and Azure Pipelines."""
    assert [file.stem for file in EXAMPLES] == ["azure-pipelines", "buildkite", "circleci", "github", "gitlab-ci"]


def test_what_is_installed_is_quoted_wherever_a_shell_reads_it() -> None:
    """A bare ``keelback[provenance]`` is a pattern: a file called ``keelbackp`` would choose another package."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("ci/**/*.yml"), *ROOT.glob("templates/*.yml")]
    bare = re.compile(r"pip install [^`\n]*(?<![\"'\w$])keelback\[")
    assert [page.name for page in pages if bare.search(page.read_text(encoding="utf-8"))] == []
