"""Channels of other distributions: found by their entry point, used as keelback's own, and harmless where broken.

The example in ``tests/third_party`` is built and installed as its users would have it, into a folder that only the
processes of these tests look into.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import run_keelback
from docs.pages import DOCS, blocks_of
from keelback import ExitStatus
from making import make_conda

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli_runner import Completed

EXAMPLE = Path(__file__).parents[1] / "third_party" / "keelback-example"
PATH = "noarch/demo-1.0-h0_0.conda"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the example is installed."""
    workdir = tmp_path_factory.mktemp("example")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", workdir], cwd=EXAMPLE, check=True)
    (wheel,) = workdir.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(workdir / "site")
    return workdir / "site"


class Handler(BaseHTTPRequestHandler):
    """The example's server."""

    protocol_version = "HTTP/1.1"
    token = ""
    files: dict[str, bytes]

    def do_GET(self) -> None:
        """Say what is there."""
        content = self.files.get(self.path.removeprefix("/chan/info/"))
        if not self._is_refused():
            digest = hashlib.sha256(content or b"").hexdigest()
            self._answer(404 if content is None else 200, {"sha256": digest})

    def do_POST(self) -> None:
        """Take a file."""
        content = self.rfile.read(int(self.headers["content-length"]))
        if self._is_refused():
            return
        path = self.path.removeprefix("/chan/files/")
        is_new = path not in self.files
        self.files.setdefault(path, content)
        self._answer(201 if is_new else 409, {})

    def _is_refused(self) -> bool:
        wrong = self.headers["authorization"] != f"Bearer {self.token}"
        if wrong:
            self._answer(401, {"error": "who are you?"})
        return wrong

    def _answer(self, status: int, document: dict[str, str]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[type[Handler]]:
    """The example's server, running; ``url`` is its origin."""
    handler = type("Running", (Handler,), {"token": leaks.new_secret("example"), "files": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        handler.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield handler
        running.shutdown()
        thread.join()


def install(site: Path, name: str, kind: str, value: str, module: str = "") -> None:
    """Put a distribution with one entry point into *site*."""
    info = site / f"{name.replace('-', '_')}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[keelback.channels]\n{kind} = {value}\n")
    if module:
        (site / f"{value.partition(':')[0]}.py").write_text(module)


def publish(site: Path, to: str, *args: str | Path, **env: str) -> Completed:
    """``keelback publish`` where *site* is among what is installed."""
    return run_keelback(["publish", "--to", to, "--json", *args], env={"PYTHONPATH": str(site), **env})


# --- the example ------------------------------------------------------------------------------------------------------


def test_an_installed_channel_is_used_as_any_other(installed: Path, server: type[Handler], tmp_path: Path) -> None:
    """New, identical, conflict: the outcomes are those of every channel."""
    demo = make_conda(tmp_path)
    to = f"example+{server.url}/chan"
    first = publish(installed, to, demo, EXAMPLE_TOKEN=server.token)
    again = publish(installed, to, demo, EXAMPLE_TOKEN=server.token)
    server.files[PATH] = b"something else"
    other = publish(installed, to, demo, EXAMPLE_TOKEN=server.token)
    summaries = [done.json()["channels"][0]["summary"] for done in (first, again, other)]
    assert summaries == [{"uploaded": 1}, {"identical": 1}, {"failed": 1}], first.stderr
    assert first.json()["channels"][0]["channel"] == f"{server.url}/chan"
    assert other.json()["channels"][0]["outcomes"][0]["error"]["code"] == "conflict"


def test_its_credential_comes_from_the_same_places(installed: Path, server: type[Handler], tmp_path: Path) -> None:
    """An option, a store; without one nothing is sent, and a wrong one is refused in the usual words."""
    demo = make_conda(tmp_path)
    to = f"example+{server.url}/chan"
    auth = leaks.holds_secrets(tmp_path / "auth.json")
    auth.write_text(json.dumps({"127.0.0.1": {"BearerToken": server.token}}))
    missing = publish(installed, to, demo)
    wrong = publish(installed, to, demo, EXAMPLE_TOKEN=leaks.new_secret("wrong"))
    stored = publish(installed, to, demo, "--auth-file", auth)
    assert [missing.returncode, wrong.returncode, stored.returncode] == [ExitStatus.CREDENTIAL] * 2 + [ExitStatus.OK]
    assert "EXAMPLE_TOKEN" in missing.json()["error"]["hint"]
    assert "refused the credential from the variable EXAMPLE_TOKEN" in wrong.stdout


def test_it_stands_among_the_kinds(installed: Path, tmp_path: Path) -> None:
    """Where the kind of a server has to be named, and where an unknown one was."""
    demo = make_conda(tmp_path)
    unclear = publish(installed, "https://conda.example.com/chan", demo).json()["error"]
    unknown = publish(installed, "exmaple+https://conda.example.com/chan", demo).json()["error"]
    assert "example+" in unclear["hint"]
    assert "example+https://" in unknown["hint"]


def test_its_own_errors_are_told(installed: Path, tmp_path: Path) -> None:
    """What the channel itself says about a URL is what the user reads."""
    error = publish(installed, "example+https://conda.example.com/", make_conda(tmp_path)).json()["error"]
    assert (error["code"], error["hint"]) == ("usage", "Write it like https://conda.example.com/CHANNEL.")


def test_the_documentation_shows_this_very_example() -> None:
    """What a reader copies from the page is what these tests have installed."""
    shown = {block.language: block.text for block in blocks_of(DOCS / "how-to" / "write-a-channel.md")}
    assert shown == {
        "toml": (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"),
        "python": (EXAMPLE / "keelback_example.py").read_text(encoding="utf-8"),
    }


# --- broken ones ------------------------------------------------------------------------------------------------------

BROKEN = {
    "not there": ("", "ModuleNotFoundError"),
    "raises": ("raise RuntimeError('no good')", "RuntimeError: no good"),
    "no class": ("Channel = 3", "is no subclass of keelback.Channel"),
    "abstract": ("import keelback\nclass Channel(keelback.Channel):\n    kind = 'broken'", "lacks find"),
}


@pytest.mark.parametrize(("module", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_one_is_an_error_that_names_its_distribution(tmp_path: Path, module: str, words: str) -> None:
    """No traceback, and what to do about it."""
    install(tmp_path / "site", "keelback-broken", "broken", "broken_channel:Channel", module)
    done = publish(tmp_path / "site", "broken+https://conda.example.com/chan", make_conda(tmp_path))
    error = done.json()["error"]
    assert (done.returncode, error["code"]) == (ExitStatus.USAGE, "plugin")
    assert error["message"].startswith("keelback-broken 2.0: its channel 'broken' (broken_channel:Channel)")
    assert words in error["message"]
    assert "Traceback" not in done.stderr


def test_a_broken_one_leaves_the_others_alone(installed: Path, tmp_path: Path) -> None:
    """What keelback has itself never looks at it; where all are asked, it is left out with a warning."""
    install(tmp_path / "site", "keelback-broken", "broken", "broken_channel:Channel")
    both = f"{tmp_path / 'site'}{os.pathsep}{installed}"
    demo = make_conda(tmp_path)
    own = publish(Path(both), str(tmp_path / "channel"), demo)
    asked = publish(Path(both), "https://conda.example.com/chan", demo)
    assert own.returncode == 0
    assert "keelback-broken" not in own.stderr
    assert asked.returncode == ExitStatus.USAGE
    assert "which kind of server" in asked.json()["error"]["message"]
    assert asked.stderr.count("keelback-broken 2.0") == 1


def test_two_of_one_kind_are_an_error(tmp_path: Path) -> None:
    """Which of them is meant cannot be told."""
    for name in ("keelback-one", "keelback-two"):
        install(tmp_path / "site", name, "twin", f"{name.replace('-', '_')}:Channel", "")
    error = publish(tmp_path / "site", "twin+https://conda.example.com/chan", make_conda(tmp_path)).json()["error"]
    assert error["message"] == "keelback-one 2.0 and keelback-two 2.0 both have channels of the kind 'twin'"


@pytest.mark.parametrize("kind", ["quetz", "azure"])
def test_keelbacks_own_kinds_cannot_be_taken_over(tmp_path: Path, kind: str) -> None:
    """A distribution that tries is not even imported; whoever lists the kinds is warned of it."""
    install(tmp_path / "site", "keelback-thief", kind, "thief:Channel", "raise SystemExit('stolen')")
    demo = make_conda(tmp_path)
    own = publish(tmp_path / "site", "quetz+https://conda.example/chan", demo)
    asked = publish(tmp_path / "site", "https://conda.example.com/chan", demo)
    assert own.json()["error"]["code"] == "no-credential"
    assert "stolen" not in own.stderr + asked.stderr
    assert f"keelback-thief 2.0 has channels of the kind {kind!r}, which are keelback's own" in asked.stderr


def test_nothing_is_looked_for_where_the_channel_is_known(tmp_path: Path) -> None:
    """The metadata of installed distributions takes long to read: a run to a known channel does without."""
    code = """
import importlib.metadata
from keelback.channels.registry import channel_for
importlib.metadata.entry_points = None
for place in ("./folder", "https://prefix.dev/chan", "quetz+https://conda.example/chan"):
    print(channel_for(place).kind)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["local", "prefix", "quetz"]
