"""What a well-made, an old and a carelessly made package say of themselves."""

from __future__ import annotations

import bz2
import os
import zipfile

import pytest

from keelback.archive import SUBDIRS, Severity, inspect
from keelback.errors import ArchiveError, ExitStatus, UsageError
from making import (
    ABSENT,
    conda_entries,
    index_json,
    info_members,
    make_big_conda,
    make_conda,
    make_tar_bz2,
    tar,
    write_zip,
)

MAKERS = pytest.mark.parametrize("make", [make_conda, make_tar_bz2])


def codes(findings):
    """What programs see of *findings*."""
    return [finding.code for finding in findings]


def refused(path, **options):
    """The findings with which *path* is refused."""
    with pytest.raises(ArchiveError) as caught:
        inspect(path, **options)
    return caught.value.findings


@MAKERS
def test_a_package_says_what_it_is(make, tmp_path):
    """Name, version, build, subdir, place, size, index.json and about.json are those of the package."""
    path = make(tmp_path, "tool", "2.1", "h1_3", subdir="linux-64", depends=["demo >=1"], about={"summary": "A tool."})
    archive = inspect(path)
    assert (archive.name, archive.version, archive.build, archive.subdir) == ("tool", "2.1", "h1_3", "linux-64")
    assert archive.path == path
    assert archive.filename == path.name == f"tool-2.1-h1_3{archive.extension}"
    assert archive.relative_path == f"linux-64/{path.name}"
    assert archive.size == path.stat().st_size
    assert dict(archive.index) == index_json("tool", "2.1", "h1_3", subdir="linux-64", depends=["demo >=1"])
    assert archive.about["summary"] == "A tool."
    assert archive.findings == ()


@MAKERS
def test_what_it_says_cannot_be_changed(make, tmp_path):
    """The archive that was checked is the one that is published."""
    archive = inspect(make(tmp_path))
    with pytest.raises(AttributeError):
        archive.name = "other"
    with pytest.raises(TypeError):
        archive.index["name"] = "other"


@MAKERS
def test_about_json_is_optional(make, tmp_path):
    """CEP 34: about.json need not be there."""
    if make is make_conda:
        members = info_members()
        del members["info/about.json"]
        path = write_zip(tmp_path / "demo-1.0-h0_0.conda", conda_entries("demo-1.0-h0_0", tar(members)))
    else:
        path = make(tmp_path)
        members = info_members()
        del members["info/about.json"]
        path.write_bytes(bz2.compress(tar(members)))
    archive = inspect(path)
    assert (dict(archive.about), archive.findings) == ({}, ())


def test_info_may_be_the_last_thing_in_a_tar_bz2(tmp_path):
    """A plain 'tar cj' of a folder may put info/ behind the payload."""
    archive = inspect(make_tar_bz2(tmp_path, payload=3_000_000, info_last=True))
    assert archive.name == "demo"


def test_no_more_than_the_beginning_of_a_tar_bz2_is_unpacked(tmp_path):
    """Damage behind info/ costs nothing to look for and is not looked for: the payload is never unpacked."""
    path = make_tar_bz2(tmp_path, payload=3_000_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert inspect(path).name == "demo"


def test_the_payload_of_a_conda_is_not_read(tmp_path, monkeypatch):
    """However large the payload, a few kilobytes at both ends of the file are all that is read."""
    path = make_big_conda(tmp_path / "big-1.0-0.conda", 50_000_000)
    read = 0
    opened = type(path).open

    def counting_open(self, *args, **kwargs):
        file = opened(self, *args, **{**kwargs, "buffering": 0})
        real = file.read

        class Counting:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def seek(self, offset):
                file.seek(offset)

            def read(self, size):
                nonlocal read
                data = real(size)
                read += len(data)
                return data

        return Counting()

    monkeypatch.setattr(type(path), "open", counting_open)
    assert inspect(path).size > 50_000_000
    assert 0 < read < 100_000


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_entries_are_read(compression, tmp_path):
    """CEP 35 wants entries stored; deflated ones are readable by every client, and worth a warning."""
    entries = conda_entries("demo-1.0-h0_0", tar(info_members()))
    path = write_zip(tmp_path / "demo-1.0-h0_0.conda", entries, compression=compression)
    found = codes(inspect(path).findings)
    assert found == ([] if compression == zipfile.ZIP_STORED else ["zip-compressed"] * 3)


def test_the_entries_may_come_in_any_order(tmp_path):
    """conda-build once wrote metadata.json last."""
    entries = conda_entries("demo-1.0-h0_0", tar(info_members()))
    path = write_zip(tmp_path / "demo-1.0-h0_0.conda", dict(reversed(entries.items())))
    assert inspect(path).findings == ()


def test_a_dot_before_the_members_names_is_a_warning(tmp_path):
    """CEP 35's own example packs '.', which gives ./info/index.json; indexers that look for the exact name miss it."""
    members = {f"./{name}": data for name, data in info_members().items()}
    path = write_zip(tmp_path / "demo-1.0-h0_0.conda", conda_entries("demo-1.0-h0_0", tar(members)))
    archive = inspect(path)
    assert archive.name == "demo"
    assert set(codes(archive.findings)) == {"member-name"}


@pytest.mark.parametrize(
    ("metadata", "code", "readable"),
    [
        (None, "no-format-version", True),
        (b"", "no-format-version", True),
        (b'{"conda_pkg_format_version": 3}', "format-version", False),
        (b"{}", "format-version", False),
        (b"[2]", "bad-json", False),
    ],
)
def test_metadata_json_says_2_or_nothing(metadata, code, readable, tmp_path):
    """An older or later format is refused; no client insists on the file itself."""
    entries = conda_entries("demo-1.0-h0_0", tar(info_members()), metadata=metadata or b"")
    if metadata is None:
        del entries["metadata.json"]
    path = write_zip(tmp_path / "demo-1.0-h0_0.conda", entries)
    findings = inspect(path).findings if readable else refused(path)
    assert codes(findings) == [code]
    assert findings[0].field.startswith("metadata.json")


def test_inner_names_that_differ_from_the_files_are_a_warning(tmp_path):
    """Conda finds the parts of a .conda by the name of the file, rattler by their beginning."""
    path = write_zip(tmp_path / "demo-1.0-h0_0.conda", conda_entries("built-as-0", tar(info_members())))
    assert codes(inspect(path).findings) == ["inner-name", "inner-name"]


def test_a_conda_without_payload_is_refused(tmp_path):
    """CEP 35: the zip holds both tars; conda does not install one without payload."""
    entries = conda_entries("demo-1.0-h0_0", tar(info_members()))
    del entries["pkg-demo-1.0-h0_0.tar.zst"]
    findings = refused(write_zip(tmp_path / "demo-1.0-h0_0.conda", entries))
    assert codes(findings) == ["no-payload"]


# -- the name of the file -------------------------------------------------------------------------------------------


@MAKERS
def test_the_file_is_called_name_version_build(make, tmp_path):
    """CEP 26: the file name is made of what index.json says."""
    path = make(tmp_path)
    extension = path.name.removeprefix("demo-1.0-h0_0")
    renamed = path.rename(tmp_path / f"demo-1.0-h0_0_copy{extension}")
    (finding, *_) = refused(renamed)
    assert finding.code == "file-name"
    assert f"demo-1.0-h0_0{extension}" in finding.message


@pytest.mark.parametrize("name", ["demo 1.0-0.conda", "dé-1.0-0.conda", "a%2Fb-1-0.conda", "demo-1.0-\n0.conda"])
def test_file_names_have_safe_characters_only(name, tmp_path):
    """What would have to be quoted in a URL, a header or a shell is refused, and shown without control characters."""
    path = make_conda(tmp_path).rename(tmp_path / name)
    with pytest.raises(ArchiveError) as caught:
        inspect(path)
    assert caught.value.code == "file-name"
    assert "\n" not in str(caught.value)


def test_file_names_have_at_most_211_characters(tmp_path):
    """CEP 26, Filenames."""
    path = make_conda(tmp_path).rename(tmp_path / f"{'a' * 206}.conda")
    assert "too-long" in codes(refused(path))


def test_other_extensions_are_no_packages(tmp_path):
    """Only .conda and .tar.bz2 are packages."""
    path = tmp_path / "demo-1.0-0.zip"
    path.write_bytes(b"PK\x03\x04")
    assert codes(refused(path)) == ["file-type"]


# -- index.json -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["name", "version", "build", "build_number"])
@MAKERS
def test_required_fields(make, field, tmp_path):
    """CEP 34: a package without one of these cannot be put into repodata."""
    findings = refused(make(tmp_path, index={field: ABSENT}))
    assert [(finding.code, finding.field) for finding in findings] == [("missing-field", f"index.json: {field}")]
    assert findings[0].severity is Severity.ERROR


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 1),
        ("name", ""),
        ("version", 1.0),
        ("version", ["1"]),
        ("build", {}),
        ("build_number", "0"),
        ("build_number", True),
        ("build_number", -1),
        ("build_number", 0.0),
        ("depends", "python"),
        ("depends", [1]),
        ("depends", None),
        ("constrains", ["a", None]),
        ("timestamp", "today"),
        ("timestamp", -1),
        ("license", ["MIT"]),
        ("noarch", "ruby"),
        ("subdir", 64),
    ],
)
def test_fields_of_the_wrong_type(field, value, tmp_path):
    """A field that clients would not parse is an error that names it and shows what is there."""
    findings = refused(make_conda(tmp_path, index={field: value}))
    assert [(finding.code, finding.field) for finding in findings] == [("bad-field", f"index.json: {field}")]
    assert findings[0].hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("depends", ABSENT),
        ("constrains", ["other <2"]),
        ("timestamp", ABSENT),
        ("license", None),
        ("noarch", "python"),
        ("noarch", True),
        ("anything", {"else": [1, 2.5, None]}),
    ],
)
def test_fields_as_builders_write_them(field, value, tmp_path):
    """rattler-build leaves empty lists out; other fields are nobody's business."""
    assert inspect(make_conda(tmp_path, index={field: value})).findings == ()


@pytest.mark.parametrize("name", ["_libgcc_mutex", "r-base", "7zip", "ruamel.yaml", "a", "x264", "font-ttf-"])
def test_names_that_exist_are_taken(name, tmp_path):
    """CEP 26, Package names."""
    assert inspect(make_conda(tmp_path, name)).name == name


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("name", "__virtual", "bad-spelling"),
        ("name", "-demo", "bad-spelling"),
        ("name", "de mo", "bad-spelling"),
        ("name", "de--mo", "bad-spelling"),
        ("name", "demo\n", "bad-spelling"),
        ("name", "../demo", "bad-spelling"),
        ("version", "1.0-1", "bad-spelling"),
        ("version", "1.0/..", "bad-spelling"),
        ("build", "h0-0", "bad-spelling"),
        ("build", "h0!0", "bad-spelling"),
        ("name", "n" * 65, "too-long"),
        ("version", "1" * 65, "too-long"),
        ("build", "b" * 65, "too-long"),
    ],
)
def test_spellings_that_clients_refuse(field, value, code, tmp_path):
    """CEP 26: characters and lengths of name, version and build string."""
    findings = refused(make_conda(tmp_path, index={field: value}))
    assert (findings[0].code, findings[0].field) == (code, f"index.json: {field}")


@pytest.mark.parametrize(("name", "version"), [("Demo", "1.0"), ("demo", "1.0RC1")])
def test_upper_case_is_a_warning(name, version, tmp_path):
    """CEP 26 wants lower case; packages with upper case exist, and clients fold it."""
    archive = inspect(make_conda(tmp_path, name, version))
    assert [(finding.code, finding.severity) for finding in archive.findings] == [("upper-case", Severity.WARNING)]


def test_every_finding_is_reported_at_once(tmp_path):
    """Who has three things to correct learns all three; the message names the first and counts the rest."""
    path = make_conda(tmp_path, index={"build_number": "x", "depends": 1, "version": ABSENT})
    with pytest.raises(ArchiveError) as caught:
        inspect(path)
    error = caught.value
    assert isinstance(error, ArchiveError)
    assert sorted(codes(error.findings)) == ["bad-field", "bad-field", "missing-field"]
    assert str(error).startswith("demo-1.0-h0_0.conda: index.json has no 'version'")
    assert "2 more findings" in str(error)
    assert (error.code, error.hint) == (error.findings[0].code, error.findings[0].hint)
    assert error.exit_status is ExitStatus.FAILED
    assert {finding.file for finding in error.findings} == {path}


# -- subdir ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"platform": "linux", "arch": "x86_64"}, "linux-64"),
        ({"platform": "linux", "arch": "x86"}, "linux-32"),
        ({"platform": "osx", "arch": "x86_64"}, "osx-64"),
        ({"platform": "osx", "arch": "aarch64"}, "osx-arm64"),
        ({"platform": "linux", "arch": "arm64"}, "linux-aarch64"),
        ({"platform": "linux", "arch": "ppc64le"}, "linux-ppc64le"),
        ({"platform": "win", "arch": "x86"}, "win-32"),
        ({"platform": None, "arch": None, "noarch": "python"}, "noarch"),
    ],
)
def test_old_packages_without_subdir(fields, expected, tmp_path):
    """Before 2016 there was no subdir; platform and arch, or noarch, say where the package belongs."""
    index = {"subdir": ABSENT, "noarch": ABSENT, **fields}
    archive = inspect(make_tar_bz2(tmp_path, index=index))
    assert archive.subdir == expected
    assert archive.relative_path == f"{expected}/demo-1.0-h0_0.tar.bz2"
    assert codes(archive.findings) == ["implied-subdir"]
    assert "subdir" not in archive.index


NOWHERE = {"subdir": ABSENT, "noarch": ABSENT, "platform": ABSENT, "arch": ABSENT}


def test_the_folder_says_where_a_package_belongs_that_does_not(tmp_path):
    """An old package in a folder linux-64 belongs in linux-64."""
    archive = inspect(make_conda(tmp_path / "linux-64", index=NOWHERE))
    assert (archive.subdir, codes(archive.findings)) == ("linux-64", ["implied-subdir"])


def test_without_any_subdir_the_user_has_to_say_it(tmp_path):
    """An error that names the option; with the option, all is well."""
    path = make_conda(tmp_path, index=NOWHERE)
    (finding,) = refused(path)
    assert finding.code == "no-subdir"
    assert "--subdir" in finding.hint
    archive = inspect(path, subdir="win-64")
    assert (archive.subdir, archive.findings) == ("win-64", ())


def test_a_subdir_that_disagrees_is_an_error(tmp_path):
    """--subdir fills a gap; it does not move a package to where clients would not expect it."""
    path = make_conda(tmp_path, subdir="linux-64")
    assert inspect(path, subdir="linux-64").subdir == "linux-64"
    assert codes(refused(path, subdir="osx-64")) == ["subdir-mismatch"]


def test_unknown_subdirs(tmp_path):
    """No client looks into a subdir that it does not know."""
    assert codes(refused(make_conda(tmp_path, index={"subdir": "linux-x64"}))) == ["unknown-subdir"]
    with pytest.raises(UsageError, match="linux-x64"):
        inspect(make_conda(tmp_path), subdir="linux-x64")


def test_noarch_outside_noarch_is_a_warning(tmp_path):
    """It installs, but only on that platform."""
    archive = inspect(make_conda(tmp_path, subdir="linux-64", index={"noarch": "python"}))
    assert codes(archive.findings) == ["noarch-in-subdir"]


def test_the_known_subdirs_are_those_of_rattler():
    """Every subdir that rattler knows is known here."""
    subdir = pytest.importorskip("rattler.platform.subdir")
    assert set(subdir.SubdirLiteral.__args__) <= set(SUBDIRS)


# -- what is made here is what clients take --------------------------------------------------------------------------


@MAKERS
def test_rattler_reads_the_same(make, tmp_path):
    """The package maker of these tests makes packages that py-rattler unpacks to the same index.json."""
    rattler = pytest.importorskip("rattler")
    streaming = pytest.importorskip("rattler.package_streaming")
    path = make(tmp_path, "tool", "2.1", "h1_3", subdir="linux-64", depends=["demo >=1"])
    streaming.extract(os.fspath(path), os.fspath(tmp_path / "out"))
    theirs = rattler.IndexJson.from_path(tmp_path / "out" / "info" / "index.json")
    ours = inspect(path)
    assert (theirs.name.normalized, str(theirs.version), str(theirs.build), theirs.subdir) == (
        ours.name,
        ours.version,
        ours.build,
        ours.subdir,
    )
    assert (tmp_path / "out" / "share" / "tool" / "hello.txt").is_file()
