"""``keelback auth status``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keelback.cli.jsontext import json_text
from keelback.cli.options import json_option, store_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.diagnosis.survey import Entry, Listed, Survey
    from keelback.report import Problem


@click.command("status")
@store_options
@json_option
def command(*, auth_file: str | None, no_keychain: bool, as_json: bool) -> None:
    """List every stored credential, in the order in which stores are searched.

    For each: what it is for, whether another one takes precedence, when it expires, and what is wrong with it. No
    server is asked and no secret is shown; 'keelback auth check URL' asks the server.

    \b
    Examples:
      keelback auth status
      keelback auth status --json --no-keychain

    \b
    Exit status: 0 all stores could be read, 2 wrong usage, 3 one could not.
    """
    from keelback.diagnosis.survey import survey  # noqa: PLC0415 - not for --help

    found = survey(None if auth_file is None else Path(auth_file), keychain=not no_keychain)
    click.echo(json_text(_document(found)) if as_json else "\n".join(_lines(found)))
    sys.exit(int(found.exit_status))


def _document(found: Survey) -> dict[str, Any]:
    from keelback.report import JSON_VERSION  # noqa: PLC0415 - not for --help

    return {
        "version": JSON_VERSION,
        "stores": [_store_document(listed) for listed in found.stores],
        "ci_system": found.ci_system,
        "variables": [{"name": name, "for": server} for name, server in found.variables.items()],
        "findings": [problem.to_json() for problem in found.unread],
    }


def _store_document(listed: Listed) -> dict[str, Any]:
    opened = listed.opened
    return {
        "name": opened.name,
        "path": None if opened.path is None else str(opened.path),
        "state": str(opened.state),
        "why": opened.why,
        "entries": [_entry_document(entry) for entry in listed.entries],
        "findings": [problem.to_json() for problem in opened.problems],
    }


def _entry_document(entry: Entry) -> dict[str, Any]:
    expiry = entry.expiry
    return {
        "key": entry.key,
        "kind": entry.kind,
        "username": entry.username,
        "serves": entry.serves,
        "shadowed_by": entry.shadowed_by,
        "expires_at": None if expiry is None else expiry.at,
        "renews": expiry is not None and expiry.renews,
        "findings": [problem.to_json() for problem in entry.problems],
    }


def _lines(found: Survey) -> Iterator[str]:
    from keelback.diagnosis.wording import one_line  # noqa: PLC0415 - not for --help

    if found.variables:
        yield "Variables that take precedence over the stores:"
        yield from (f"  {name}, for {server}" for name, server in found.variables.items())
    if found.ci_system is not None:
        yield f"CI system: {found.ci_system}; where a server takes its identity, that takes precedence over the stores"
    for number, listed in enumerate(found.stores, 1):
        opened = listed.opened
        yield f"{number}. {click.style(one_line(opened.name), bold=True)}{_state_words(listed)}"
        yield from _problem_lines(opened.problems, "   ")
        for entry in listed.entries:
            yield from _entry_lines(entry, found.taken_at)
    yield from _problem_lines(found.unread, "")
    if found.is_empty and found.ci_system is None:
        yield "No credentials yet. Log in with: keelback auth login HOST"


def _state_words(listed: Listed) -> str:
    from keelback.diagnosis.wording import one_line, state_words  # noqa: PLC0415 - not for --help

    words = state_words(listed.opened) or ("" if listed.entries else "empty")
    return one_line(f": {words}") if words else ""


def _entry_lines(entry: Entry, now: float) -> Iterator[str]:
    from keelback.diagnosis.wording import one_line  # noqa: PLC0415 - not for --help

    kind = entry.kind or "unreadable"
    user = f", user {entry.username}" if entry.username else ""
    expiry = "" if entry.expiry is None else f", {entry.expiry.words(now)}"
    shadowed = "" if entry.shadowed_by is None else f", shadowed by {entry.shadowed_by}"
    serves = "" if entry.serves is None else f"; for {entry.serves}"
    yield one_line(f"   {entry.key}: {kind}{user}{expiry}{shadowed}{serves}")
    yield from _problem_lines(entry.problems, "     ")


def _problem_lines(problems: Any, indent: str) -> Iterator[str]:
    from keelback.diagnosis.wording import one_line  # noqa: PLC0415 - not for --help

    problem: Problem
    for problem in problems:
        note = problem.code == "nearer-key"
        label = click.style("note:", fg="cyan") if note else click.style("warning:", fg="yellow")
        text = f"{problem.message.rstrip('.')}{f'. {problem.hint}' if problem.hint else ''}"
        yield f"{indent}{label} {one_line(text)}"
