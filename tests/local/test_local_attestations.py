"""Attestations in a channel in a folder: beside the package that they are about, and gone when it goes."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

import keelback
from keelback.channels import folder
from keelback.channels.base import Delivery
from keelback.channels.local import LocalChannel
from keelback.channels.sidecars import MOST, bundles_in, with_bundle
from keelback.durable import rename
from keelback.errors import AttestationError, ChannelError
from keelback.report import Reporter
from making import make_conda
from reading_channels import assert_complete, records

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


def sidecar(channel: Path) -> Any:
    """What is beside the package; ``None`` where nothing is."""
    path = channel / "noarch" / f"{NAME}.v0.sigs"
    return json.loads(path.read_bytes()) if path.exists() else None


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


def test_an_attestation_is_kept_beside_its_package_and_in_no_index(package: Path, channel: Path) -> None:
    """Under the name that prefix.dev gives it, as a JSON array; the index, and later runs, take it for no package."""
    bundle = bundle_for(package)
    publish(channel, package, bundle)
    assert sidecar(channel) == [json.loads(bundle)]
    assert records(channel).keys() == {NAME}
    report = keelback.publish([channel / "noarch"], str(channel))
    assert [outcome.status.value for outcome in report.outcomes] == ["identical"]
    assert sidecar(channel) == [json.loads(bundle)]


def test_an_attestation_is_there_before_its_package_is(
    package: Path, channel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies in between leaves no package that later runs call identical, and that nobody can verify."""

    def dying(source: Path, target: Path) -> None:
        if target.name == NAME:
            raise ChannelError("killed")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(folder, "rename", dying)
        with pytest.raises(ChannelError, match="killed"):
            publish(channel, package, bundle_for(package))
    assert not (channel / "noarch" / NAME).exists()
    assert sidecar(channel) == [json.loads(bundle_for(package))]
    publish(channel, package)
    assert sidecar(channel) == [json.loads(bundle_for(package))]


def test_a_package_without_an_attestation_gets_no_file_beside_it(package: Path, channel: Path) -> None:
    """A channel that nobody attests anything for is as it was."""
    publish(channel, package)
    assert_complete(channel, {f"noarch/{NAME}"})


@pytest.mark.parametrize("attested", [True, False])
def test_a_package_that_is_replaced_takes_its_attestations_with_it(
    package: Path, other: Path, channel: Path, *, attested: bool
) -> None:
    """They are about bytes that are gone."""
    publish(channel, package, bundle_for(package))
    publish(channel, other, bundle_for(other) if attested else None)
    assert sidecar(channel) == ([json.loads(bundle_for(other))] if attested else None)


def test_what_replaces_a_package_waits_with_its_attestation_for_the_end(
    package: Path, other: Path, channel: Path
) -> None:
    """Until then readers have the old package and the old attestation."""
    publish(channel, package, bundle_for(package))
    publish(channel, other, bundle_for(other), finish=False)
    assert sidecar(channel) == [json.loads(bundle_for(package))]


def test_a_further_attestation_of_the_same_bytes_is_added_once(package: Path, channel: Path) -> None:
    """Whoever publishes a file anew that is gone adds to what is there, unless that says the same, however spaced."""
    first, second = bundle_for(package), bundle_for(package, "b3RoZXI=")
    for bundle in (first, second, first, json.dumps(json.loads(second), indent=2).encode()):
        publish(channel, package, bundle)
        (channel / "noarch" / NAME).unlink()
    assert sidecar(channel) == [json.loads(first), json.loads(second)]


@pytest.mark.parametrize("before", [b"<html>", b"{}", b"[" * 100_000, b"[1]", b"\xff", b"[]"])
def test_a_file_that_holds_no_attestations_is_replaced(package: Path, channel: Path, before: bytes) -> None:
    """No reader can use it."""
    place = channel / "noarch" / f"{NAME}.v0.sigs"
    place.parent.mkdir(parents=True)
    place.write_bytes(before)
    publish(channel, package, bundle_for(package))
    assert sidecar(channel) == [json.loads(bundle_for(package))]


def test_no_package_has_more_attestations_than_readers_take(package: Path) -> None:
    """The latest stay."""
    sha256 = keelback.inspect(package).sha256
    content: bytes | None = None
    for number in range(MOST + 2):
        content = with_bundle(content, bundle_for(package, str(number)), sha256)
    assert content is not None
    signatures = [json.loads(each)["dsseEnvelope"]["signatures"][0]["sig"] for each in bundles_in(content, "it")]
    assert signatures == [str(number) for number in range(2, MOST + 2)]


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
        bundles_in(content, "https://example.test/it")


def test_bundles_are_taken_as_they_stand() -> None:
    """Each by itself, whatever is around it."""
    assert bundles_in(b' [ {"a": 1} ,\n{} ]\n', "it") == [b'{"a": 1}', b"{}"]
    assert bundles_in(b"[]", "it") == []
