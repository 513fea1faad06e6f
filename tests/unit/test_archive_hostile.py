"""Broken and hostile files: each is refused with a reason, costs neither memory nor time, and unpacks nothing."""

from __future__ import annotations

import bz2
import io
import json
import os
import struct
import sys
import tarfile
import time
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from keelback.archive import inspect
from keelback.archive import zip as zip_module
from keelback.archive.findings import Unreadable
from keelback.archive.streams import BoundedReader
from keelback.errors import ArchiveError
from keelback.findings import printable
from making import (
    conda_entries,
    index_json,
    info_members,
    make_conda,
    make_tar_bz2,
    member,
    tar,
    write_zip,
    zstd,
)

STEM = "demo-1.0-h0_0"
MAKERS = pytest.mark.parametrize("make", [make_conda, make_tar_bz2])


def refused(path, code):
    """The first finding with which *path* is refused, which has to be of that *code*."""
    with pytest.raises(ArchiveError) as caught:
        inspect(path)
    finding = caught.value.findings[0]
    assert finding.code == code, finding
    assert finding.file == path
    assert finding.message.isprintable()
    assert len(str(caught.value)) < 600
    return finding


def conda_of(tmp_path, members):
    """A .conda whose ``info`` tar holds *members*."""
    return write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, tar(members)))


def tar_bz2_of(tmp_path, members):
    """A .tar.bz2 of *members*."""
    path = tmp_path / f"{STEM}.tar.bz2"
    path.write_bytes(bz2.compress(tar(members)))
    return path


CONTAINERS = pytest.mark.parametrize("container", [conda_of, tar_bz2_of])


def with_index(text):
    """The members of a package whose index.json is *text*."""
    return {**info_members(), "info/index.json": text}


# -- no package at all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "empty-file", "empty"),
        (b"<!DOCTYPE html><title>404</title>", "not-an-archive", "HTML"),
        (b'{"error": "unauthorized"}', "not-an-archive", "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not-an-archive", "Git LFS"),
        (b"\x1f\x8b\x08\x00", "not-an-archive", "gzip"),
        (b"P", "not-an-archive", "something else"),
    ],
)
def test_files_that_are_something_else(extension, content, code, says, tmp_path):
    """The message says what the file is, so that its origin is clear."""
    path = tmp_path / (STEM + extension)
    path.write_bytes(content)
    assert says in refused(path, code).message


@pytest.mark.parametrize(("make", "wrong"), [(make_conda, ".tar.bz2"), (make_tar_bz2, ".conda")])
def test_renaming_converts_nothing(make, wrong, tmp_path):
    """A .tar.bz2 called .conda, and the other way round, is told from a damaged file."""
    path = make(tmp_path)
    finding = refused(path.rename(tmp_path / (STEM + wrong)), "renamed")
    assert path.name.removeprefix(STEM) in finding.hint


def test_a_zip_need_not_be_a_conda(tmp_path):
    """A wheel under another name is a zip, too."""
    path = write_zip(tmp_path / f"{STEM}.conda", {"demo/__init__.py": b"", "demo-1.0.dist-info/METADATA": b""})
    assert "not a package" in refused(path, "no-info").message


def test_a_conda_that_was_zipped_with_its_folder(tmp_path):
    """Clients look for info-*.tar.zst at the top level only."""
    entries = {f"Users/me/{name}": data for name, data in conda_entries(STEM, tar(info_members())).items()}
    assert "in a folder" in refused(write_zip(tmp_path / f"{STEM}.conda", entries), "no-info").message


def test_files_that_are_not_there(tmp_path):
    """It may vanish between its discovery and its check."""
    refused(tmp_path / f"{STEM}.conda", "no-such-file")
    refused(tmp_path / "gone\0.conda", "unreadable")


@pytest.mark.parametrize(
    "make", ["mkdir", pytest.param("mkfifo", marks=pytest.mark.skipif(os.name != "posix", reason="no pipes"))]
)
def test_folders_and_pipes_are_not_opened(make, tmp_path):
    """Opening a pipe would wait for ever."""
    path = tmp_path / f"{STEM}.conda"
    getattr(os, make)(path)
    refused(path, "not-a-file")


def test_files_that_may_not_be_read(tmp_path, monkeypatch):
    """The reason is the system's."""
    path = make_conda(tmp_path)

    def deny(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", deny)
    assert "Permission denied" in refused(path, "unreadable").message


# -- incomplete and damaged -----------------------------------------------------------------------------------------


@cache
def package(extension):
    """The bytes of a package, made once."""
    with TemporaryDirectory() as folder:
        make = make_conda if extension == ".conda" else make_tar_bz2
        return make(Path(folder), payload=3_000).read_bytes()


def inspect_bytes(content, extension):
    """Check a package of these bytes; ``None`` when it is refused, and any other exception is a fault of ours."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / (STEM + extension)
        path.write_bytes(content)
        try:
            return inspect(path)
        except ArchiveError:
            return None


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
@given(st.data())
def test_every_truncated_package_is_refused(extension, data):
    """Wherever a download or a copy stopped."""
    whole = package(extension)
    length = data.draw(st.integers(0, len(whole) - 1))
    assert inspect_bytes(whole[:length], extension) is None


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
def test_a_package_with_something_appended_is_refused(extension):
    """Its hash would be that of no package that anybody built."""
    assert inspect_bytes(package(extension), extension) is not None
    assert inspect_bytes(package(extension) + b"\n\n\n\n", extension) is None


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
@given(st.data())
def test_damage_never_ends_in_anything_but_a_finding(extension, data):
    """Whatever bytes are overwritten, the package is read as it is or refused."""
    content = bytearray(package(extension))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(patch)] = patch
    archive = inspect_bytes(bytes(content), extension)
    assert archive is None or archive.name


@given(st.data())
def test_damage_inside_the_tar_never_ends_in_anything_but_a_finding(data):
    """The same behind the compression, where checksums do not help."""
    content = bytearray(tar(info_members()))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 2000))
        content[at] = data.draw(st.integers(0, 255))
        start = at - at % 512
        header = bytes(content[start : start + 148]) + b" " * 8 + bytes(content[start + 156 : start + 512])
        content[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    archive = inspect_bytes(bz2.compress(bytes(content)), ".tar.bz2")
    assert archive is None or archive.name == "demo"


@given(st.binary(max_size=400))
def test_any_index_json_is_read_or_refused(text):
    """Whatever it holds."""
    assert inspect_bytes(bz2.compress(tar(with_index(text))), ".tar.bz2") is None


def test_a_truncated_tar_in_a_complete_container(tmp_path):
    """A tar that ends in the middle is not taken for a short one."""
    whole = tar(info_members())
    for cut in (whole[:700], whole[:900]):
        path = write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, cut))
        refused(path, "truncated")
        path = tmp_path / f"{STEM}.tar.bz2"
        path.write_bytes(bz2.compress(cut))
        refused(path, "truncated")


def test_a_truncated_zstd_frame_in_a_complete_zip(tmp_path):
    """The zip's checksum is right, what it holds is not complete."""
    entries = conda_entries(STEM, tar(info_members()))
    name = f"info-{STEM}.tar.zst"
    entries[name] = entries[name][:-20]
    with pytest.raises(ArchiveError):
        inspect(write_zip(tmp_path / f"{STEM}.conda", entries))


def test_what_is_no_zstd_is_damaged(tmp_path):
    """The component has the right name, and other bytes."""
    entries = {**conda_entries(STEM, b"x" * 512), f"info-{STEM}.tar.zst": b"not zstd at all"}
    refused(write_zip(tmp_path / f"{STEM}.conda", entries), "damaged")


def test_several_frames_and_streams_are_read(tmp_path):
    """Parallel compressors write several, one after the other."""
    whole = tar(info_members())
    entries = conda_entries(STEM, b"x" * 512) | {f"info-{STEM}.tar.zst": zstd(whole[:900]) + zstd(whole[900:])}
    assert inspect(write_zip(tmp_path / f"{STEM}.conda", entries)).name == "demo"
    path = tmp_path / f"{STEM}.tar.bz2"
    path.write_bytes(bz2.compress(whole[:900]) + bz2.compress(whole[900:]))
    assert inspect(path).name == "demo"


# -- the zip --------------------------------------------------------------------------------------------------------


def test_entries_lie_where_the_directory_says(tmp_path):
    """A local header that is elsewhere, or says something else, is what a streaming installer would read."""
    path = make_conda(tmp_path)
    content = path.read_bytes()
    local = content.index(b"PK\x03\x04", 10)
    for at, patch in ((local, b"PK\x03\x05"), (local + 18, b"\x01\x02"), (local + 30, b"XXX")):
        path.write_bytes(content[:at] + patch + content[at + len(patch) :])
        refused(path, "damaged")


def test_offsets_of_64_bits_are_checked_before_they_are_used(tmp_path):
    """They lie further out than any file, and than what the system can be asked for."""
    path = make_conda(tmp_path)
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    name_length = struct.unpack_from("<H", content, directory + 28)[0]
    extra = struct.pack("<2HQ", 1, 8, 2**64 - 1)
    struct.pack_into("<H", content, directory + 30, len(extra))
    struct.pack_into("<L", content, directory + 42, 0xFFFFFFFF)
    struct.pack_into("<L", content, end + 12, end - directory + len(extra))
    at = directory + 46 + name_length
    path.write_bytes(content[:at] + extra + content[at:])
    refused(path, "damaged")


def test_a_zip_without_entries_is_no_package(tmp_path):
    """Although its bytes may all be there."""
    path = make_conda(tmp_path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<2H", content, content.index(b"PK\x05\x06") + 8, 0, 0)
    path.write_bytes(content)
    refused(path, "no-info")


def test_entries_do_not_overlap(tmp_path):
    """Two entries that share bytes are the trick of zip bombs."""
    path = make_conda(tmp_path)
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", directory + 1)
    local = struct.unpack_from("<L", content, second + 42)[0]
    for at in (directory + 20, struct.unpack_from("<L", content, directory + 42)[0] + 18):
        struct.pack_into("<L", content, at, local)
    path.write_bytes(content)
    refused(path, "damaged")


def test_entries_do_not_share_a_local_header(tmp_path, monkeypatch):
    """A directory of ten thousand entries that all point to one long header costs no more than one of them."""
    path = make_conda(tmp_path)
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", directory + 1)
    end = content.index(b"PK\x05\x06")
    entries = content[directory:second] * 10_000
    footer = bytearray(content[end:])
    struct.pack_into("<2H2L", footer, 8, 10_000, 10_000, len(entries), directory)
    path.write_bytes(content[:directory] + entries + footer)
    looked_at = []
    real = zip_module._check_local
    monkeypatch.setattr(zip_module, "_check_local", lambda *args: looked_at.append(args[1]) or real(*args))
    assert "runs into" in refused(path, "damaged").message
    assert len(looked_at) == 1


def test_the_checksum_of_an_entry_is_verified(tmp_path):
    """A zip says what its entries should be."""
    path = make_conda(tmp_path)
    content = path.read_bytes()
    at = content.index(f"info-{STEM}.tar.zst".encode()) + len(f"info-{STEM}.tar.zst") + 30
    path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
    refused(path, "damaged")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_comes_once(tmp_path):
    """Readers differ in which one of two they take, so that one could hide the other."""
    entries = conda_entries(STEM, tar(info_members()))
    path = write_zip(tmp_path / f"{STEM}.conda", entries)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"info-{STEM}.tar.zst", entries[f"info-{STEM}.tar.zst"])
    refused(path, "duplicate-entry")


def test_there_is_one_info_and_one_payload(tmp_path):
    """The same with another name after the prefix."""
    entries = conda_entries(STEM, tar(info_members()))
    entries[f"info-{STEM}-2.tar.zst"] = entries[f"info-{STEM}.tar.zst"]
    refused(write_zip(tmp_path / f"{STEM}.conda", entries), "duplicate-entry")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:evil", "..\\evil", "evil\x01"])
def test_entries_do_not_lead_out_of_the_zip(name, tmp_path):
    """Somebody will unpack it with a tool that does not look."""
    refused(
        write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, tar(info_members())) | {name: b""}), "unsafe-path"
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_not_for_packages(method, tmp_path):
    """No client reads them."""
    entries = conda_entries(STEM, tar(info_members()))
    refused(write_zip(tmp_path / f"{STEM}.conda", entries, compression=method), "zip-method")


def test_encrypted_entries_are_refused(tmp_path):
    """No client asks for a password."""
    path = make_conda(tmp_path)
    content = bytearray(path.read_bytes())
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 8] |= 1
    path.write_bytes(content)
    refused(path, "zip-method")


def test_a_zip_that_was_written_to_a_pipe_is_a_warning(tmp_path):
    """Lengths stand behind the entries then, and rattler cannot install it; conda can."""

    class Pipe(io.RawIOBase):
        written = b""

        def writable(self):
            return True

        def write(self, data):
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, data in conda_entries(STEM, tar(info_members())).items():
            archive.writestr(name, data)
    path = tmp_path / f"{STEM}.conda"
    path.write_bytes(pipe.written)
    assert {finding.code for finding in inspect(path).findings} == {"zip-streamed"}


def test_a_huge_zip_directory_is_not_read(tmp_path):
    """A package has three entries, not a hundred thousand."""
    path = tmp_path / f"{STEM}.conda"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(25_000):
            archive.writestr(f"{number}", b"")
    refused(path, "too-large")


# -- the tar --------------------------------------------------------------------------------------------------------


@CONTAINERS
@pytest.mark.parametrize("name", ["/etc/passwd", "../evil", "info/../../evil", "C:/evil", "info\\evil", "info/.."])
def test_members_do_not_lead_out_of_the_package(container, name, tmp_path):
    """Absolute paths, drives, backslashes and '..'."""
    refused(container(tmp_path, [member(name, b"x"), *tar_pairs()]), "unsafe-path")


def tar_pairs():
    """The members of a good package."""
    return [member(name, data) for name, data in info_members().items()]


@CONTAINERS
@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("info/link", "symlink", "/etc/passwd"),
        ("info/link", "symlink", "../../evil"),
        ("info/link", "symlink", "..\\..\\evil"),
        ("info/link", "hardlink", "/etc/passwd"),
        ("info/link", "hardlink", "info/../../evil"),
        ("lib/link", "hardlink", "../evil"),
    ],
)
def test_links_do_not_lead_out_of_the_package(container, name, kind, link, tmp_path):
    """Neither symbolic links in info/ nor hard links anywhere."""
    refused(container(tmp_path, [member(name, kind=kind, link=link), *tar_pairs()]), "unsafe-path")


@CONTAINERS
def test_links_inside_the_package_are_fine(container, tmp_path):
    """Licence files are often links."""
    pairs = [
        member("info/licenses/LICENSE", kind="symlink", link="../about.json"),
        member("info/copy", kind="hardlink", link="info/about.json"),
        *tar_pairs(),
    ]
    assert inspect(container(tmp_path, pairs)).findings == ()


@CONTAINERS
def test_index_json_is_a_plain_file(container, tmp_path):
    """A link in its place would be read from somewhere else once unpacked."""
    pairs = [member("info/index.json", kind="symlink", link="other.json"), *tar_pairs()]
    refused(container(tmp_path, pairs), "not-a-plain-file")


@CONTAINERS
@pytest.mark.parametrize("second", ["info/index.json", "./info/index.json", "info//index.json"])
def test_index_json_comes_once(container, second, tmp_path):
    """Of two, some readers take the first and some the last."""
    refused(container(tmp_path, [*tar_pairs(), member(second, b"{}")]), "duplicate-member")


@CONTAINERS
def test_without_index_json_it_is_no_package(container, tmp_path):
    """The whole archive was looked through."""
    refused(container(tmp_path, {"info/about.json": b"{}", "lib/x": b"x"}), "no-index")


def test_long_names_of_every_kind_are_understood(tmp_path):
    """GNU, pax and ustar write names of more than 100 characters in three ways; index.json comes after them."""
    long = "info/" + "/".join(["long"] * 50)
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for header, data in [
                member(long if form != tarfile.USTAR_FORMAT else long[:200], b"x" * 600),
                *tar_pairs(),
            ]:
                archive.addfile(header, io.BytesIO(data))
        path = write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, out.getvalue()))
        assert inspect(path).findings == ()


def test_pax_headers_apply(tmp_path):
    """A path in an extended header is the name that an unpacked file gets: '..' does not hide there."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        header, data = member("harmless", b"x")
        header.pax_headers = {"path": "../evil"}
        archive.addfile(header, io.BytesIO(data))
        for header, data in tar_pairs():
            archive.addfile(header, io.BytesIO(data))
    refused(write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, out.getvalue())), "unsafe-path")


def raw_header(name, kind, size):
    """A tar header that claims *size* bytes."""
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, size
    return header.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_huge_headers_are_not_read(kind, tmp_path):
    """A name of a gigabyte is refused before it is read."""
    content = raw_header("x", kind, 1 << 30) + bytes(1 << 20)
    refused(write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, content)), "too-large")


@pytest.mark.parametrize(
    "record",
    [b"0 path=x\n", b"-5 path=x\n", b"99 path=x\n", b"path=x\n", b"10 path=x", b"12 size=-999\n", b"9999999 a=b\n"],
)
def test_malformed_extended_headers_are_refused(record, tmp_path):
    """They have made readers go round in circles (CVE-2019-20907)."""
    content = raw_header("x", tarfile.XHDTYPE, len(record)) + record.ljust(512, b"\0") + tar(info_members())
    refused(write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, content)), "damaged")


def test_negative_sizes_are_refused(tmp_path):
    """They have made readers go backwards for ever (CVE-2025-8194)."""
    header = bytearray(raw_header("x", tarfile.REGTYPE, 0))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content = bytes(header) + tar(info_members())
    refused(write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, content)), "damaged")


# -- bombs ----------------------------------------------------------------------------------------------------------


def quickly(path, code):
    """As :func:`refused`, in seconds of this process's own time and megabytes of memory, not minutes and gigabytes."""
    tracemalloc = pytest.importorskip("tracemalloc")
    start = time.process_time()
    tracemalloc.start()
    try:
        finding = refused(path, code)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000
    assert time.process_time() - start < 20
    return finding


def zeros(compressor, size):
    """The compressed form of *size* zeros behind the header of a file that large."""
    block = bytes(1 << 20)
    out = compressor.compress(raw_header("info/zeros", tarfile.REGTYPE, size))
    for _ in range(size >> 20):
        out += compressor.compress(block)
    return out + compressor.flush()


def test_a_bomb_in_info(tmp_path):
    """A few kilobytes that unpack to a gigabyte."""
    path = tmp_path / f"{STEM}.conda"
    entries = conda_entries(STEM, b"x") | {
        f"info-{STEM}.tar.zst": zeros(zstandard.ZstdCompressor().compressobj(), 1 << 30)
    }
    quickly(write_zip(path, entries), "too-large")
    assert path.stat().st_size < 200_000


def test_a_bomb_in_a_tar_bz2(tmp_path, monkeypatch):
    """bzip2 shrinks zeros by a factor of twenty thousand; the bound is lowered so that no test has to wait for it."""
    monkeypatch.setattr("keelback.archive.tarbz2.MAX_INFO", 1 << 20)
    path = tmp_path / f"{STEM}.tar.bz2"
    path.write_bytes(zeros(bz2.BZ2Compressor(), 32 << 20))
    quickly(path, "too-large")


@CONTAINERS
@pytest.mark.parametrize(("name", "size"), [("info/index.json", (1 << 20) + 1), ("info/about.json", (1 << 20) + 1)])
def test_a_huge_json_file(container, name, size, tmp_path):
    """It is not read into memory."""
    refused(container(tmp_path, {**info_members(), name: b" " * size}), "too-large")


@CONTAINERS
def test_an_index_json_that_claims_to_be_huge(container, tmp_path):
    """The header alone is enough to refuse it."""
    content = raw_header("info/index.json", tarfile.REGTYPE, 1 << 40) + bytes(1024)
    if container is conda_of:
        path = write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, content))
    else:
        path = tmp_path / f"{STEM}.tar.bz2"
        path.write_bytes(bz2.compress(content))
    quickly(path, "too-large")


def test_too_many_members(tmp_path, monkeypatch):
    """Each costs some time, and there is no package with so many."""
    monkeypatch.setattr("keelback.archive.tar.MAX_MEMBERS", 3)
    refused(make_conda(tmp_path), "too-large")


def test_a_zstd_window_beyond_what_readers_allow(tmp_path):
    """A frame may ask for gigabytes of memory; no reader of packages gives them."""
    parameters = zstandard.ZstdCompressionParameters(window_log=30, write_content_size=False)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    entries = conda_entries(STEM, b"x") | {
        f"info-{STEM}.tar.zst": frame.compress(tar(info_members())) + frame.flush(),
    }
    refused(write_zip(tmp_path / f"{STEM}.conda", entries), "damaged")


def test_a_tar_bz2_of_very_many_streams(tmp_path):
    """Each stream costs some microseconds and kilobytes to start; parallel compressors put 100 kB or more into one."""
    path = tmp_path / f"{STEM}.tar.bz2"
    streams = {value: bz2.compress(bytes([value])) for value in range(256)}
    path.write_bytes(b"".join(streams[value] for value in tar(info_members())))
    assert "bzip2 streams" in quickly(path, "too-large").message
    path.write_bytes(bz2.compress(b"") * 5_000 + bz2.compress(tar(info_members())))
    quickly(path, "too-large")


def test_a_tar_bz2_of_as_many_streams_as_compressors_write(tmp_path, monkeypatch):
    """A stream for each block of 100 kB, however many there are."""
    monkeypatch.setattr("keelback.archive.tarbz2.MAX_SHORT_STREAMS", 1)
    whole = tar({"lib/zeros": bytes(3_000_000)} | info_members())
    path = tmp_path / f"{STEM}.tar.bz2"
    path.write_bytes(b"".join(bz2.compress(whole[at : at + 100_000]) for at in range(0, len(whole), 100_000)))
    assert inspect(path).name == "demo"


class Dripping:
    """A stream that comes in the smallest pieces."""

    def __init__(self, content):
        self.content = io.BytesIO(content)

    def read(self, size):
        """One byte."""
        return self.content.read(min(size, 1))


def test_a_stream_may_come_in_any_pieces():
    """The same bytes come out, and at the end what is left is told from what is missing."""
    content = bytes(range(256)) * 1_000
    reader = BoundedReader(Dripping(content), len(content), "it")
    reader.skip(100_000)
    assert reader.exactly(150_000) == content[100_000:250_000]
    assert reader.exactly(6_000) == content[250_000:]
    assert reader.exactly(1, or_end=True) == b""
    with pytest.raises(Unreadable, match="ends in the middle"):
        reader.exactly(1)


def test_very_many_findings_are_not_all_kept(tmp_path):
    """Who put ten thousand wrong members into an archive does not need ten thousand lines to see it."""
    pairs = [member(f"../{number}") for number in range(10_000)]
    with pytest.raises(ArchiveError) as caught:
        inspect(conda_of(tmp_path, [*pairs, *tar_pairs()]))
    assert len(caught.value.findings) == 100


def pax_header(records, kind=tarfile.XHDTYPE):
    """An extended header with *records* of key and value."""
    content = b""
    for key, value in records:
        length = len(key) + len(value) + 3
        length += len(str(length + len(str(length))))
        content += b"%d %s=%s\n" % (length, key, value)
    return raw_header("x", kind, len(content)) + content + bytes(-len(content) % 512)


def test_too_many_records_of_extended_headers(tmp_path, monkeypatch):
    """Each costs some time, and there is no package with so many."""
    monkeypatch.setattr("keelback.archive.tar.MAX_RECORDS", 3)
    content = pax_header([(b"mtime", b"%d" % number) for number in range(4)]) + tar(info_members())
    refused(write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, content)), "too-large")


@pytest.mark.parametrize("key", [b"path", b"linkpath", b"size"])
def test_a_global_header_names_no_file(key, tmp_path):
    """It would give every member the same name; what tools do write there, a comment, is fine."""
    for records, code in (([(key, b"1")], "damaged"), ([(b"comment", b"1")], None)):
        content = pax_header(records, tarfile.XGLTYPE) + tar(info_members())
        path = write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, content))
        if code:
            refused(path, code)
        else:
            assert inspect(path).name == "demo"


@pytest.mark.parametrize(
    "header",
    [
        pax_header([(b"path", b"a/" * 20_000)]),
        pax_header([(b"linkpath", b"a/" * 20_000)]),
        raw_header("x", tarfile.GNUTYPE_LONGNAME, 40_000) + b"a" * 40_448,
    ],
    ids=["path", "linkpath", "GNU"],
)
def test_names_that_no_system_takes(header, tmp_path):
    """They are not taken apart."""
    content = header + tar(info_members())
    refused(write_zip(tmp_path / f"{STEM}.conda", conda_entries(STEM, content)), "too-large")


# -- JSON -----------------------------------------------------------------------------------------------------------

GOOD = json.dumps(index_json())


@CONTAINERS
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "line 1 column 1"),
        (b"{", "line 1 column 2"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "BOM"),
        (GOOD.encode("utf-16"), "not UTF-8"),
        (GOOD.replace("demo", "dem\xf6").encode("latin-1"), "not UTF-8"),
        (GOOD.replace('"demo"', '"demo", "name": "other"').encode(), "'name' is there twice"),
        (GOOD.replace('"demo"', '"demo", "x": NaN').encode(), "NaN"),
        (GOOD.replace('"demo"', '"demo", "x": 1e999').encode(), "too large"),
        (GOOD.replace('"demo"', '"demo", "x": ' + "9" * 5000).encode(), "64 bits"),
        (GOOD.replace('"demo"', '"demo", "x": 18446744073709551616').encode(), "64 bits"),
        (GOOD.replace('"demo"', r'"demo", "x": "\ud800"').encode(), "surrogates"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
    ],
)
def test_json_that_readers_would_not_take(container, text, says, tmp_path):
    """Refused with the place and the reason, before a server or a client trips over it."""
    finding = refused(container(tmp_path, with_index(text)), "bad-json")
    assert says in finding.message
    assert finding.field == "index.json"


def test_about_json_has_to_be_an_object_as_well(tmp_path):
    """anaconda.org is sent what is in it."""
    finding = refused(conda_of(tmp_path, {**info_members(), "info/about.json": b"[]"}), "bad-json")
    assert finding.field == "about.json"


@pytest.mark.parametrize("name", ["info/index.json", "info/about.json"])
@pytest.mark.parametrize(
    "text",
    [
        b'{"a":[' + b"[]," * 300_000 + b"[]]}",
        b'{"a":[' + b"{}," * 300_000 + b"{}]}",
        b"{" + b",".join(b'"%x":1' % number for number in range(110_000)) + b"}",
    ],
    ids=["lists", "objects", "keys"],
)
def test_json_that_unpacks_to_a_hundred_times_its_size(text, name, tmp_path):
    """A few kilobytes in the archive, a megabyte of JSON, and without a bound a hundred megabytes of objects."""
    finding = quickly(conda_of(tmp_path, {**info_members(), name: text}), "bad-json")
    assert "elements" in finding.message


def test_a_key_that_is_there_twice_among_many(tmp_path):
    """Finding out which one takes one look at each key."""
    text = b"{" + b",".join(b'"%x":1' % number for number in range(90_000)) + b',"0":1}'
    finding = quickly(conda_of(tmp_path, with_index(text)), "bad-json")
    assert "'0' is there twice" in finding.message


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\x1b", max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FIELDS = [*index_json(), "constrains", "features", "track_features", "license_family", "purls", "noarch", "sha256"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, min_size=1, max_size=4))
def test_any_value_of_any_field_is_read_or_refused(fields):
    """JSON has types that no reader of packages expects where they are: each is a finding."""
    with TemporaryDirectory() as folder:
        path = make_conda(Path(folder), index=fields, filename=f"{STEM}.conda")
        with suppress(ArchiveError):
            archive = inspect(path)
            assert isinstance(archive.name + archive.version + archive.build + archive.subdir, str)


@pytest.mark.parametrize("value", [[], {}, ["python"], {"python": 1}, 1.5])
def test_noarch_of_a_type_that_cannot_be_compared(value, tmp_path):
    """Lists and objects are what sets do not take."""
    assert refused(make_conda(tmp_path, index={"noarch": value}), "bad-field").field == "index.json: noarch"


@CONTAINERS
@pytest.mark.parametrize(
    "name", ["info/../\x1b]0;pwned\x07", "../\x1b[2J\u202eevil", b"../\xff".decode(errors="surrogateescape")]
)
def test_fields_show_no_control_characters(container, name, tmp_path):
    """The name of a member goes to a terminal, too."""
    finding = refused(container(tmp_path, [member(name), *tar_pairs()]), "unsafe-path")
    assert finding.field.isprintable()
    assert finding.field.startswith(("info/../?]0;pwned?", "../?"))


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="file names are text there")
def test_the_name_of_the_file_need_not_be_text(tmp_path):
    """What is said of a file with bytes in its name that are no UTF-8 can be printed."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff-1-0.conda"))
    path.write_bytes(b"junk")
    finding = refused(path, "file-name")
    assert printable(str(finding.file)).endswith("/?-1-0.conda")
    with pytest.raises(ArchiveError) as caught:
        inspect(path)
    assert str(caught.value).encode()


def test_messages_show_no_control_characters(tmp_path):
    """What an archive says goes to a terminal: it must not move the cursor or colour the screen."""
    evil = "\x1b[2J\u202eevil\r\n"
    finding = refused(make_conda(tmp_path, index={"name": evil}), "bad-spelling")
    assert "\\x1b" in finding.message
