"""What ``anaconda login`` saved: which hosts it serves, and what is said of a token that cannot be one."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import pytest

import leaks
from keelback.credentials import modes
from keelback.credentials.anacondatokens import AnacondaTokenStore, anaconda_token_store
from keelback.credentials.kinds import CondaToken
from keelback.errors import CredentialFileError
from keelback.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path


def save(folder: Path, url: str, token: str | bytes) -> Path:
    """A token as ``anaconda login`` saves it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{quote_plus(url)}.token"
    file.write_bytes(token if isinstance(token, bytes) else token.encode())
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://api.anaconda.org", ["api.anaconda.org", "conda.anaconda.org"]),
        ("https://api.anaconda.org/", ["api.anaconda.org", "conda.anaconda.org"]),
        ("https://Anaconda.Example.com:8443/api", ["anaconda.example.com"]),
        ("https://anaconda.example.com", ["anaconda.example.com"]),
        ("http://anaconda.example.com:8080/tenant-a/api", []),
        ("http://anaconda.example.com/api/tenant-a", []),
        ("not a url", []),
    ],
)
def test_a_login_serves_the_api_and_the_channels_beside_it(tmp_path: Path, url: str, hosts: list[str]) -> None:
    """The second host by conda's own rule: ``api`` becomes ``conda``."""
    token = leaks.new_secret("anaconda")
    save(tmp_path, url, f"{token}\n")
    store = AnacondaTokenStore([tmp_path])
    assert store.keys() == hosts
    assert [store.get(host) for host in hosts] == [CondaToken(Secret(token)) for _ in hosts]
    assert store.get("anaconda.org") is None
    assert store.name == f"anaconda login ({tmp_path})"
    leaks.check(repr(store), "a repr")


def test_the_first_folder_that_has_a_host_wins(tmp_path: Path) -> None:
    """As for anaconda-client; the store is named after the folders that have something."""
    first, second, third = (tmp_path / name for name in "abc")
    tokens = [leaks.new_secret(f"anaconda-{number}") for number in range(3)]
    save(second, "https://api.anaconda.org", tokens[0])
    save(third, "https://api.anaconda.org", tokens[1])
    save(third, "https://api.other.example", tokens[2])
    store = AnacondaTokenStore([first, second, third])
    assert store.get("conda.anaconda.org") == CondaToken(Secret(tokens[0]))
    assert store.get("conda.other.example") == CondaToken(Secret(tokens[2]))
    assert store.name == f"anaconda login ({first}, {second}, {third})"


@pytest.mark.parametrize("content", ["", "\n", "two words", "a\nb", "tök", b"\xff\xfe", "x" * 8193])
def test_a_token_that_cannot_be_one_is_an_error_that_names_its_file(tmp_path: Path, content: str | bytes) -> None:
    """Only when it is asked for; the keys are there."""
    file = save(tmp_path, "https://api.anaconda.org", content)
    store = AnacondaTokenStore([tmp_path])
    assert store.keys() == ["api.anaconda.org", "conda.anaconda.org"]
    with pytest.raises(CredentialFileError) as caught:
        store.get("api.anaconda.org")
    assert str(file) in caught.value.message
    assert caught.value.code == "bad-token"
    assert caught.value.hint == "Run anaconda login again, or remove the file."


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A directory of that name, say."""
    file = tmp_path / f"{quote_plus('https://api.anaconda.org')}.token"
    file.mkdir()
    with pytest.raises(CredentialFileError) as caught:
        AnacondaTokenStore([tmp_path]).get("api.anaconda.org")
    assert str(file) in caught.value.message


def test_a_folder_that_cannot_be_read_has_no_keys(tmp_path: Path) -> None:
    """Most people have never logged in with anaconda-client."""
    (tmp_path / "file").write_text("x")
    store = AnacondaTokenStore([tmp_path / "missing", tmp_path / "file"])
    assert store.keys() == []
    assert store.get("api.anaconda.org") is None
    assert store.name == f"anaconda login ({tmp_path / 'missing'}, {tmp_path / 'file'})"


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have modes")
def test_a_token_that_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that mends it."""
    monkeypatch.setattr(modes, "_warned_of", set())
    file = save(tmp_path, "https://api.anaconda.org", leaks.new_secret("anaconda"))
    file.chmod(0o640)
    AnacondaTokenStore([tmp_path]).get("api.anaconda.org")
    (record,) = caplog.records
    assert record.getMessage().endswith(f"close it with: chmod 600 {shlex.quote(str(file))}")


def test_tokens_are_looked_for_where_conda_and_anaconda_client_do(tmp_path: Path) -> None:
    """``BINSTAR_CONFIG_DIR`` goes in the place of all that."""
    here, there, home = leaks.new_secret("here"), leaks.new_secret("there"), tmp_path / "home"
    save(tmp_path / "binstar" / "data", "https://api.here.example", here)
    save(tmp_path / "binstar" / "data" / "tokens", "https://api.there.example", there)
    save(home / ".continuum" / "anaconda-client" / "tokens", "https://api.home.example", there)

    named = anaconda_token_store({"BINSTAR_CONFIG_DIR": str(tmp_path / "binstar")}, home)
    assert named.keys() == [f"{api}.{name}.example" for name in ("here", "there") for api in ("api", "conda")]
    assert named.get("conda.here.example") == CondaToken(Secret(here))
    assert anaconda_token_store({}, home).keys() == ["api.home.example", "conda.home.example"]
    assert anaconda_token_store({}, None).keys() == []
