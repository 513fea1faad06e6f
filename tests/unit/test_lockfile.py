"""Lock files: what is written is read back, and what is no lock file is told, line by line."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import leaks
from keelback.archive import SUBDIRS
from keelback.errors import ChannelError, UsageError
from keelback.indexed import IndexedArchive, is_filename, package_name
from keelback.lockfile import lock_text, read_lock

if TYPE_CHECKING:
    from pathlib import Path

SHA256 = "0123456789abcdef" * 4
MD5 = "0123456789abcdef" * 2

PARTS = st.text(string.ascii_letters + string.digits + "_.!+", min_size=1, max_size=20)
HASHES = {
    64: st.text("0123456789abcdef", min_size=64, max_size=64),
    32: st.text("0123456789abcdef", min_size=32, max_size=32),
}


@st.composite
def archives(draw: st.DrawFn) -> IndexedArchive:
    """Any archive that a lock file can name."""
    name, version, build = draw(PARTS.filter(lambda text: text[0] not in "!+")), draw(PARTS), draw(PARTS)
    name = draw(st.sampled_from([name, f"{name}-{name}"]))
    subdir = draw(st.sampled_from(sorted(SUBDIRS)))
    filename = f"{name}-{version}-{build}{draw(st.sampled_from(['.conda', '.tar.bz2']))}"
    with_sha256 = draw(st.booleans())
    return IndexedArchive(
        name=name,
        version=version,
        build=build,
        subdir=subdir,
        filename=filename,
        url=f"https://host.example/chan/{subdir}/{filename}",
        sha256=draw(HASHES[64]) if with_sha256 else None,
        md5=None if with_sha256 else draw(HASHES[32]),
    )


@given(st.lists(archives(), max_size=5, unique_by=lambda archive: archive.url))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, chosen: list[IndexedArchive]) -> None:
    """All of it, in an order of its own, so that the same archives give the same file."""
    path = tmp_path_factory.getbasetemp() / "round-trip.lock"
    path.write_text(lock_text(chosen), encoding="utf-8")
    assert sorted(read_lock(path), key=repr) == sorted(chosen, key=repr)
    assert lock_text(chosen[::-1]) == lock_text(chosen)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_others_write_is_read(tmp_path: Path, ending: str) -> None:
    """By conda's ``list --explicit --md5`` and ``--sha256``, mamba's and pixi's exports; comments and blank lines."""
    lines = [
        "# This file may be used to create an environment using:",
        "# platform: linux-64",
        "",
        "@EXPLICIT",
        f"https://conda.anaconda.org/conda-forge/linux-64/hull-1.0-h0_0.conda#{MD5}",
        f"  https://conda.anaconda.org/conda-forge/noarch/boat-1!2.0-py_1.tar.bz2#{SHA256}  ",
        f"file:///srv/chan/noarch/oar-1.0-0.conda#sha256:{SHA256.upper()}",
    ]
    path = tmp_path / "explicit.txt"
    path.write_bytes(ending.join(lines).encode())
    assert [(archive.relative_path, archive.sha256, archive.md5) for archive in read_lock(path)] == [
        ("linux-64/hull-1.0-h0_0.conda", None, MD5),
        ("noarch/boat-1!2.0-py_1.tar.bz2", SHA256, None),
        ("noarch/oar-1.0-0.conda", SHA256, None),
    ]


HOST = "https://host.example/chan/noarch"


@pytest.mark.parametrize(
    "line",
    [
        f"{HOST}/hull-1.0-h0_0.conda",
        f"{HOST}/hull-1.0-h0_0.conda#",
        f"{HOST}/hull-1.0-h0_0.conda#sha256:{SHA256[1:]}",
        f"{HOST}/hull-1.0-h0_0.conda#{SHA256[1:]}",
        f"{HOST}/hull-1.0-h0_0.conda#sha256:{MD5}",
        f"{HOST}/hull-1.0-h0_0.conda#{'g' * 64}",
        f"{HOST}/hull-1.0-h0_0.conda {SHA256}",
        f"{HOST}/hull-1.0-h0_0.zip#{SHA256}",
        f"{HOST}/hull.conda#{SHA256}",
        f"{HOST}/..%2f..%2fhull-1.0-h0_0.conda#{SHA256}",
        f"{HOST}/..%5chull-1.0-h0_0.conda#{SHA256}",
        f"{HOST}/hull-1.0-h0_0%00.conda#{SHA256}",
        f"{HOST}/.-1.0-..%2f.conda#{SHA256}",
        f"{HOST}/{'h' * 300}-1.0-h0_0.conda#{SHA256}",
        f"https://host.example/chan/../hull-1.0-h0_0.conda#{SHA256}",
        f"https://host.example/chan/linux-65/hull-1.0-h0_0.conda#{SHA256}",
        f"https://host.example/chan/%2e%2e/hull-1.0-h0_0.conda#{SHA256}",
        f"https://host.example/hull-1.0-h0_0.conda#{SHA256}",
        f"https:///noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"ftp://host.example/chan/noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"javascript://host.example/chan/noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"\\\\host\\chan\\noarch\\hull-1.0-h0_0.conda#{SHA256}",
        f"/chan/noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"https://exa\x1b]0;PWNED\x07mple.invalid/chan/noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"https://h\N{CYRILLIC SMALL LETTER O}st.example/chan/noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"https://a%2eexample/chan/noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"file:////evil/share/noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"file:///%2Fevil/share/noarch/hull-1.0-h0_0.conda#{SHA256}",
        f"file://evil/share/noarch/hull-1.0-h0_0.conda#{SHA256}",
        "hull >=1",
        "@EXPLICIT",
    ],
)
def test_a_line_that_is_wrong_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    """And nothing is fetched of all the others."""
    path = tmp_path / "bad.lock"
    path.write_text(f"# comment\n@EXPLICIT\n{HOST}/oar-1.0-0.conda#{SHA256}\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.lock: line 4") as caught:
        read_lock(path)
    assert len(caught.value.message) < 600
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    "way", ["ann:{}@host.example/chan", "{}@host.example/chan", "host.example/t/{}/chan", "host.example/a/t/{}/chan"]
)
def test_a_secret_in_a_lock_file_is_refused_and_not_shown(tmp_path: Path, way: str) -> None:
    """It has no place in a file that is shared; the leak check sees to the rest."""
    secret = leaks.new_secret("locked")
    path = leaks.holds_secrets(tmp_path / "secret.lock")
    path.write_text(f"@EXPLICIT\nhttps://{way.format(secret)}/noarch/oar-1.0-0.conda#{SHA256}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="credential") as caught:
        read_lock(path)
    assert "auth login" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"# comment\n", b"hull\n", b"\xff\xfe@EXPLICIT", b'{"version": 6}', bytes(100)]
)
def test_what_is_no_lock_file_is_told(tmp_path: Path, content: bytes) -> None:
    """An environment file, a binary file, an empty one."""
    path = tmp_path / "no.lock"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"no\.lock"):
        read_lock(path)


def test_a_file_without_end_is_no_lock_file(tmp_path: Path) -> None:
    """It is not read to its end."""
    path = tmp_path / "large.lock"
    with path.open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(UsageError, match="too large for a lock file"):
        read_lock(path)


@pytest.mark.parametrize(
    "name",
    [
        "ca-certificates-2024.7.4-hbcca054_0.conda",
        "clobber-directory-upgrade-0.1.0-h4616a5c_0.conda",
        "conda_gc_test-1.2.1-py27_3.tar.bz2",
        "_libgcc_mutex-0.1-conda_forge.tar.bz2",
        "x264-1!164.3095-h166bdaf_2.tar.bz2",
        "pkg-1.0+local.1-0.conda",
        "Hull-1.0-0.conda",
    ],
)
def test_names_that_archives_have(name: str) -> None:
    """As builders have made them for ten years."""
    assert is_filename(name)
    assert name.startswith(f"{package_name(name)}-")


def test_all_names_of_real_packages_are_names(packages: Path) -> None:
    """Nothing that others built is turned away."""
    found = [path.name for path in packages.rglob("*") if path.name.endswith((".conda", ".tar.bz2"))]
    assert found
    assert [name for name in found if not is_filename(name)] == []


@given(st.text(max_size=30))
def test_no_name_leads_out_of_its_folder(text: str) -> None:
    """Whatever is put into it: no separators of any system, no drive, no control characters."""
    for name in (text, f"{text}-1.0-h0_0.conda", f"hull-{text}-0.conda", f"hull-1.0-{text}.tar.bz2"):
        if is_filename(name):
            assert not set(name) & set('/\\:\0\n\r\t "<>|?*%')
            assert name.isascii()
            assert name not in {".", ".."}


@pytest.mark.parametrize(
    "name",
    [
        "../hull-1-0.conda",
        "CON.x-1-0.conda",
        "nul.tools-1.0-0.tar.bz2",
        "/hull-1-0.conda",
        "C:hull-1-0.conda",
        "-rf-1-0.conda",
        "hull-1-0.conda\n",
    ],
)
def test_an_archive_with_a_name_that_leads_elsewhere_cannot_be_made(name: str) -> None:
    """Wherever it comes from."""
    with pytest.raises(ChannelError) as caught:
        IndexedArchive(name="hull", version="1", build="0", subdir="noarch", filename=name, url=f"https://h/{name}")
    assert caught.value.code == "bad-index"
