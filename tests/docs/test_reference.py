"""The tables of the reference documentation are complete, and name nothing that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from cli_runner import run_keelback
from docs.pages import DOCS, ROOT, codes_in, first_cells, sections_of
from keelback.archive import Finding, Severity
from keelback.channels.indexable import SubdirChange
from keelback.cli.app import keelback
from keelback.credentials.helperprotocol import answer
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, S3Credentials
from keelback.credentials.lookup import Match
from keelback.credentials.stores import Store
from keelback.diagnosis.asking import Asked
from keelback.diagnosis.result import Checkup
from keelback.diagnosis.subject import SubjectKind
from keelback.errors import ExitStatus
from keelback.indexing import IndexReport
from keelback.report import ChannelReport, Outcome, Problem, Report, Status, finding_to_json
from keelback.secret import Secret
from leaks import holds_secrets
from making import make_conda

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = ROOT / "src" / "keelback"
REFERENCE = DOCS / "reference"
UPLOADS = "Options of every upload"
TRANSFERS = "Options of every transfer"
BUCKETS = "Options for buckets"
SHARED = {
    UPLOADS: ("publish", "upload"),
    TRANSFERS: ("publish", "upload", "fetch", "copy"),
    BUCKETS: ("publish", "upload s3", "fetch", "copy", "index", "auth login", "auth check"),
}
"""Sections about options that several commands have, and the first words of these commands."""

STANDARD_VARIABLES = {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR", "GITHUB_TOKEN"} | {
    *("AWS_ENDPOINT_URL_S3", "XDG_CONFIG_HOME", "APPDATA")
}
"""Variables that Python's own modules read for keelback; the one of GitHub's that a user may have to set; one whose
name is put together; and where a system's configurations are."""


def commands() -> dict[str, click.Command]:
    """Every command that does something, by how it is called."""
    found: dict[str, click.Command] = {"keelback": keelback}
    waiting = [("keelback", keelback)]
    while waiting:
        name, group = waiting.pop()
        context = click.Context(group)
        for word in group.list_commands(context):
            command = group.get_command(context, word)
            assert command is not None
            if isinstance(command, click.Group):
                waiting.append((f"{name} {word}", command))
            else:
                found[f"{name} {word}"] = command
    return found


def options_of(command: click.Command) -> set[str]:
    """The options of *command* as they are typed, without ``--help``."""
    options = (parameter for parameter in command.params if isinstance(parameter, click.Option))
    return {spelling for option in options for spelling in [*option.opts, *option.secondary_opts]}


def documented(section: str) -> set[str]:
    """The options in the tables of a section of ``cli.md``."""
    cells = first_cells(sections_of(REFERENCE / "cli.md")[section])
    return {code.split()[0] for cell in cells for code in codes_in(cell) if code.startswith("-")}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of keelback, parsed."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call in *tree*, with the last part of the name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def text_of(node: ast.AST | None) -> str | None:
    """The text of a constant."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def finding_codes() -> dict[str, set[str]]:
    """The codes of all findings in the source, each with its severities."""
    found: dict[str, set[str]] = {"duplicate": {"error", "warning"}}  # decided by the bytes, in checking.py
    for path, tree in trees():
        if "archive" not in path.parts:
            continue
        for name, call in calls(tree):
            code = text_of(call.args[0]) if call.args else None
            if name in {"Unreadable", "error", "warning"} and code is not None:
                found.setdefault(code, set()).add("warning" if name == "warning" else "error")
    return found


def error_codes() -> set[str]:
    """The codes of all errors in the source that are not findings."""
    found = set()
    for path, tree in trees():
        if "diagnosis" in path.parts:
            continue
        found |= set(re.findall(r'^    code = "([a-z-]+)"$', path.read_text(encoding="utf-8"), re.MULTILINE))
        found |= set(re.findall(r'\.code(?:, [\w.]+)? = "([a-z-]+)"', path.read_text(encoding="utf-8")))
        for name, call in calls(tree):
            found |= {text_of(word.value) or "" for word in call.keywords if word.arg == "code"} - {""}
            if name == "Problem" and "archive" not in path.parts and call.args:
                found |= {text_of(call.args[0]) or ""} - {""}
            if name == "Meaning":  # of a service's refusal: words, hint, code
                found |= {text_of(code) or "" for code in call.args[2:3]} - {""}
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "EXPIRED":
                found |= {text_of(node.value) or ""} - {""}
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "_CODES":
                assert isinstance(node.value, ast.Dict)
                found |= {text_of(value) or "" for value in node.value.values}
    return found


def diagnosis_codes() -> set[str]:
    """The codes of what is found wrong with credentials."""
    found = set()
    for path, tree in trees():
        if "diagnosis" not in path.parts:
            continue
        for name, call in calls(tree):
            if name == "Problem" and call.args:
                found |= {text for node in _values(call.args[0], tree) if (text := text_of(node))}
    return found


def _values(node: ast.AST, tree: ast.AST) -> Iterator[ast.AST]:
    """What *node* may stand for: itself, or what is assigned to the name that it is."""
    if not isinstance(node, ast.Name):
        yield node
        return
    for assignment in ast.walk(tree):
        if isinstance(assignment, ast.Assign) and any(getattr(at, "id", "") == node.id for at in assignment.targets):
            value = assignment.value
            yield from (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,)


def variables() -> set[str]:
    """The environment variables that the source reads or hands to click."""
    pattern = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
    prefixes = (
        *("PREFIX_", "ANACONDA_", "QUETZ_", "ARTIFACTORY_", "RATTLER_", "SSL_", "REQUESTS_", "CURL_", "KEELBACK_"),
        *("BINSTAR_", "JF_", "GOOGLE_", "CLOUDSMITH_"),
        *("S3_", "AWS_", "AZURE_", "CLOUDSDK_", "GCE_", "STORAGE_", "IDENTITY_"),
        *("STAGING_", "FEEDSTOCK_", "VALIDATION_", "POST_COMMENT_", "GIT_SHA", "DRY_RUN"),
    )
    found = set()
    for _, tree in trees():
        exported = {
            text_of(name)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets)
            for name in ast.walk(node.value)
        }
        for node in ast.walk(tree):
            text = text_of(node)
            if (
                text
                and text not in exported
                and (_is_netrc(text) or (pattern.fullmatch(text) and text.startswith(prefixes)))
            ):
                found.add(text)
    return found


def _is_netrc(text: str) -> bool:
    return text == "NETRC"


@pytest.mark.parametrize("name", commands())
def test_every_option_of_a_command_is_documented(name: str) -> None:
    """The section of a command has its options, and no others; those that several share have their own section."""
    options = options_of(commands()[name]) - {"-h", "--help"}
    for section, sharing in SHARED.items():
        shared = documented(section)
        if name.removeprefix("keelback ").startswith(sharing):
            assert shared - options == set(), f"not all of {sharing} have these"
            options -= shared
    assert documented(name) - {"-h", "--help"} == options


def test_no_command_is_missing_and_none_is_invented() -> None:
    """``cli.md`` has a section for each command."""
    assert set(sections_of(REFERENCE / "cli.md")) - SHARED.keys() == set(commands())


def test_the_defaults_in_the_table_are_those_of_the_options() -> None:
    """Where the table of shared options has a number as the default, it is the option's."""
    command = commands()["keelback publish"]
    defaults = {name: option.default for option in command.params for name in option.opts}
    sections = sections_of(REFERENCE / "cli.md")
    rows = [
        row.split("|")
        for row in (sections[UPLOADS] + sections[TRANSFERS]).splitlines()
        if re.search(r"\| \d+ \|$", row)
    ]
    shown = {codes_in(row[1])[-1].split()[0]: float(row[3]) for row in rows}
    assert shown == {name: float(defaults[name]) for name in shown}
    assert len(shown) == 5


def test_every_exit_status_is_documented() -> None:
    """The table has every status with its name, and no other."""
    section = sections_of(REFERENCE / "outcomes-and-exit-status.md")["Exit statuses"]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == [(status.value, status.name) for status in ExitStatus]


def test_every_outcome_is_documented() -> None:
    """The table has every outcome, and no other, and says rightly which are successes."""
    section = sections_of(REFERENCE / "outcomes-and-exit-status.md")["Outcomes"]
    rows = dict(re.findall(r"^\| `([\w-]+)` \| .* \| (yes|no) \|$", section, re.MULTILINE))
    bad = {Status.FAILED, Status.NOT_ATTEMPTED}
    assert rows == {status.value: "no" if status in bad else "yes" for status in Status}


def test_every_finding_is_documented() -> None:
    """``checks.md`` has the code of every finding with its severity, and no other."""
    text = (REFERENCE / "checks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", text, re.MULTILINE)
    assert {code: set(severities.split(", ")) for code, severities in rows} == finding_codes()
    assert len(rows) == len(finding_codes())


def test_every_error_code_is_documented() -> None:
    """``json.md`` has every code of an error, and no other."""
    section = sections_of(REFERENCE / "json.md")["Errors"]
    _, _, codes = section.partition("| code |")
    assert {codes_in(cell)[0] for cell in first_cells(f"| code |{codes}")} == error_codes()


def test_every_finding_about_credentials_is_documented() -> None:
    """``json.md`` has the code of everything that ``auth status`` and ``auth check`` can find, and no other."""
    section = sections_of(REFERENCE / "json.md")["Findings of credentials"]
    assert {codes_in(cell)[0] for cell in first_cells(section)} == diagnosis_codes()


def test_every_variable_is_documented() -> None:
    """``environment.md`` has every variable that the source reads, and no other."""
    text = (REFERENCE / "environment.md").read_text(encoding="utf-8")
    assert {code for cell in first_cells(text) for code in codes_in(cell)} == variables() | STANDARD_VARIABLES


def test_every_variable_of_an_option_is_the_documented_one() -> None:
    """The variables in ``cli.md`` are those of the options beside them."""
    for name, command in commands().items():
        if not name.startswith("keelback upload"):
            continue
        rows = [
            row.split("|") for row in sections_of(REFERENCE / "cli.md")[name].splitlines() if row.startswith("| `-")
        ]
        shared = {option for section in SHARED for option in documented(section)}
        shown = {codes_in(row[1])[-1].split()[0]: codes_in(row[3]) for row in rows}
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.envvar, str) and option.opts[-1] not in shared:
                assert shown[option.opts[-1]] == [option.envvar], f"{name} {option.opts[-1]}"


def test_every_member_of_the_documents_is_documented() -> None:
    """``json.md`` has every member that ``--json`` can print, and no other."""
    finding = Finding(Severity.WARNING, "code", Path("a.conda"), "field", "message", "hint")
    problem = Problem("code", "message", "hint")
    outcome = Outcome(
        file=Path("a.conda"), name="a", version="1", build="0", subdir="noarch", size=1, sha256="0",
        status=Status.FAILED, error=problem, visible=False, attested_by="somebody", source="file:///b/a.conda",
    )  # fmt: skip
    channels = [ChannelReport("file:///a", [outcome], problem)]
    report = Report(channels, error=problem, findings=[finding], notes=["a note"])
    document: dict[str, Any] = report.to_json()
    (channel,) = document["channels"]
    sections = sections_of(REFERENCE / "json.md")
    tables = [
        set(codes_in("".join(first_cells(part)))) for part in sections["The document of publish"].split("Each of ")
    ]
    assert tables == [set(document), set(channel), set(channel["outcomes"][0])]
    assert set(codes_in("".join(first_cells(sections["Findings"])))) == set(finding_to_json(finding))
    errors, _, _ = sections["Errors"].partition("| code |")
    assert set(codes_in("".join(first_cells(errors)))) == set(problem.to_json())


def test_every_member_of_what_index_prints_is_documented() -> None:
    """``json.md`` has every member, and no other."""
    change = SubdirChange("noarch")
    document = IndexReport("file:///a", dry_run=False, subdirs=[change]).to_json()
    assert members_in("The document of index") == [{*document, "notes"}, set(change.to_json())]


def members_in(section: str) -> list[set[str]]:
    """The members that each table in a section of ``json.md`` has."""
    parts = sections_of(REFERENCE / "json.md")[section].split("Each of ")
    return [set(codes_in("".join(first_cells(part)))) for part in parts]


def test_every_member_of_what_auth_status_prints_is_documented(tmp_path: Path) -> None:
    """``json.md`` has every member, and no other."""
    auth_file = holds_secrets(tmp_path / "auth.json")
    auth_file.write_text('{"prefix.dev": {"BearerToken": "abc"}}', encoding="utf-8")
    document = run_keelback(["auth", "status", "--json", "--auth-file", auth_file]).json()
    (store,) = document["stores"]
    (entry,) = store["entries"]
    assert members_in("The document of auth status") == [set(document), set(store), set(entry)]


def test_every_member_of_what_auth_check_prints_is_documented() -> None:
    """``json.md`` has every member, and no other."""
    asked = Asked("GET", "https://prefix.dev/", None, 200, "")
    document = Checkup("https://prefix.dev", SubjectKind.HOST, "prefix.dev", requests=[asked]).to_json()
    (request,) = document["requests"]
    assert members_in("The document of auth check") == [set(document), set(request)]


def test_every_member_of_what_verify_prints_is_documented(tmp_path: Path) -> None:
    """``json.md`` has every member, and no other; those of an attestation are read from the source."""
    archive = make_conda(tmp_path, "hull")
    document = run_keelback(["verify", "--json", "--policy", "repo:my-org/my-repo", archive]).json()
    (file,) = document["files"]
    assert members_in("The document of verify") == [set(document), set(file), keys_in("attestations.py", "members_of")]


def test_every_member_of_what_attest_prints_is_documented() -> None:
    """``json.md`` has every member, and no other; outside of CI, they are read from the source."""
    expected = [keys_in("attestations.py", "finish"), keys_in("attest.py", "_entry")]
    assert members_in("The document of attest") == expected


def keys_in(module: str, function: str) -> set[str | None]:
    """The keys of what a *function* of a *module* of the commands returns."""
    tree = ast.parse((SOURCE / "cli" / module).read_text(encoding="utf-8"))
    (found,) = (node for node in ast.walk(tree) if getattr(node, "name", "") == function)
    return {text_of(key) for node in ast.walk(found) if isinstance(node, ast.Dict) for key in node.keys}


def test_every_member_of_a_helpers_answer_is_documented() -> None:
    """``helper-protocol.md`` has every member that an answer can have, and no other."""
    secret = Secret("abc")
    credentials = (BearerToken(secret), CondaToken(secret), BasicHTTP("ann", secret), S3Credentials("ak", secret, None))
    store = MemoryStore()
    members = set()
    for match in [None, *(Match(credential, "prefix.dev", store) for credential in credentials)]:
        question = '{"version": 1, "action": "get", "url": "https://prefix.dev/x"}'
        members |= set(answer(question, lambda _, found=match: found)[0])
    members |= set(answer("nothing", lambda _: None)[0])
    section = sections_of(REFERENCE / "helper-protocol.md")["keelback's own format"]
    _, _, answered = section.partition("| Answered |")
    assert set(codes_in("".join(first_cells(f"| Answered |{answered}")))) == members


class MemoryStore(Store):
    """A store that is asked for its name only."""

    name = "memory"

    def get(self, key: str) -> None:
        """Nothing."""

    def keys(self) -> list[str]:
        """None."""
        return []
