"""From private channels that others serve, through ``fetch``, into an environment that py-rattler installs offline."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

import keelback
import leaks
from cli_runner import run_keelback
from making import make_conda, make_tar_bz2
from peers import nginx, quetz, rattler
from peers.process import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli_runner import Completed

SUBDIRS = ("linux-64", "noarch")
NEEDED = {"boat", "hull", "keel", "sail"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A boat, and what it consists of, in both formats; newer parts that do not fit, and one that nobody needs."""
    folder = tmp_path_factory.mktemp("dist")
    make_conda(folder, "boat", subdir="linux-64", depends=["hull >=1,<2", "sail"])
    make_conda(folder, "hull", "1.5", subdir="linux-64", depends=["keel"])
    make_conda(folder, "hull", "2.0", subdir="linux-64", depends=["keel"])
    make_tar_bz2(folder, "keel", "0.9")
    make_conda(folder, "sail", "3.1")
    make_conda(folder, "sail", "4.0", depends=["no-such-mast"])
    make_conda(folder, "oar")
    return folder


@pytest.fixture
def secret() -> str:
    """The token, or the password."""
    return leaks.new_secret("reader")


CONFIG = """
daemon off;
master_process off;
pid nginx.pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""

LOCATIONS = {
    "BasicHTTP": 'auth_basic "packages"; auth_basic_user_file htpasswd; location /chan/ {{ root www; }}',
    "BearerToken": ('location /chan/ {{ root www; if ($http_authorization != "Bearer {secret}") {{ return 401; }} }}'),
    "CondaToken": "location /t/{secret}/ {{ alias www/; }} location /chan/ {{ return 403; }}",
}
"""How nginx has a channel guarded, for each kind of credential."""


@contextlib.contextmanager
def guarded(folder: Path, kind: str, secret: str) -> Iterator[str]:
    """Run nginx on the channel in ``folder/www/chan``; gives its URL."""
    assert nginx.PROGRAM, nginx.WHY_NOT
    (folder / "temp").mkdir()
    digest = base64.b64encode(hashlib.sha1(secret.encode(), usedforsecurity=False).digest()).decode()
    (folder / "htpasswd").write_text(f"ann:{{SHA}}{digest}\n", encoding="utf-8")

    def command(port: int) -> list[str | Path]:
        location = LOCATIONS[kind].format(secret=secret)
        (folder / "nginx.conf").write_text(CONFIG.format(port=port, location=location), encoding="utf-8")
        return [nginx.PROGRAM, "-p", folder, "-c", "nginx.conf", "-e", "/dev/null"]

    with listening(command, cwd=folder, log=folder / "output.log") as port:
        yield f"http://127.0.0.1:{port}/chan"


def auth_file(folder: Path, kind: str, secret: str) -> Path:
    """What ``auth login`` leaves behind."""
    credential: Any = {"username": "ann", "password": secret} if kind == "BasicHTTP" else secret
    path = folder / "auth.json"
    path.write_text(json.dumps({"127.0.0.1": {kind: credential}}), encoding="utf-8")
    path.chmod(0o600)
    return leaks.holds_secrets(path)


def fetch(url: str, auth: Path | None, to: Path, *arguments: str) -> Completed:
    """``keelback fetch URL boat --with-deps``, with the credential from *auth*."""
    env = {} if auth is None else {"RATTLER_AUTH_FILE": str(auth)}
    asked = ["boat", "--with-deps", "--subdir", "linux-64", "-o", str(to), "--json"]
    return run_keelback(["fetch", url, *asked, *arguments], env=env)


def assert_installs_offline(fetched: Path, workdir: Path) -> None:
    """What was fetched makes a channel in a folder, from which py-rattler installs everything, without any server."""
    offline = workdir / "offline"
    done = run_keelback(["publish", "--to", str(offline), str(fetched)])
    assert done.returncode == 0, done.stderr
    prefix, chosen = rattler.install(offline.as_uri(), "boat", workdir / "install", subdirs=SUBDIRS)
    assert {record["name"] for record in chosen.values()} == NEEDED
    assert {record["url"].partition(":")[0] for record in chosen.values()} == {"file"}
    for name in NEEDED:
        assert (prefix / f"share/{name}/hello.txt").is_file()


@pytest.mark.peer("nginx")
@pytest.mark.peer("py-rattler")
@pytest.mark.parametrize("kind", LOCATIONS)
def test_a_private_channel_is_fetched_and_installed_offline(
    dist: Path, secret: str, tmp_path: Path, require_peer: Callable[[str, bool, str], None], kind: str
) -> None:
    """Everything that the boat needs, and nothing else; whoever has no credential gets nothing."""
    require_peer("nginx", not nginx.WHY_NOT, nginx.WHY_NOT)
    workdir = tmp_path / "nginx"
    keelback.publish([dist], workdir / "www" / "chan")
    auth = auth_file(tmp_path, kind, secret)
    with guarded(workdir, kind, secret) as url:
        stranger = fetch(url, None, tmp_path / "nothing")
        done = fetch(url, auth, tmp_path / "out", "--lock", str(tmp_path / "boat.lock"))
        locked = run_keelback(
            ["fetch", "--locked", str(tmp_path / "boat.lock"), "-o", str(tmp_path / "locked")],
            env={"RATTLER_AUTH_FILE": str(auth)},
        )
    leaks.holds_secrets(workdir / "nginx.conf")
    assert stranger.returncode == 3, stderr_of(stranger)
    assert done.returncode == locked.returncode == 0, stderr_of(done)
    (found,) = done.json()["channels"]
    assert {outcome["name"] for outcome in found["outcomes"]} == NEEDED
    assert {outcome["status"] for outcome in found["outcomes"]} == {"fetched"}
    assert_installs_offline(tmp_path / "out", tmp_path)
    assert_installs_offline(tmp_path / "locked", tmp_path / "again")


def stderr_of(done: Completed) -> str:
    """What a run said."""
    return done.stdout + done.stderr


@pytest.mark.peer("quetz")
@pytest.mark.peer("py-rattler")
@pytest.mark.parametrize("way", ["stored", "variable"])
def test_a_private_channel_of_quetz_is_fetched_and_installed_offline(
    dist: Path, tmp_path: Path, require_peer: Callable[[str, bool, str], None], request, way: str
) -> None:
    """Filled by ``publish``, read with a key that may only read: in the path, or as the variable of that server."""
    require_peer("quetz", not quetz.WHY_NOT, quetz.WHY_NOT)
    server = request.getfixturevalue("running_quetz")
    assert isinstance(server, quetz.Quetz)
    name = f"harbour-{way}"
    server.make_channel(name, private=True)
    writer = leaks.watch(server.make_key(), "writer")
    reader = leaks.watch(server.make_key({"channel": name, "role": "member"}), "reader")
    target = f"quetz+{server.url}/{name}"
    published = run_keelback(["publish", "--verify", "--to", target, str(dist)], env={"QUETZ_API_KEY": writer})
    assert published.returncode == 0, published.stderr

    if way == "stored":
        done = fetch(f"{server.url}/get/{name}", auth_file(tmp_path, "CondaToken", reader), tmp_path / "out")
    else:
        asked = ["boat", "--with-deps", "--subdir", "linux-64", "-o", str(tmp_path / "out"), "--json"]
        done = run_keelback(["fetch", target, *asked], env={"QUETZ_API_KEY": reader})
    stranger = fetch(f"{server.url}/get/{name}", None, tmp_path / "nothing")

    assert done.returncode == 0, stderr_of(done)
    assert stranger.returncode == 3, stderr_of(stranger)
    assert {outcome["name"] for outcome in done.json()["channels"][0]["outcomes"]} == NEEDED
    assert_installs_offline(tmp_path / "out", tmp_path)


@pytest.fixture(scope="module")
def running_quetz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[quetz.Quetz]:
    """Quetz takes seconds to start, so it is started once."""
    with quetz.serving(tmp_path_factory.mktemp("quetz") / "server") as running:
        yield running


@pytest.mark.peer("py-rattler")
def test_what_is_chosen_is_what_py_rattler_chooses(packages: Path, tmp_path: Path) -> None:
    """For packages that others built and that can be solved: its own solver takes the same archives."""
    channel = tmp_path / "channel"
    usable: dict[str, Path] = {}
    for path in sorted(packages.rglob("*")):
        if path.name.endswith((".conda", ".tar.bz2")):
            with contextlib.suppress(keelback.KeelbackError):
                archive = keelback.inspect(path)
                if archive.filename == path.name:
                    usable.setdefault(archive.relative_path, path)
    keelback.publish(list(usable.values()), channel)
    asked: dict[str, Any] = {"subdirs": "linux-64", "to": tmp_path / "out", "cache": tmp_path / "c", "dry_run": True}
    compared = 0
    for spec in sorted({path.name.rsplit("-", 2)[0] for path in usable.values()})[::2]:  # each takes three processes
        try:
            _, theirs = rattler.install(channel.as_uri(), spec, tmp_path / "r" / spec, subdirs=SUBDIRS)
        except rattler.RattlerError:
            continue
        solved = keelback.fetch(channel, spec, with_deps=True, **asked)
        best = keelback.fetch(channel, spec, **asked)
        assert {f"{outcome.subdir}/{outcome.file.name}" for outcome in solved.outcomes} == set(theirs), spec
        assert {f"{outcome.subdir}/{outcome.file.name}" for outcome in best.outcomes} <= set(theirs), spec
        compared += 1
    assert compared > 5
