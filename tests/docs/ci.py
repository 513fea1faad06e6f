"""What the files of CI systems say of keelback: steps that use its action, and components with their inputs."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING, Any, Final

import yaml

from docs.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACTION: Final = "OWNER/keelback@"
"""How pages name the action: whose it is, and at which commit, is for the reader to fill in."""

COMPONENT: Final = "/OWNER/keelback/publish@"
"""How pages name the component of GitLab."""


def steps_in(document: Any) -> Iterator[dict[str, Any]]:
    """The steps in *document* that use keelback's action, at whatever depth."""
    for mapping in _mappings(document):
        if str(mapping.get("uses", "")).startswith(ACTION):
            yield mapping


def inputs_of(step: Mapping[str, Any]) -> dict[str, str]:
    """What *step* gives to the action, as the runner hands it on: all of it is text."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in step["with"].items()}


def arguments_of(inputs: Mapping[str, str]) -> list[str]:
    """What the action runs keelback with, given *inputs*; the others have their defaults.

    Raises:
        AssertionError: there is no such input.
    """
    declared = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    assert inputs.keys() <= declared.keys(), f"the action has no input {inputs.keys() - declared.keys()}"
    chosen = {name: str(inputs.get(name, declared[name].get("default", ""))) for name in declared}
    environ = {f"INPUT_{name.upper().replace('-', '_')}": value for name, value in chosen.items()}
    action = runpy.run_path(str(ROOT / "ci" / "action.py"))
    return ["publish", *action["publish_arguments"](environ)]


def check_components(document: Any) -> None:
    """See that the components in *document* are given inputs that they have, and all that they need.

    Raises:
        AssertionError: they are not.
    """
    text = (ROOT / "templates" / "publish.yml").read_text(encoding="utf-8")
    declared = next(yaml.safe_load_all(text))["spec"]["inputs"]
    needed = {name for name, about in declared.items() if "default" not in about}
    for mapping in _mappings(document):
        if COMPONENT in str(mapping.get("component", "")):
            assert needed <= mapping["inputs"].keys() <= declared.keys(), f"inputs of the component: {mapping}"


def id_tokens_in(document: Any) -> Iterator[tuple[str, str]]:
    """The ID tokens that the jobs of GitLab in *document* declare: the variable of each, and for whom it is."""
    for mapping in _mappings(document):
        for variable, declared in mapping.get("id_tokens", {}).items():
            yield variable, declared["aud"]


def _mappings(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
    for inner in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from _mappings(inner)
