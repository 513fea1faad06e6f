"""The scripted servers take what a client that nobody here wrote sends: py-rattler-build's uploaders.

What the servers object to in keelback is thus no invention of theirs.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import leaks
from making import make_conda, make_tar_bz2
from servers.scripted import AnacondaServer, ArtifactoryServer, PrefixServer, QuetzServer

pytestmark = pytest.mark.peer("py-rattler-build")

UPLOAD = """
import json, os, sys
import rattler_build
name, args, options = json.loads(sys.stdin.read())
try:
    getattr(rattler_build, f"upload_package_to_{name}")(*args, **options)
except Exception as error:
    print(type(error).__name__, error)
    sys.stdout.flush()
    os._exit(1)
os._exit(0)
"""


@pytest.fixture(autouse=True)
def _peer(require_peer):
    available = importlib.util.find_spec("rattler_build") is not None
    require_peer("py-rattler-build", available, "the package py-rattler-build is not installed")


@pytest.fixture
def archives(tmp_path):
    """Three packages, of both formats, one of them with a name that URLs must not spoil."""
    return [
        str(make_conda(tmp_path, "first")),
        str(make_conda(tmp_path, "second", "1!2.0+local", subdir="linux-64")),
        str(make_tar_bz2(tmp_path, "third")),
    ]


def upload(name, *args, **options):
    """Upload in a process of its own, for the uploaders hold the interpreter's lock; whether it went well."""
    sent = json.dumps([name, args, options])
    done = subprocess.run(
        [sys.executable, "-c", UPLOAD], input=sent, text=True, capture_output=True, timeout=60, check=False
    )
    print(done.stdout)  # noqa: T201 - pytest shows it where a test fails, and the leak check reads it
    return done.returncode == 0


def names(archives):
    """The file names, sorted."""
    return sorted(Path(archive).name for archive in archives)


def stored(server):
    """The file names that a server has, sorted."""
    return sorted(path.partition("/")[2] for path in server.files)


def test_quetz(archives):
    """Uploads are taken, a duplicate is not."""
    key = leaks.new_secret("quetz")
    with QuetzServer(key) as server:
        assert upload("quetz", archives, server.service_url, server.channel, api_key=key)
        assert not upload("quetz", archives[:1], server.service_url, server.channel, api_key=key)
        assert stored(server) == names(archives)
        server.assert_clean()


def test_artifactory(archives):
    """Uploads are taken, with a token and with Basic authentication from an auth file."""
    token, password = leaks.new_secret("token"), leaks.new_secret("password")
    auth_file = leaks.holds_secrets(Path(archives[0]).with_name("auth.json"))
    with ArtifactoryServer(token, username="ann", password=password) as server:
        host = {"127.0.0.1": {"BasicHTTP": {"username": "ann", "password": password}}}
        auth_file.write_text(json.dumps(host))
        assert upload("artifactory", archives, server.service_url, server.channel, token=token)
        assert upload("artifactory", archives, server.service_url, server.channel, auth_file=str(auth_file))
        assert (stored(server), {each.times_stored for each in server.files.values()}) == (names(archives), {2})
        server.assert_clean()


def test_prefix(archives):
    """Uploads are taken, a duplicate only by force."""
    token = leaks.new_secret("prefix")
    with PrefixServer(token) as server:
        target = (server.service_url, server.channel)
        assert upload("prefix", archives, *target, api_key=token)
        assert not upload("prefix", archives, *target, api_key=token)
        assert upload("prefix", archives, *target, api_key=token, skip_existing=True)
        assert upload("prefix", archives, *target, api_key=token, force=True)
        assert (stored(server), {each.times_stored for each in server.files.values()}) == (names(archives), {2})
        server.assert_clean()


def test_anaconda(archives):
    """The whole flow is taken; by force, the one objection is to what rattler is known to do wrong."""
    token = leaks.new_secret("anaconda")
    with AnacondaServer(token) as server:
        options = {"api_key": token, "url": server.service_url, "channel": ["main", "dev"]}
        assert upload("anaconda", archives, server.channel, **options)
        server.assert_clean()
        assert (stored(server), {frozenset(each.labels) for each in server.files.values()}) == (
            names(archives),
            {frozenset({"main", "dev"})},
        )
        assert not upload("anaconda", archives, server.channel, **options)
        assert upload("anaconda", archives, server.channel, force=True, **options)
        assert {each.times_stored for each in server.files.values()} == {2}
        assert {error.partition(": ")[2] for error in server.protocol_errors} == {
            "PATCH of a package sends public: true, which publishes it"
        }
