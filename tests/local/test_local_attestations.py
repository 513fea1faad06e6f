"""Attestations in a channel in a folder, as CEP 50 has them: named by the record, beside the package, gone with it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

import keelback
from keelback.attestationfiles import LARGEST_SIDECAR, MOST, sidecar_bundles
from keelback.channels import folder, folderindex, sidecarfiles
from keelback.channels.delivery import Delivery
from keelback.channels.local import LocalChannel
from keelback.channels.sidecars import with_bundle
from keelback.durable import rename
from keelback.errors import AttestationError, ChannelError
from keelback.report import Reporter
from making import make_conda
from reading_channels import INDEX, assert_complete, index_bytes, records

if TYPE_CHECKING:
    from pathlib import Path

NAME = "hull-1.0-h0_0.conda"


def bundle_for(package: Path, signature: str = "c2ln", *, sha256: str | None = None) -> bytes:
    """A bundle that says what one for *package* says; no signature of it holds, which a channel does not look at."""
    digest = keelback.inspect(package).sha256 if sha256 is None else sha256
    statement = {"subject": [{"name": package.name, "digest": {"sha256": digest}}]}
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps({"dsseEnvelope": {"payload": payload, "signatures": [{"sig": signature}]}}).encode()


def publish(channel: Path, package: Path, attestation: bytes | None = None, *, finish: bool = True) -> None:
    """Put *package* into *channel*, replacing what is there, as a run does; unless it dies before it can *finish*."""
    local, archive = LocalChannel(channel), keelback.inspect(package)
    local.begin([archive])
    delivery = Delivery(archive, Reporter())
    delivery.attestation = attestation
    local.send(archive, overwrite=True, delivery=delivery)
    if finish:
        local.finish()
    local.close()


def named(channel: Path) -> str | None:
    """The hash of attestations that the record of the package has, which is the same in every form of the index."""
    (found,) = {records(channel, form=form)[NAME].get("attestations_sha256") for form in INDEX}
    return found


def pinned(channel: Path) -> dict[str, list[Any]]:
    """What is beside the package under a name that never changes, by the hash in that name, which has to be right."""
    found = {path.name.rpartition(".")[2]: path.read_bytes() for path in (channel / "noarch").glob(f"{NAME}.sigs.*")}
    assert all(hashlib.sha256(content).hexdigest() == sha256 for sha256, content in found.items())
    return {sha256: json.loads(content) for sha256, content in found.items()}


def latest(channel: Path) -> bytes | None:
    """What is beside the package under the name that every tool finds; ``None`` where nothing is."""
    path = channel / "noarch" / f"{NAME}.sigs"
    return path.read_bytes() if path.exists() else None


def advertised(channel: Path) -> Any:
    """The attestations that the index names; both files with them have to be there, with the same bytes."""
    sha256 = named(channel)
    if sha256 is None:
        assert latest(channel) is None
        return None
    assert hashlib.sha256(latest(channel) or b"").hexdigest() == sha256
    return pinned(channel)[sha256]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package."""
    return make_conda(tmp_path / "dist", "hull")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another one of the same name."""
    return make_conda(tmp_path / "other", "hull", payload={"share/hull.txt": b"other bytes"})


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """Where a channel can be."""
    return tmp_path / "channel"


def test_an_attestation_is_beside_its_package_and_the_index_has_its_hash(package: Path, channel: Path) -> None:
    """In every form of the index; later runs take it for no package, and leave it as it is."""
    bundle = bundle_for(package)
    publish(channel, package, bundle)
    assert advertised(channel) == [json.loads(bundle)]
    assert records(channel).keys() == {NAME}
    before = index_bytes(channel)
    report = keelback.publish([channel / "noarch"], str(channel))
    assert [outcome.status.value for outcome in report.outcomes] == ["identical"]
    assert advertised(channel) == [json.loads(bundle)]
    assert index_bytes(channel) == before


def test_a_package_without_an_attestation_gets_nothing_beside_it_and_nothing_in_its_record(
    package: Path, channel: Path, tmp_path: Path
) -> None:
    """Its record is what it always was, also beside a package that has one."""
    publish(channel, package)
    assert_complete(channel, {f"noarch/{NAME}"})
    alone = records(channel)[NAME]
    boat = make_conda(tmp_path / "boat", "boat")
    publish(channel, boat, bundle_for(boat))
    assert records(channel)[NAME] == alone
    assert "attestations_sha256" not in alone


@pytest.mark.parametrize("what", ["pinned", "latest", "package"])
def test_a_run_that_dies_leaves_no_package_that_has_lost_its_attestation(
    package: Path, channel: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It comes before the package does; the next run, which has none, puts it into the index."""

    def dying(source: Path, target: Path) -> None:
        if kind_of(target) == what:
            raise ChannelError("killed")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(folder, "rename", dying)
        patch.setattr(sidecarfiles, "rename", dying)
        with pytest.raises(ChannelError, match="killed"):
            publish(channel, package, bundle_for(package))
    assert not (channel / "noarch" / NAME).exists()
    publish(channel, package, bundle_for(package) if what != "package" else None)
    assert advertised(channel) == [json.loads(bundle_for(package))]


def kind_of(path: Path) -> str:
    """Which of the files of a package *path* is."""
    return {NAME: "package", f"{NAME}.sigs": "latest"}.get(path.name, "pinned" if ".sigs." in path.name else "other")


def test_what_a_run_placed_that_died_is_advertised_by_the_next(package: Path, channel: Path, tmp_path: Path) -> None:
    """As the package itself gets into the index."""
    publish(channel, package, bundle_for(package), finish=False)
    publish(channel, make_conda(tmp_path / "boat", "boat"))
    assert advertised(channel) == [json.loads(bundle_for(package))]


@pytest.mark.parametrize("attested", [True, False])
def test_a_package_that_is_replaced_takes_its_attestations_with_it(
    package: Path, other: Path, channel: Path, *, attested: bool
) -> None:
    """They are about bytes that are gone; nothing of them is left."""
    publish(channel, package, bundle_for(package))
    publish(channel, other, bundle_for(other) if attested else None)
    assert advertised(channel) == ([json.loads(bundle_for(other))] if attested else None)
    assert len(pinned(channel)) == (1 if attested else 0)


def test_what_replaces_a_package_waits_with_its_attestation_for_the_end(
    package: Path, other: Path, channel: Path
) -> None:
    """Until then readers have the old package and the old attestation."""
    publish(channel, package, bundle_for(package))
    publish(channel, other, bundle_for(other), finish=False)
    assert advertised(channel) == [json.loads(bundle_for(package))]


def test_old_attestations_go_only_when_no_index_names_them(
    package: Path, other: Path, channel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment when the new index comes into force, both are there."""
    publish(channel, package, bundle_for(package))
    seen = []

    def watching(source: Path, target: Path) -> None:
        if target.name in INDEX and target.parent.name == "noarch":
            seen.append(sorted(pinned(channel).values(), key=str))
        rename(source, target)

    monkeypatch.setattr(folderindex, "rename", watching)
    publish(channel, other, bundle_for(other))
    both = sorted([[json.loads(bundle_for(package))], [json.loads(bundle_for(other))]], key=str)
    assert seen == [both] * len(INDEX)
    assert list(pinned(channel).values()) == [[json.loads(bundle_for(other))]]


@pytest.mark.parametrize("what", ["pinned", "latest", "package"])
def test_a_replacement_that_is_cut_short_loses_nobodys_attestation(
    package: Path, other: Path, channel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    """The next run has the package that is there in the index, with the attestation that was accepted for it."""
    publish(channel, package, bundle_for(package))

    def dying(source: Path, target: Path) -> None:
        if kind_of(target) == what:
            raise ChannelError("killed")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(folder, "rename", dying)
        patch.setattr(sidecarfiles, "rename", dying)
        with pytest.raises(ChannelError, match="killed"):
            publish(channel, other, bundle_for(other))
    publish(channel, make_conda(tmp_path / "boat", "boat"))
    assert (channel / "noarch" / NAME).read_bytes() == package.read_bytes()
    assert advertised(channel) == [json.loads(bundle_for(package))]
    publish(channel, other, bundle_for(other))
    assert advertised(channel) == [json.loads(bundle_for(other))]
    assert len(pinned(channel)) == 1


def test_further_attestations_of_the_same_bytes_come_after_those_that_are_there(package: Path, channel: Path) -> None:
    """Each once, however it is spaced; byte for byte; and what an older index names stays (CEP 50)."""
    first, second = (
        bundle_for(package),
        b" " + json.dumps(json.loads(bundle_for(package, "b3RoZXI=")), indent=2).encode(),
    )
    again = json.dumps(json.loads(second)).encode()
    for bundle in (first, second, first, again):
        publish(channel, package, bundle)
        (channel / "noarch" / NAME).unlink()
    assert latest(channel) == b"[" + first + b"," + second.strip() + b"]"
    assert sorted(map(len, pinned(channel).values())) == [1, 2]


def test_a_package_that_is_replaced_by_itself_gets_the_further_attestation(package: Path, channel: Path) -> None:
    """Both are there; both files are; the older index still finds what it names."""
    first, second = bundle_for(package), bundle_for(package, "b3RoZXI=")
    publish(channel, package, first)
    publish(channel, package, second)
    assert advertised(channel) == [json.loads(first), json.loads(second)]
    assert sorted(map(len, pinned(channel).values())) == [1, 2]


def test_attestations_that_somebody_put_beside_a_package_are_advertised_as_they_are(
    package: Path, channel: Path
) -> None:
    """Byte for byte, whatever else is in them, if one of them is about the package."""
    content = b'[ {"of": "another kind"},\n  ' + bundle_for(package) + b" ]\n"
    publish(channel, package)
    (channel / "noarch" / f"{NAME}.sigs").write_bytes(content)
    assert keelback.publish([package], str(channel)).exit_status == 0
    assert advertised(channel) == json.loads(content)
    assert latest(channel) == content


def test_what_nobody_can_read_in_a_file_of_attestations_stops_nobody(package: Path, channel: Path) -> None:
    """One that is no UTF-8 stays where it is, and another one comes after it."""
    strange = b'{"of": "\xff"}'
    publish(channel, package)
    place = channel / "noarch" / f"{NAME}.sigs"
    place.write_bytes(b"[" + strange + b"," + bundle_for(package) + b"]")
    second = bundle_for(package, "b3RoZXI=")
    publish(channel, package, second)
    assert place.read_bytes() == b"[" + b",".join([strange, bundle_for(package), second]) + b"]"


@pytest.mark.parametrize(
    "before",
    [b"<html>", b"{}", b"[" * 100_000, b"[1]", b"\xff", b"[]", b"[{}]", b"[" + b" " * LARGEST_SIDECAR + b"{}]"],
)
def test_a_file_that_holds_no_attestations_is_replaced(package: Path, channel: Path, before: bytes) -> None:
    """No reader can use it."""
    place = channel / "noarch" / f"{NAME}.sigs"
    place.parent.mkdir(parents=True)
    place.write_bytes(before)
    publish(channel, package, bundle_for(package))
    assert advertised(channel) == [json.loads(bundle_for(package))]


@pytest.mark.parametrize("member", ["../../../etc/passwd", "AB" * 32, 5, None, "ab" * 32])
def test_a_record_that_names_attestations_that_are_not_there_is_put_right(
    package: Path, channel: Path, member: object
) -> None:
    """It has the member if, and only if, there are some (CEP 50); what it says is not taken for part of a path."""
    publish(channel, package)
    right = index_bytes(channel)
    file = channel / "noarch" / "repodata.json"
    document = json.loads(file.read_bytes())
    document["packages.conda"][NAME]["attestations_sha256"] = member
    file.write_bytes(json.dumps(document).encode())
    assert keelback.publish([package], str(channel)).exit_status == 0
    assert index_bytes(channel) == right


def test_what_others_say_of_a_package_that_is_not_here_stays(package: Path, channel: Path, tmp_path: Path) -> None:
    """Tools that change an index preserve the member (CEP 50)."""
    publish(channel, package, bundle_for(package))
    sha256 = named(channel)
    (channel / "noarch" / NAME).unlink()
    publish(channel, make_conda(tmp_path / "boat", "boat"))
    assert named(channel) == sha256


@pytest.mark.parametrize("large", [True, False])
def test_no_package_gets_more_attestations_than_readers_take(
    package: Path, channel: Path, other: Path, *, large: bool
) -> None:
    """One too many is refused, with the package that it came with; none that was accepted is dropped for it."""
    sha256 = keelback.inspect(package).sha256
    signatures = ["x" * LARGEST_SIDECAR] if large else [str(number) for number in range(MOST)]
    content: bytes | None = None
    for signature in signatures[: 0 if large else MOST]:
        content = with_bundle(content, bundle_for(package, signature), sha256)
    last = bundle_for(package, signatures[0] if large else "last")
    with pytest.raises(AttestationError, match="no room") as caught:
        with_bundle(content, last, sha256)
    assert caught.value.code == "too-many-attestations"
    publish(channel, other)
    if content is not None:
        (channel / "noarch" / f"{NAME}.sigs").write_bytes(content)
    with pytest.raises(AttestationError, match="no room"):
        publish(channel, package, last)
    assert (channel / "noarch" / NAME).read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\n<!DOCTYPE html><html></html>", "web page"),
        (b"", "not a JSON array"),
        (b"{}", "not a JSON array"),
        (b"[{}", "not a JSON array"),
        (b"[" * 1_000_000, "not a JSON array"),
        (b'[{}, "text"]', "not a Sigstore bundle"),
        (b"[" + b",".join([b"{}"] * (MOST + 1)) + b"]", "more than"),
    ],
)
def test_what_is_no_list_of_bundles_is_told_so(content: bytes, why: str) -> None:
    """In words that say what is there instead."""
    with pytest.raises(AttestationError, match=why):
        sidecar_bundles(content, "https://example.test/it")


def test_bundles_are_taken_as_they_stand() -> None:
    """Each by itself, whatever is around it."""
    assert sidecar_bundles(b' [ {"a": 1} ,\n{} ]\n', "it") == [b'{"a": 1}', b"{}"]
    assert sidecar_bundles(b"[]", "it") == []
