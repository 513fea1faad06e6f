"""A stand-in for GitLab: puts inputs into the text of a component, and runs the script of its job.

Sources: GitLab Docs, "CI/CD inputs" (types, ``regex`` and ``options`` are checked, then text is put into text, an
array as JSON, and only then read as YAML), "CI/CD YAML syntax reference" (``variables:expand``, ``id_tokens``), and
that a job's lines are one script.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_INTERPOLATION = re.compile(r"\$\[\[\s*inputs\.([a-z-]+)\s*\]\]")


class InputRefusedError(Exception):
    """A value that GitLab does not let in: no pipeline is made."""


def pipeline(component: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """The configuration that *component* becomes with *inputs*.

    Raises:
        InputRefusedError: one of them has the wrong type or does not match its pattern.
    """
    declared, text = _parts(component)
    values = {}
    for name, about in declared.items():
        value = inputs[name] if name in inputs else about["default"]
        values[name] = _checked(name, value, about)
    assert set(inputs) <= set(declared)
    loaded: dict[str, Any] = yaml.safe_load(_INTERPOLATION.sub(lambda match: values[match[1]], text))
    return loaded


@functools.cache
def _parts(component: Path) -> tuple[dict[str, Any], str]:
    """The inputs that *component* declares, and the text into which they are put."""
    spec, text = component.read_text(encoding="utf-8").split("\n---\n")
    return yaml.safe_load(spec)["spec"]["inputs"], text


def _checked(name: str, value: Any, about: dict[str, Any]) -> str:
    if about.get("type", "string") == "boolean":
        if not isinstance(value, bool):
            raise InputRefusedError(name)
        return str(value).lower()
    if about.get("type") == "array":
        if not isinstance(value, list):
            raise InputRefusedError(name)
        return json.dumps(value)
    pattern = about.get("regex", "").removesuffix(r"\z") + r"\Z"  # RE2's end of the text, in Python's spelling
    if not isinstance(value, str) or ("regex" in about and not re.search(pattern, value)):
        raise InputRefusedError(name)
    if "options" in about and value not in about["options"]:
        raise InputRefusedError(name)
    return value


def run(
    job: dict[str, Any],
    folder: Path,
    env: Mapping[str, str] | None = None,
    identity: Callable[[str], str] = lambda audience: f"an identity for {audience}",
) -> subprocess.CompletedProcess[str]:
    """Run the script of *job* in *folder*, where ``pip`` does nothing and ``keelback`` is the one of the tests.

    Args:
        job: the job.
        folder: its project.
        env: variables that it has from elsewhere.
        identity: makes the ID token for an audience.
    """
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    scripts = {
        "pip": 'printf "%s\\n" "$@" > "$HOME/pip-arguments"; env > "$HOME/pip-environment"; exit "${PIP_FAILS:-0}"',
        "keelback": f'exec "{sys.executable}" -I -m keelback "$@"',
    }
    for name, script in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    variables = {}
    for name, about in job["variables"].items():
        assert about["expand"] is False, f"GitLab would expand what is in {name}"
        variables[name] = about["value"]
    return subprocess.run(
        ["sh", "-e"],
        input="\n".join(job["script"]),
        cwd=folder,
        env={
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tools),
            "LANG": "C.UTF-8",
            "CI": "true",
            "GITLAB_CI": "true",
            **(env or {}),
            **variables,
            **{name: identity(about["aud"]) for name, about in job["id_tokens"].items()},
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
