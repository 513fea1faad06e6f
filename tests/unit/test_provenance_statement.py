"""What an attestation says (CEP 27), and the files in which attestations come."""

from __future__ import annotations

import base64
import json
import random

import pytest

import leaks
from keelback.attestationfiles import LARGEST_BUNDLE, Claim, bundles_in, claims_of, sidecar_of
from keelback.errors import AttestationError, UsageError
from keelback.provenance.bundle import check_form
from keelback.provenance.files import AttestationFolder, GivenAttestations, files_beside, read_bundles
from keelback.provenance.statement import PREDICATE_TYPE, STATEMENT_TYPE, Statement, target_channel

NAME = "demo-1.0-h0_0.conda"
SHA256 = "5f" * 32
CHANNEL = "https://prefix.dev/my-channel"


def document(**changes):
    """A statement as JSON, with other members; those that are ``None`` are left out."""
    members = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": NAME, "digest": {"sha256": SHA256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"targetChannel": CHANNEL},
    }
    members = {name: value for name, value in {**members, **changes}.items() if value is not None}
    return json.dumps(members).encode()


def bundle_of(payload):
    """What looks like a bundle with this payload."""
    return json.dumps({"dsseEnvelope": {"payload": base64.b64encode(payload).decode()}}).encode()


@pytest.mark.parametrize("channel", [None, CHANNEL])
def test_a_statement_reads_what_it_wrote(channel):
    """Whether it names a channel or not."""
    statement = Statement(NAME, SHA256, channel)
    assert Statement.parse(statement.to_json()) == statement


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://prefix.dev/my-channel//", CHANNEL),
        ("https://ann:{secret}@prefix.dev/my-channel", CHANNEL),
        ("https://conda.anaconda.org/t/{secret}/my-channel/", "https://conda.anaconda.org/my-channel"),
        ("https://prefix.dev/my-channel?token={secret}#x", CHANNEL),
        ("http://localhost:8000/chan/t/x", "http://localhost:8000/chan/t/x"),
    ],
)
def test_a_channel_is_named_without_a_slash_at_its_end_and_without_secrets(url, named):
    """CEP 27 wants the first; the second, as everything in an attestation is public for ever."""
    assert target_channel(url.format(secret=leaks.new_secret("in-url"))) == named


@pytest.mark.parametrize(
    "url", ["", "my-channel", "./my-channel", "https://", "https://[", "https://a b/c", "file:///x"]
)
def test_what_is_no_url_of_a_channel_is_not_put_into_an_attestation(url):
    """A folder has no place in it."""
    with pytest.raises(UsageError):
        target_channel(url)


@pytest.mark.parametrize("predicate", [None, {"targetChannel": CHANNEL, "more": 1}])
def test_the_predicate_may_be_left_out_and_may_have_more_in_it(predicate):
    """in-toto wants unknown members to be passed over."""
    statement = Statement.parse(document(predicate=predicate, more={"a": [1]}))
    assert statement.channel == (predicate and CHANNEL)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "_type"),
        ({"_type": None}, "_type is None"),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "predicateType is 'https://slsa.dev/provenance/v1'"),
        ({"predicateType": PREDICATE_TYPE + "\n"}, "predicateType"),
        ({"subject": []}, "one subject, and has 0"),
        ({"subject": [{"name": NAME, "digest": {"sha256": SHA256}}] * 2}, "one subject, and has 2"),
        ({"subject": {"name": NAME}}, "one subject"),
        ({"subject": ["demo"]}, "no name"),
        ({"subject": [{"name": "", "digest": {"sha256": SHA256}}]}, "no name"),
        ({"subject": [{"name": NAME}]}, "one sha256"),
        ({"subject": [{"name": NAME, "digest": {"sha512": "00"}}]}, "one sha256"),
        ({"subject": [{"name": NAME, "digest": {"sha256": SHA256, "md5": "00"}}]}, "one sha256"),
        ({"subject": [{"name": NAME, "digest": {"sha256": "5f"}}]}, "is '5f'"),
        ({"subject": [{"name": NAME, "digest": {"sha256": SHA256 + "\n"}}]}, "sha256 of its subject"),
        ({"predicate": {}}, "no URL"),
        ({"predicate": "text"}, "no URL"),
        ({"predicate": {"targetChannel": "my-channel"}}, "no URL"),
        ({"predicate": {"targetChannel": CHANNEL + "/"}}, "ends with a slash"),
        ({"predicate": {"targetChannel": "https://prefix.dev/" + "x" * 2083}}, "no URL"),
    ],
)
def test_what_is_not_a_statement_of_cep_27_is_refused_with_its_reason(changes, why):
    """Each rule by itself."""
    with pytest.raises(AttestationError, match="publish attestation") as caught:
        Statement.parse(document(**changes))
    assert why in caught.value.message
    assert caught.value.code == "attestation-statement"


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"\xff", b'{"_type": 1, "_type": 2}', b"[" * 100_000, b'{"a": NaN}', b"null"]
)
def test_what_is_not_one_json_object_is_no_statement(payload):
    """A key that is there twice would be one thing to this reader and another to the next."""
    with pytest.raises(AttestationError) as caught:
        Statement.parse(payload)
    assert caught.value.code == "attestation-statement"


@pytest.mark.parametrize(
    ("channel", "filename", "sha256", "code"),
    [
        (CHANNEL, NAME, SHA256, None),
        (CHANNEL, NAME, SHA256.upper(), None),
        (CHANNEL + "/", NAME, SHA256, None),
        ("HTTPS://Prefix.dev:443/my-channel", NAME, SHA256, None),
        (None, NAME, SHA256, None),
        (CHANNEL, NAME.upper(), SHA256, "attestation-name"),
        (CHANNEL, "demo-1.0-h0_0.tar.bz2", SHA256, "attestation-name"),
        (CHANNEL, NAME, "60" * 32, "attestation-digest"),
        (CHANNEL + "-2", NAME, SHA256, "attestation-channel"),
        (CHANNEL.upper(), NAME, SHA256, "attestation-channel"),
        ("http://prefix.dev/my-channel", NAME, SHA256, "attestation-channel"),
        ("https://evil-prefix.dev/my-channel", NAME, SHA256, "attestation-channel"),
        ("https://prefix.dev:8443/my-channel", NAME, SHA256, "attestation-channel"),
    ],
)
def test_a_statement_holds_for_its_file_its_bytes_and_its_channel(channel, filename, sha256, code):
    """And for nothing else."""
    statement = Statement(NAME, SHA256, CHANNEL)
    if code is None:
        statement.check(filename=filename, sha256=sha256, channel=channel)
        return
    with pytest.raises(AttestationError) as caught:
        statement.check(filename=filename, sha256=sha256, channel=channel)
    assert caught.value.code == code


def test_a_statement_without_a_channel_holds_for_any():
    """CEP 27 leaves it to the publisher whether one is named."""
    Statement(NAME, SHA256).check(filename=NAME, sha256=SHA256, channel=CHANNEL)


def test_bundles_come_alone_in_an_array_or_one_a_line():
    """Whatever white space there is."""
    one, two = b'{"a": 1}', b'{"b": [2]}'
    assert bundles_in(b"\n " + one + b"\n", "x") == [one]
    assert bundles_in(json.dumps({"a": 1}, indent=2).encode(), "x") == [b'{\n  "a": 1\n}']
    assert bundles_in(sidecar_of([one, two]), "x") == [one, two]
    assert bundles_in(one + b"\r\n\n" + two + b"\n", "x") == [one, two]
    assert bundles_in(b" \n", "x") == bundles_in(b"[]", "x") == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>404</html>", "web page"),
        (b'{"a": 1}\nnonsense', "line 2"),
        (b"[1, 2]", "number 1"),
        (b'"text"', "line 1"),
        (b'{"a": "' + b"x" * LARGEST_BUNDLE + b'"}', "larger than 1 MB"),
        (b"\xff\xfe", "line 1"),
        (b"[" * 100_000, "not a JSON array"),
    ],
)
def test_what_holds_no_bundles_is_refused_with_the_place(content, why):
    """A page, a number, half a file, far too much."""
    with pytest.raises(AttestationError, match=why):
        bundles_in(content, "the file")
    with pytest.raises(AttestationError) as caught:
        bundles_in(content, "the file")
    assert caught.value.code == "bad-attestations-file"


@pytest.mark.parametrize("media_type", ["application/vnd.dev.sigstore.bundle.v0.4+json", "", None, 3, ["x"], {"x": 1}])
def test_a_bundle_of_an_unknown_form_is_named_as_such(media_type):
    """Before anything else is said of it."""
    with pytest.raises(AttestationError, match="mediaType") as caught:
        check_form(json.dumps({"mediaType": media_type}).encode(), NAME)
    assert caught.value.code == "attestation-media-type"


def test_what_a_bundle_claims_is_read_without_a_check_and_without_an_error():
    """It serves to choose among bundles, so nothing that is wrong with one may stop the others."""
    assert claims_of(bundle_of(document())) == [Claim(NAME, SHA256)]
    unnamed = [{"digest": {"sha256": SHA256.upper()}}, {"name": NAME, "digest": {"sha256": 5}}]
    assert claims_of(bundle_of(document(subject=unnamed))) == [Claim("", SHA256)]
    for broken in (b"", b"[]", b"{}", b'{"dsseEnvelope": 1}', b'{"dsseEnvelope": {"payload": "?"}}', bundle_of(b"{}")):
        assert claims_of(broken) == []


def test_nothing_that_is_random_breaks_the_readers():
    """Bytes that somebody else chose end in a result or in keelback's own error."""
    chance = random.Random(27)
    good = bundle_of(document())
    for _ in range(500):
        damaged = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        claims_of(bytes(damaged))
        for read in (lambda raw: bundles_in(raw, "x"), lambda raw: check_form(raw, "x"), Statement.parse):
            try:
                read(bytes(damaged))
            except AttestationError:
                continue


def test_attestations_are_found_beside_the_package_under_each_of_the_names(tmp_path):
    """Those of Sigstore's tools, of prefix.dev, and of CEP 50."""
    package = tmp_path / NAME
    assert files_beside(package) == []
    for number, suffix in enumerate((".sigstore.json", ".v0.sigs", ".sigs")):
        (tmp_path / f"{NAME}{suffix}").write_text(json.dumps([{"a": number}]))
    assert [json.loads(bundle)["a"] for file in files_beside(package) for bundle in read_bundles(file)] == [0, 1, 2]


def test_a_file_without_an_attestation_is_an_error_and_so_is_no_file(tmp_path):
    """Both are named."""
    with pytest.raises(UsageError, match=r"none\.json cannot be read"):
        read_bundles(tmp_path / "none.json")
    for nothing in (b"\n", b"[]"):
        (tmp_path / "empty.json").write_bytes(nothing)
        with pytest.raises(AttestationError, match="no attestation in it") as caught:
            read_bundles(tmp_path / "empty.json")
        assert caught.value.code == "no-attestation"


def test_attestations_that_are_given_are_found_by_the_file_that_they_name(tmp_path):
    """In files, in bytes, and in a folder; one that is given alone is meant for the file, whatever it says."""
    mine, other, strange = bundle_of(document()), bundle_of(document(subject=[{"digest": {"sha256": SHA256}}])), b"{}"
    (tmp_path / "many.json").write_bytes(sidecar_of([other, mine]))
    folder = AttestationFolder(tmp_path / "kept")
    folder.write(NAME, strange)
    given = GivenAttestations([tmp_path / "many.json", str(tmp_path / "kept")])
    assert given.of(NAME) == [mine, strange]
    assert given.of("other-1-0.conda") == []
    assert GivenAttestations([strange]).of(NAME) == [strange]
    assert GivenAttestations([strange, mine]).of("other-1-0.conda") == []
    with pytest.raises(UsageError, match="cannot be read"):
        GivenAttestations([tmp_path / "none"])


def test_a_folder_takes_one_attestation_a_file_and_only_whole_ones(tmp_path):
    """A later one takes the place of an earlier one; nothing else is left there."""
    folder = AttestationFolder(tmp_path / "new" / "attestations")
    folder.write(NAME, b'{"a": 1}')
    kept = folder.write(NAME, b'{"a": 2}')
    assert [path.name for path in kept.parent.iterdir()] == [f"{NAME}.sigstore.json"]
    assert read_bundles(kept) == [b'{"a": 2}']


@pytest.mark.parametrize("name", ["../demo.conda", "a/b.conda", "/etc/demo.conda", "..", ""])
def test_nothing_is_written_outside_of_the_folder(tmp_path, name):
    """Whatever a file calls itself."""
    with pytest.raises(AttestationError) as caught:
        AttestationFolder(tmp_path / "attestations").write(name, b"{}")
    assert caught.value.code == "disk"
    assert list(tmp_path.iterdir()) == []


def test_two_packages_of_one_name_cannot_share_a_folder(tmp_path):
    """The second attestation would take the place of the first; this is found before anything is signed."""
    AttestationFolder(tmp_path).check([NAME, "other-1-0.conda"])
    with pytest.raises(UsageError, match="two packages are called demo"):
        AttestationFolder(tmp_path).check([NAME, "other-1-0.conda", NAME])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """Here it is a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(AttestationError, match="cannot be written") as caught:
        AttestationFolder(tmp_path / "file").write(NAME, b"{}")
    assert caught.value.code == "disk"
