"""``fetch --require-attestation``: what nobody trusted has attested gets no name in the folder.

Attestations are made and verified by Sigstore's own code, against a private deployment on loopback.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

import keelback
import leaks
from cli_runner import run_keelback
from keelback import ExitStatus
from keelback.channels.delivery import Delivery
from keelback.channels.local import LocalChannel
from keelback.channels.naming import is_same_channel
from keelback.credentials.oidc.idtoken import IdToken
from keelback.errors import ChannelError, UsageError
from keelback.indexed import IndexedArchive
from keelback.provenance.signing import Attester
from keelback.provenance.trust import Trust
from keelback.report import Reporter
from keelback.secret import Secret
from making import make_conda
from servers.fetch_runs import QUICK, attempt, auth_file, files, problem, statuses
from servers.scripted import Answer, Exchange, Fault, ScriptedServer
from servers.scripted.channel_server import FORMS, Login, ReadableServer, channel, index_files
from servers.scripted.engine import route
from servers.scripted.exchange import json_answer
from servers.scripted.issuers import github
from servers.scripted.sigstore_world import SigstoreWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keelback import Report

HULL = "hull-1.0-h0_0.conda"
BOAT = "boat-1.0-h0_0.conda"
MINE = "repo:acme/foo"
BUILDER = "https://github.com/acme/foo/.github/workflows/release.yml@refs/tags/v1"

Sign = "Callable[..., bytes]"


class AttestingServer(ReadableServer):
    """A channel that may have attestations beside its packages."""

    @route("GET", r"/chan/(?P<subdir>[^/]+)/(?P<name>[^/]+\.sigs(?:\.[^/]+)?)", step="sidecar")
    def sidecar(self, exchange: Exchange, subdir: str, name: str) -> Answer:
        """What is beside a package."""
        return self._read(exchange, f"{subdir}/{name}")


@pytest.fixture(scope="module")
def world() -> Iterator[SigstoreWorld]:
    """A Sigstore that knows the jobs of ``acme/foo``, and those of ``evil/foo``."""
    with SigstoreWorld(github("acme/foo"), github("evil/foo")) as running:
        yield running


class GitHubServer(ScriptedServer):
    """GitHub's interface to the attestations of ``acme/foo``, of which it has those in :attr:`kept`, by hash."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, list[Any]] = {}

    @route("GET", r"/repos/acme/(?:foo|bar)/attestations/sha256:(?P<sha256>[0-9a-f]{64})", step="list")
    def attestations(self, exchange: Exchange, sha256: str) -> Answer:
        """What there is of one file; 404 where there is nothing."""
        exchange.discard()
        found = [{"bundle": bundle, "repository_id": 7} for bundle in self.kept.get(sha256, [])]
        return json_answer(200, {"attestations": found}) if found else json_answer(404, {"message": "Not Found"})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    """The GitHub that is asked, which has nothing yet."""
    with GitHubServer() as running:
        monkeypatch.setenv("GITHUB_API_URL", running.url)
        yield running


@pytest.fixture
def trusted(world: SigstoreWorld, hub: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one that everything trusts."""
    monkeypatch.setenv("KEELBACK_TRUST_CONFIG", str(world.trust_config))


@pytest.fixture
def sign(world: SigstoreWorld) -> Sign:
    """``sign(package, channel=None, issuer=0)``: an attestation of a package, by a job of one of the issuers."""

    def sign(package: Path, channel: str | None = None, issuer: int = 0) -> bytes:
        def identity() -> IdToken:
            secret = Secret(world.issuers[issuer].token("sigstore"), "the job")
            return IdToken.parse(secret, audience="sigstore", source="the job")

        return Attester(identity, Trust(world.trust_config), channel).attest(keelback.inspect(package))

    return sign


@pytest.fixture
def hull(tmp_path: Path) -> Path:
    """A package."""
    return make_conda(tmp_path / "dist", "hull")


@pytest.fixture
def boat(tmp_path: Path) -> Path:
    """A package that needs the other one."""
    return make_conda(tmp_path / "dist", "boat", depends=["hull"])


@pytest.fixture
def server(hull: Path, boat: Path, trusted: None) -> Iterator[AttestingServer]:
    """A channel with both, and no attestations yet."""
    with AttestingServer(channel(hull, boat)) as running:
        yield running


def required(server: ReadableServer, *specs: str, workdir: Path, policy: str = MINE, **options: Any) -> Report:
    """The report of a fetch that requires attestations by *policy*."""
    return attempt(server.channel_url, *specs, workdir=workdir, require_attestation=policy, **options)


def sidecar(*bundles: bytes) -> bytes:
    """What is served beside a package."""
    return b"[" + b",".join(bundles) + b"]"


def downloads(server: ReadableServer) -> list[str]:
    """The packages that were asked for."""
    return [line for line in server.asked() if line.endswith(".conda")]


def asked_of_hull(server: ReadableServer) -> list[str]:
    """What was asked for of that package, and with what status."""
    return [line.replace("noarch/", "") for line in server.asked() if HULL in line]


def sha256_of(content: bytes) -> str:
    """Its hash, in hex."""
    return hashlib.sha256(content).hexdigest()


def advertise(server: ReadableServer, package: Path, member: object, forms: Sequence[str] = FORMS) -> None:
    """Have the index of the channel, in these *forms*, say *member* of the attestations of *package*, its only one."""
    archive = keelback.inspect(package)
    record = {**archive.index, "subdir": "noarch", "size": archive.size, "sha256": archive.sha256, "md5": archive.md5}
    for path in [path for path in server.contents if "repodata" in path]:
        del server.contents[path]
    server.contents |= index_files("noarch", {package.name: {**record, "attestations_sha256": member}}, forms)


def fetched(workdir: Path) -> list[str]:
    """What is in the folder, partial files too."""
    return files(workdir / "out") if (workdir / "out").exists() else []


def errors(report: Report) -> dict[str, str]:
    """The codes of what failed, by file name."""
    return {outcome.filename: outcome.error.code for outcome in report.outcomes if outcome.error}


def altered(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """*bundle* after *change* was made to it."""
    document = json.loads(bundle)
    change(document)
    return json.dumps(document).encode()


# --- what verifies ----------------------------------------------------------------------------------------------------


def test_what_the_right_builder_attested_is_fetched(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """The outcome names the builder; the attestation was asked for before the package was."""
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull, server.channel_url))
    report = required(server, "hull", workdir=tmp_path)
    (outcome,) = report.outcomes
    assert (outcome.status.value, outcome.attested_by) == ("fetched", BUILDER)
    assert outcome.to_json()["attested_by"] == BUILDER
    assert fetched(tmp_path) == [f"noarch/{HULL}"]
    assert asked_of_hull(server) == [f"200 {HULL}.v0.sigs", f"200 {HULL}"]


def test_one_that_verifies_is_enough(server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path) -> None:
    """Others beside it, by somebody else or damaged, do not spoil it."""
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull, issuer=1), b"{}", sign(hull))
    assert statuses(required(server, "hull", workdir=tmp_path)) == {HULL: "fetched"}


def test_attestations_are_asked_for_only_where_they_are_required(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """Whoever does not ask is not told, and costs the server nothing; the report is as it always was."""
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull))
    report = attempt(server.channel_url, "hull", workdir=tmp_path)
    assert statuses(report) == {HULL: "fetched"}
    assert "attested_by" not in report.outcomes[0].to_json()
    assert not [line for line in server.asked() if line.endswith(".sigs")]


def test_an_attestation_in_a_folder_comes_first(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """Where that one verifies, the channel is not asked for any."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / f"{HULL}.sigstore.json").write_bytes(sign(hull))
    report = required(server, "hull", workdir=tmp_path, attestations=[tmp_path / "kept"])
    assert statuses(report) == {HULL: "fetched"}
    assert not [line for line in server.asked() if line.endswith(".sigs")]


def test_attestations_of_many_packages_may_be_in_one_file(
    server: AttestingServer, hull: Path, boat: Path, sign: Sign, tmp_path: Path
) -> None:
    """As ``keelback attest`` prints them: each package finds its own; what is missing is looked for in the channel."""
    file = tmp_path / "attestations"
    file.write_bytes(sign(hull, issuer=1) + b"\n" + sign(hull) + b"\n")
    server.contents[f"noarch/{BOAT}.v0.sigs"] = sidecar(sign(boat))
    report = required(server, "hull", "boat", workdir=tmp_path, attestations=file)
    assert statuses(report) == {HULL: "fetched", BOAT: "fetched"}
    assert [line for line in server.asked() if line.endswith(".sigs")] == [f"200 noarch/{BOAT}.v0.sigs"]


def test_a_file_that_holds_something_else_is_told_before_anything_is_asked(
    server: AttestingServer, tmp_path: Path
) -> None:
    """It was meant to hold attestations."""
    (tmp_path / "page").write_bytes(b"<html>")
    report = required(server, "hull", workdir=tmp_path, attestations=tmp_path / "page")
    assert problem(report).code == "bad-attestations-file"
    assert server.requests == []


def test_where_the_folder_has_none_that_verifies_the_channel_is_asked(
    server: AttestingServer, hull: Path, boat: Path, sign: Sign, tmp_path: Path
) -> None:
    """A file of another package, and a file that is not there, are no reason to give up."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / f"{HULL}.sigstore.json").write_bytes(sign(boat))
    server.contents |= {f"noarch/{path.name}.v0.sigs": sidecar(sign(path)) for path in (hull, boat)}
    report = required(server, "hull", "boat", workdir=tmp_path, attestations=[tmp_path / "kept"])
    assert statuses(report) == {HULL: "fetched", BOAT: "fetched"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://prefix.dev/my-channel", "https://repo.prefix.dev/my-channel", True),
        ("https://anaconda.org/my-org", "https://conda.anaconda.org/my-org", True),
        ("https://HOST.example/chan/", "https://host.example/chan", True),
        ("https://prefix.dev/my-channel", "https://repo.prefix.dev/other", False),
        ("https://prefix.dev/my-channel", "https://prefix.dev.evil.example/my-channel", False),
        ("https://anaconda.org/my-org/dev", "https://conda.anaconda.org/my-org", False),
        ("https://host.example/a", "http://host.example/a", False),
        ("my-channel", "https://host.example/my-channel", False),
    ],
)
def test_a_channel_is_one_channel_under_the_urls_of_its_kind(one: str, other: str, *, same: bool) -> None:
    """A publisher names the URL to which packages are sent, a reader the one from which they come."""
    assert is_same_channel(one, other) is same
    assert is_same_channel(other, one) is same


# --- what the index says of attestations (CEP 50) ---------------------------------------------------------------------


@pytest.mark.parametrize("with_deps", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_where_the_index_has_the_hash_of_the_attestations_those_are_asked_for_by_it(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path, form: str, *, with_deps: bool
) -> None:
    """In whatever form it comes, and also where a solver chooses; no other name is asked for."""
    content = sidecar(sign(hull, server.channel_url))
    advertise(server, hull, sha256_of(content), [form])
    server.contents[f"noarch/{HULL}.sigs.{sha256_of(content)}"] = content
    report = required(server, "hull", workdir=tmp_path, with_deps=with_deps)
    assert statuses(report) == {HULL: "fetched"}
    assert asked_of_hull(server) == [f"200 {HULL}.sigs.{sha256_of(content)}", f"200 {HULL}"]


def test_where_the_index_has_none_the_name_without_a_hash_is_not_tried(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """A channel by CEP 50 would have said so; prefix.dev does not say it yet."""
    server.contents[f"noarch/{HULL}.sigs"] = sidecar(sign(hull))
    assert errors(required(server, "hull", workdir=tmp_path)) == {HULL: "no-attestation"}
    assert asked_of_hull(server) == [f"404 {HULL}.v0.sigs"]


Advertised = "tuple[Callable[[bytes], Any], Callable[[bytes], bytes], str]"

ADVERTISED: Mapping[str, Advertised] = {
    "gone": (lambda _: 404, lambda good: good, "attestations-missing"),
    "refused": (lambda _: 403, lambda good: good, "attestations-missing"),
    "altered": (lambda good: good + b" ", lambda good: good, "attestations-mismatch"),
    "another revision": (lambda good: good, lambda good: good + b" ", "attestations-mismatch"),
    "a web page": (lambda _: b"<html>", lambda good: good, "attestations-mismatch"),
    "an empty list": (lambda _: b"[]", lambda _: b"[]", "bad-attestations-file"),
    "no list": (lambda _: b"{}", lambda _: b"{}", "bad-attestations-file"),
    "huge": (lambda _: b" " * (3 << 20), lambda _: b" " * (3 << 20), "bad-attestation"),
}
"""What is served in place of something good, which bytes the index has the hash of, and what is said of that."""


@pytest.mark.parametrize("case", ADVERTISED.values(), ids=ADVERTISED)
def test_attestations_that_are_not_what_the_index_says_are_not_used(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path, case: Advertised
) -> None:
    """Nor is the package taken for one that has none: what the channel has under other names is not asked for."""
    served, named, code = case
    good = sidecar(sign(hull))
    sha256 = sha256_of(named(good))
    advertise(server, hull, sha256)
    server.contents[f"noarch/{HULL}.sigs.{sha256}"] = served(good)
    server.contents |= {f"noarch/{HULL}{suffix}": good for suffix in (".sigs", ".v0.sigs")}
    report = required(server, "hull", workdir=tmp_path)
    (outcome,) = report.outcomes
    assert errors(report) == {HULL: code}
    assert outcome.error is not None
    assert f".sigs.{sha256}" in outcome.error.message
    assert [line.partition(" ")[2] for line in asked_of_hull(server)] == [f"{HULL}.sigs.{sha256}"]
    assert fetched(tmp_path) == []


def test_an_attestation_from_elsewhere_will_do_where_the_channel_has_lost_its_own(
    server: AttestingServer, hub: GitHubServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """It verifies by itself, and does not need the channel."""
    advertise(server, hull, "ab" * 32)
    hub.kept[keelback.inspect(hull).sha256] = [json.loads(sign(hull))]
    assert statuses(required(server, "hull", workdir=tmp_path)) == {HULL: "fetched"}


@pytest.mark.parametrize("member", ["ab" * 31, "zz" * 32, "", 5, "../../../../elsewhere", f"{'ab' * 32}?token"])
@pytest.mark.parametrize("form", FORMS)
def test_a_hash_of_attestations_that_is_none_is_refused_before_anything_is_asked_by_it(
    server: AttestingServer, hull: Path, tmp_path: Path, form: str, member: object
) -> None:
    """No URL is made of it (CEP 50, client requirements)."""
    advertise(server, hull, member, [form])
    assert problem(required(server, "hull", workdir=tmp_path)).code == "bad-index"
    assert asked_of_hull(server) == []


def test_no_archive_has_a_hash_of_attestations_that_is_none() -> None:
    """However it came to it."""
    for wrong in ("AB" * 32, "ab" * 31, "../" + "ab" * 31):
        with pytest.raises(ChannelError) as caught:
            IndexedArchive(
                name="hull",
                version="1.0",
                build="h0_0",
                subdir="noarch",
                filename=HULL,
                url=f"https://host.example/noarch/{HULL}",
                attestations_sha256=wrong,
            )
        assert caught.value.code == "bad-index"


# --- what does not ----------------------------------------------------------------------------------------------------


def other_bytes(bundle: dict[str, Any]) -> None:
    """The statement is another one than was signed."""
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"] = None
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


def no_log(bundle: dict[str, Any]) -> None:
    """Nothing shows that it was logged."""
    bundle["verificationMaterial"]["tlogEntries"] = []


def other_form(bundle: dict[str, Any]) -> None:
    """A form that nobody knows."""
    bundle["mediaType"] = "application/vnd.dev.sigstore.bundle.v9+json"


Refused = "tuple[Callable[[AttestingServer, Path, Path, Sign], Any], str, str]"

REFUSED: Mapping[str, Refused] = {
    "none": (lambda *_: 404, "no-attestation", "there is no attestation"),
    "an empty list": (lambda *_: b"[]", "no-attestation", "there is no attestation"),
    "by somebody else": (lambda _, hull, __, sign: sidecar(sign(hull, issuer=1)), "attestation-identity", "evil/foo"),
    "of another file": (lambda _, __, boat, sign: sidecar(sign(boat)), "attestation-name", "another file"),
    "for another channel": (
        lambda _, hull, __, sign: sidecar(sign(hull, "https://prefix.dev/elsewhere")),
        "attestation-channel",
        "prefix.dev/elsewhere",
    ),
    "altered": (
        lambda server, hull, _, sign: sidecar(altered(sign(hull, server.channel_url), other_bytes)),
        "attestation-signature",
        "does not verify",
    ),
    "without a log": (
        lambda _, hull, __, sign: sidecar(altered(sign(hull), no_log)),
        "attestation-form",
        "exactly one log entry",
    ),
    "of another form": (
        lambda _, hull, __, sign: sidecar(altered(sign(hull), other_form)),
        "attestation-media-type",
        "bundle.v9",
    ),
    "a bundle of nothing": (lambda *_: b"[{}]", "attestation-media-type", "mediaType"),
    "a web page": (lambda *_: b"<!DOCTYPE html><html>Log in</html>", "bad-attestations-file", "web page"),
    "no list": (lambda _, hull, __, sign: sign(hull), "bad-attestations-file", "not a JSON array"),
    "too many": (lambda *_: sidecar(*[b"{}"] * 65), "bad-attestations-file", "65 attestations"),
    "very deep": (lambda *_: b"[" * 1_000_000, "bad-attestations-file", "not a JSON array"),
    "huge": (lambda *_: b"[" + b" " * (3 << 20) + b"]", "bad-attestation", "larger than"),
    "a status": (lambda *_: 418, "bad-attestation", "418"),
    "forbidden": (lambda *_: 403, "no-attestation", "403"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_does_not_verify_is_refused_and_the_others_come(
    server: AttestingServer, hull: Path, boat: Path, sign: Sign, tmp_path: Path, case: Refused
) -> None:
    """With the reason; nothing of it is downloaded, and nothing is left in the folder."""
    make, code, reason = case
    server.contents |= {
        f"noarch/{HULL}.v0.sigs": make(server, hull, boat, sign),
        f"noarch/{BOAT}.v0.sigs": sidecar(sign(boat, server.channel_url)),
    }
    report = required(server, "hull", "boat", workdir=tmp_path)
    assert statuses(report) == {HULL: "failed", BOAT: "fetched"}
    (error,) = (outcome.error for outcome in report.outcomes if outcome.error)
    assert reason in error.message
    assert HULL in error.message
    assert len(error.message) < 1000
    assert code in ("", error.code)
    assert report.exit_status == ExitStatus.FAILED
    assert downloads(server) == [f"200 noarch/{BOAT}"]
    assert fetched(tmp_path) == [f"noarch/{BOAT}"]


def test_a_server_that_fails_is_named(server: AttestingServer, tmp_path: Path) -> None:
    """It has been asked as often as for anything else."""
    server.plan(Fault("status", when="sidecar", status=500, times=99))
    (outcome,) = required(server, "hull", workdir=tmp_path).outcomes
    assert outcome.error is not None
    assert "127.0.0.1" in outcome.error.message
    assert "500 after 2 attempts" in outcome.error.message
    assert fetched(tmp_path) == []


def test_the_right_attestation_does_not_vouch_for_other_bytes(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """A server that has the hash right in index and attestation, and sends something else, gets nothing named."""
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull))
    server.contents[f"noarch/{HULL}"] = b"evil" + hull.read_bytes()[4:]
    assert errors(required(server, "hull", workdir=tmp_path)) == {HULL: "bad-download"}
    assert fetched(tmp_path) == []


def test_a_dependency_needs_an_attestation_too(server: AttestingServer, boat: Path, sign: Sign, tmp_path: Path) -> None:
    """It is installed with the rest."""
    server.contents[f"noarch/{BOAT}.v0.sigs"] = sidecar(sign(boat))
    report = required(server, "boat", workdir=tmp_path, with_deps=True)
    assert statuses(report) == {HULL: "failed", BOAT: "fetched"}
    assert errors(report) == {HULL: "no-attestation"}


def test_an_index_without_hashes_is_no_way_around_it(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """The hash is then the one that was attested: the package comes, and other bytes do not."""
    bare = {HULL: {**keelback.inspect(hull).index, "subdir": "noarch"}}
    server.contents |= {**index_files("noarch", bare), f"noarch/{HULL}.v0.sigs": sidecar(sign(hull))}
    assert statuses(required(server, "hull", workdir=tmp_path)) == {HULL: "fetched"}
    server.contents[f"noarch/{HULL}"] = b"evil" + hull.read_bytes()[4:]
    report = required(server, "hull", workdir=tmp_path, to=tmp_path / "again")
    assert errors(report) == {HULL: "bad-download"}
    assert files(tmp_path / "again") == []


# --- what is here already ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attested", [True, False])
def test_what_is_here_already_is_verified_and_left_alone(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path, *, attested: bool
) -> None:
    """It may have come before anybody asked for attestations."""
    assert statuses(attempt(server.channel_url, "hull", workdir=tmp_path)) == {HULL: "fetched"}
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull, issuer=0 if attested else 1))
    report = required(server, "hull", workdir=tmp_path)
    assert statuses(report) == {HULL: "identical" if attested else "failed"}
    (outcome,) = report.outcomes
    assert outcome.attested_by == (BUILDER if attested else None)
    if not attested:
        assert outcome.error is not None
        assert "was left as it is" in outcome.error.message
    assert fetched(tmp_path) == [f"noarch/{HULL}"]
    assert len(downloads(server)) == 1


def test_a_file_that_is_to_stay_has_to_be_attested_itself(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """``--skip-existing`` calls it a success: not one of bytes that nobody vouches for."""
    mine = tmp_path / "out" / "noarch" / HULL
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"other bytes")
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull))
    assert errors(required(server, "hull", workdir=tmp_path, skip_existing=True)) == {HULL: "attestation-digest"}
    assert mine.read_bytes() == b"other bytes"


@pytest.mark.parametrize("attested", [True, False])
def test_nothing_is_replaced_by_what_does_not_verify(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path, *, attested: bool
) -> None:
    """Also with ``--force``."""
    mine = tmp_path / "out" / "noarch" / HULL
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"other bytes")
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull, issuer=0 if attested else 1))
    report = required(server, "hull", workdir=tmp_path, force=True)
    assert statuses(report) == {HULL: "replaced" if attested else "failed"}
    assert mine.read_bytes() == (hull.read_bytes() if attested else b"other bytes")


def test_a_dry_run_verifies_and_writes_nothing(server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path) -> None:
    """By the hash in the index: so it is known before a large download what will be refused."""
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull))
    report = required(server, "hull", "boat", workdir=tmp_path, dry_run=True)
    assert statuses(report) == {HULL: "fetched", BOAT: "failed"}
    assert (downloads(server), fetched(tmp_path)) == ([], [])


def test_what_a_lock_file_names_is_verified_too(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """The channel is the one at which the file says that each package is."""
    lock = tmp_path / "it.lock"
    attempt(server.channel_url, "hull", "boat", workdir=tmp_path, lock=lock)
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull, server.channel_url))
    report = keelback.fetch_locked(lock, to=tmp_path / "again", require_attestation=MINE)
    assert statuses(report) == {HULL: "fetched", BOAT: "failed"}
    assert files(tmp_path / "again") == [f"noarch/{HULL}"]


@pytest.mark.parametrize("suffix", [".sigs", ".v0.sigs"])
def test_what_a_lock_file_names_is_looked_for_under_the_names_that_need_no_index(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path, suffix: str
) -> None:
    """It has the hash of the package, and none of the attestations; which are signed, whatever they are called."""
    lock, content = tmp_path / "it.lock", sidecar(sign(hull))
    advertise(server, hull, sha256_of(content))
    attempt(server.channel_url, "hull", workdir=tmp_path, lock=lock)
    server.contents[f"noarch/{HULL}{suffix}"] = content
    report = keelback.fetch_locked(lock, to=tmp_path / "again", require_attestation=MINE)
    assert statuses(report) == {HULL: "fetched"}


# --- credentials ------------------------------------------------------------------------------------------------------


def test_a_private_channel_gets_its_credential_for_the_attestation_and_nobody_else_does(
    hull: Path, sign: Sign, trusted: None, tmp_path: Path
) -> None:
    """Where the attestation is at another server, that one gets nothing."""
    login = Login("BearerToken", leaks.new_secret("token"))
    with AttestingServer({f"noarch/{HULL}.v0.sigs": sidecar(sign(hull))}) as elsewhere:
        contents = {**channel(hull), f"noarch/{HULL}.v0.sigs": f"{elsewhere.channel_url}/noarch/{HULL}.v0.sigs"}
        with AttestingServer(contents, login=login) as server:
            stored = auth_file(tmp_path / "auth.json", {"127.0.0.1": login.stored})
            report = required(server, "hull", workdir=tmp_path, auth_file=stored)
            assert statuses(report) == {HULL: "fetched"}
            assert len(server.credentials_seen()) == len(server.requests)
        assert (len(elsewhere.requests), elsewhere.credentials_seen()) == (1, [])


def test_an_attestation_that_only_others_may_read_is_a_matter_of_credentials(
    server: AttestingServer, tmp_path: Path
) -> None:
    """The hint is to log in, the exit status that of a missing credential."""
    server.contents |= {f"noarch/{HULL}{suffix}": 401 for suffix in (".v0.sigs", ".sigs")}
    report = required(server, "hull", workdir=tmp_path)
    assert errors(report) == {HULL: "no-credential"}
    assert report.exit_status == ExitStatus.CREDENTIAL
    assert fetched(tmp_path) == []


def test_an_attestation_that_is_wrong_is_told_before_one_that_cannot_be_read(
    server: AttestingServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """To log in would perhaps help; that somebody else has signed what is at hand is sure."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / f"{HULL}.sigstore.json").write_bytes(sign(hull, issuer=1))
    server.contents |= {f"noarch/{HULL}{suffix}": 401 for suffix in (".v0.sigs", ".sigs")}
    report = required(server, "hull", workdir=tmp_path, attestations=[tmp_path / "kept"])
    assert errors(report) == {HULL: "attestation-identity"}


# --- what GitHub keeps ------------------------------------------------------------------------------------------------


def test_github_is_asked_for_what_the_channel_does_not_have(
    server: AttestingServer, hub: GitHubServer, hull: Path, boat: Path, sign: Sign, tmp_path: Path
) -> None:
    """By the hash of the package, without any token where there is none."""
    hub.kept[keelback.inspect(hull).sha256] = [json.loads(sign(hull))]
    server.contents[f"noarch/{BOAT}.v0.sigs"] = sidecar(sign(boat))
    assert statuses(required(server, "hull", "boat", workdir=tmp_path)) == {HULL: "fetched", BOAT: "fetched"}
    (request,) = hub.requests
    assert request.header("authorization") is None


def test_github_is_not_asked_where_there_is_an_attestation_that_does_not_verify(
    server: AttestingServer, hub: GitHubServer, hull: Path, boat: Path, sign: Sign, tmp_path: Path
) -> None:
    """What is wrong with that one is told, and nothing else; one of another file is none of this one."""
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(hull, issuer=1))
    server.contents[f"noarch/{BOAT}.v0.sigs"] = sidecar(sign(hull))
    report = required(server, "hull", "boat", workdir=tmp_path)
    assert errors(report) == {HULL: "attestation-identity", BOAT: "attestation-name"}
    assert [request.path.rpartition(":")[2].partition("?")[0] for request in hub.requests] == [
        keelback.inspect(boat).sha256
    ]


def test_a_github_that_does_not_answer_is_not_asked_for_the_next_package(
    server: AttestingServer, hub: GitHubServer, tmp_path: Path
) -> None:
    """Its silence is told once for each package, and waited for once in a run."""
    hub.plan(Fault("reset", when="list", times=99))
    report = required(server, "hull", "boat", workdir=tmp_path)
    assert errors(report) == {HULL: "no-attestation", BOAT: "no-attestation"}
    assert len(hub.requests) == QUICK.attempts
    first, second = sorted(outcome.error.message for outcome in report.outcomes if outcome.error)
    assert "not asked again" in first + second


def test_a_github_that_does_not_answer_is_not_told_where_an_attestation_was_found(
    server: AttestingServer, hub: GitHubServer, hull: Path, boat: Path, sign: Sign, tmp_path: Path
) -> None:
    """That would hide the reason."""
    server.contents[f"noarch/{HULL}.v0.sigs"] = sidecar(sign(boat))
    hub.plan(Fault("reset", when="list", times=99))
    (outcome,) = required(server, "hull", workdir=tmp_path).outcomes
    assert outcome.error is not None
    assert outcome.error.code == "attestation-name"
    assert "attempts" not in outcome.error.message


def test_github_gets_its_own_token_and_the_channel_does_not(
    server: AttestingServer, hub: GitHubServer, hull: Path, sign: Sign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attestations of a private repository are for its members."""
    token = leaks.new_secret("github-token")
    monkeypatch.setenv("GITHUB_TOKEN", token)
    hub.kept[keelback.inspect(hull).sha256] = [json.loads(sign(hull))]
    assert statuses(required(server, "hull", workdir=tmp_path)) == {HULL: "fetched"}
    assert [request.header("authorization") for request in hub.requests] == [f"Bearer {token}"]
    assert server.credentials_seen() == []


def test_what_github_keeps_is_verified_like_everything_else(
    server: AttestingServer, hub: GitHubServer, hull: Path, sign: Sign, tmp_path: Path
) -> None:
    """It keeps what others have signed, too; the reasons of both are told."""
    server.contents[f"noarch/{HULL}.v0.sigs"] = b"<html>"
    hub.kept[keelback.inspect(hull).sha256] = [None, json.loads(sign(hull, issuer=1))]
    (outcome,) = required(server, "hull", workdir=tmp_path).outcomes
    assert outcome.error is not None
    assert "web page" in outcome.error.message
    assert "evil/foo" in outcome.error.message
    assert fetched(tmp_path) == []


def test_a_github_that_says_no_is_named(server: AttestingServer, hub: GitHubServer, tmp_path: Path) -> None:
    """Without a token it soon has had enough of questions; the hint says what helps."""
    hub.plan(Fault("status", when="list", status=403, times=99))
    (outcome,) = required(server, "hull", workdir=tmp_path).outcomes
    assert outcome.error is not None
    assert "GitHub" in outcome.error.message
    assert "GITHUB_TOKEN" in outcome.error.hint


# --- channels in folders ----------------------------------------------------------------------------------------------


def publish_to_folder(folder: Path, package: Path, attestation: bytes | None) -> None:
    """Put *package* into the channel in *folder*, with its attestation."""
    local, archive = LocalChannel(folder), keelback.inspect(package)
    local.begin([archive])
    local.send(archive, overwrite=True, delivery=Delivery(archive, Reporter(), attestation=attestation))
    local.finish()
    local.close()


def contents_of(folder: Path) -> dict[str, Any]:
    """What a web server serves of *folder*."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["path", "file URL", "web server"])
def test_a_channel_in_a_folder_has_the_attestations_that_were_published_to_it(
    hull: Path, sign: Sign, trusted: None, tmp_path: Path, how: str
) -> None:
    """However it is read: as a path, as a URL of this machine, or from a web server that knows nothing of it."""
    folder = tmp_path / "channel"
    publish_to_folder(folder, hull, sign(hull))
    with AttestingServer(contents_of(folder)) as server:
        place = {"path": str(folder), "file URL": folder.as_uri(), "web server": server.channel_url}[how]
        good = attempt(place, "hull", workdir=tmp_path, require_attestation=MINE)
        assert statuses(good) == {HULL: "fetched"}
        wrong = attempt(place, "hull", workdir=tmp_path, to=tmp_path / "wrong", require_attestation="repo:acme/bar")
    assert errors(wrong) == {HULL: "attestation-identity"}
    assert files(tmp_path / "wrong") == []


def test_github_is_not_asked_for_what_is_in_a_folder(
    hull: Path, trusted: None, hub: GitHubServer, tmp_path: Path
) -> None:
    """Who has the channel on disk has what there is."""
    publish_to_folder(tmp_path / "channel", hull, None)
    report = attempt(str(tmp_path / "channel"), "hull", workdir=tmp_path, require_attestation=MINE)
    assert errors(report) == {HULL: "no-attestation"}
    assert hub.requests == []


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "no-attestation"), (b"<html>", "bad-attestations-file"), (b" " * (3 << 20), "bad-attestations-file")],
)
def test_a_folder_without_a_good_attestation_gives_nothing(
    hull: Path, trusted: None, tmp_path: Path, content: bytes | None, code: str
) -> None:
    """As a server does not."""
    folder = tmp_path / "channel"
    publish_to_folder(folder, hull, None)
    if content is not None:
        (folder / "noarch" / f"{HULL}.v0.sigs").write_bytes(content)
    report = attempt(str(folder), "hull", workdir=tmp_path, require_attestation=MINE)
    assert errors(report) == {HULL: code}
    assert fetched(tmp_path) == []


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_who_is_trusted_and_what_was_refused(
    hull: Path, boat: Path, sign: Sign, world: SigstoreWorld, hub: GitHubServer, tmp_path: Path
) -> None:
    """One document with ``--json``; exit status 1 where something was refused, with nothing left of that."""
    with AttestingServer({**channel(hull, boat), f"noarch/{HULL}.v0.sigs": sidecar(sign(hull))}) as server:
        command = ["fetch", server.channel_url, "hull", "boat", "-p", "noarch", "-o", tmp_path / "out", "--json"]
        env = {"KEELBACK_CACHE_DIR": str(tmp_path / "cache"), "GITHUB_API_URL": hub.url}
        run = run_keelback(
            [*command, "--require-attestation", MINE, "--trust-config", world.trust_config], env=env, cwd=tmp_path
        )
    assert run.returncode == 1
    outcomes = {each["name"]: each for each in run.json()["channels"][0]["outcomes"]}
    assert (outcomes["hull"]["status"], outcomes["hull"]["attested_by"]) == ("fetched", BUILDER)
    assert (outcomes["boat"]["status"], outcomes["boat"]["error"]["code"]) == ("failed", "no-attestation")
    assert fetched(tmp_path) == [f"noarch/{HULL}"]


def test_what_attest_keeps_in_a_folder_can_be_given_back(
    server: AttestingServer, hull: Path, boat: Path, world: SigstoreWorld, tmp_path: Path
) -> None:
    """To ``verify`` and to ``fetch``, as that folder."""
    kept = tmp_path / "kept"
    keelback.attest([hull, boat], oidc_token=world.issuers[0].token("sigstore"), attestation_dir=kept)
    done = run_keelback(
        ["verify", hull.parent, "--attestation", kept, "--policy", MINE, "--trust-config", world.trust_config]
    )
    assert (done.returncode, done.stdout.count("verified"), done.stderr) == (0, 2, "")
    report = required(server, "hull", "boat", workdir=tmp_path, attestations=kept)
    assert statuses(report) == {HULL: "fetched", BOAT: "fetched"}


@pytest.mark.parametrize(
    "options",
    [
        {"require_attestation": "acme/foo"},
        {"require_attestation": ""},
        {"attestations": "kept"},
        {"require_attestation": MINE, "attestations": ["no-such-file"]},
        {"require_attestation": MINE, "trust_config": "no-such-file"},
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_asked(
    hull: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    """A typing error must not mean that nothing is required."""
    with AttestingServer(channel(hull)) as server:
        report = attempt(server.channel_url, "hull", workdir=tmp_path, **options)
        assert problem(report).exit_status == UsageError.exit_status
        assert server.requests == []
