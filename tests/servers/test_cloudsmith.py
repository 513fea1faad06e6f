"""Cloudsmith: a file goes in a form or in parts, a package is made of it, and is processed afterwards."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import run_keelback
from in_process import run_here
from keelback import ExitStatus, KeelbackError, Problem, Report, Retry, inspect, publish
from keelback.channels.cloudsmith import CloudsmithChannel
from keelback.channels.cloudsmith_api import Repository, auth_of, is_same_service
from keelback.channels.cloudsmith_upload import upload
from keelback.channels.delivery import Delivery
from keelback.channels.service import Site
from keelback.channels.session import Session
from keelback.channels.target import parse_target
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken
from keelback.errors import CredentialError, Interrupted, UsageError
from keelback.report import Reporter
from keelback.secret import Secret
from keelback.transport import Client
from making import make_conda
from servers.scripted import Fault, Trap
from servers.scripted.cloudsmith import CloudsmithServer
from servers.scripted.engine import route
from servers.scripted.exchange import Exchange, json_answer

if TYPE_CHECKING:
    from pathlib import Path

    from keelback import Outcome
    from keelback.report import Archive
    from servers.scripted.wire import Answer

QUICK = Retry(attempts=3, base=0.01)
DEMO = "noarch/demo-1.0-h0_0.conda"
PART = 50_000


class Notes(Reporter):
    """Keeps what was noted, and what was told to be out."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.out = 0

    def note(self, text: str) -> None:
        """See :class:`Reporter`."""
        self.notes.append(text)

    def started(self, archive: Archive) -> None:  # noqa: ARG002 - from the start, whatever it is
        """See :class:`Reporter`."""
        self.out = 0

    def sent(self, archive: Archive, count: int) -> None:  # noqa: ARG002 - there is one
        """See :class:`Reporter`."""
        self.out += count


def channel_of(server: CloudsmithServer, **options: Any) -> CloudsmithChannel:
    """The channel of *server*."""
    return CloudsmithChannel(
        server.owner, server.channel, **{"url": server.api_url, "reading_host": server.url, **options}
    )


def attempt(server: CloudsmithServer, token: str | None, *paths: Path, part_size: int = PART, **options: Any) -> Report:
    """The report of a run, also of one that ends before anything is sent."""
    channel = channel_of(server, part_size=part_size)
    try:
        return publish(paths, channel, **{"api_key": token, "retry": QUICK, "timeout": 10.0, **options})
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def outcome_of(report: Report) -> Outcome:
    """The one outcome of a run with one archive."""
    assert report.error is None, report.error
    (outcome,) = report.outcomes
    return outcome


def jwt(**claims: Any) -> str:
    """A JSON Web Token that nobody verifies."""
    packed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{packed}.{leaks.new_secret('signature')}"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A package that goes in five parts."""
    return make_conda(tmp_path / "large", "large", payload=4 * PART + 5000)


@pytest.fixture(autouse=True)
def _no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds a credential that it did not write."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_file_goes_in_a_form_and_becomes_a_package(token: str, demo: Path) -> None:
    """It is asked for, announced, sent to the object store without the key, and made a package of."""
    with CloudsmithServer(token) as server:
        outcome = outcome_of(attempt(server, token, demo))
    assert (outcome.status, outcome.attempts, outcome.url) == ("uploaded", 1, f"{server.channel_url}/{DEMO}")
    assert server.files[DEMO].sha256 == hashlib.sha256(demo.read_bytes()).hexdigest()
    assert server.steps() == ["repo", "list", "request", "upload", "create"]
    (created,) = server.of_step("create")
    assert created.json() == {"package_file": next(iter(server.slots)), "republish": False}
    server.assert_clean()


def test_a_large_file_goes_in_numbered_parts(token: str, large: Path) -> None:
    """Parts are counted from 1, put together in order, and told as progress once each."""
    notes = Notes()
    with CloudsmithServer(token) as server:
        outcome = outcome_of(attempt(server, token, large, reporter=notes))
    numbers = sorted(int(dict(request.query)["part_number"]) for request in server.of_step("part"))
    assert (outcome.status, numbers) == ("uploaded", [1, 2, 3, 4, 5])
    assert {request.body_size for request in server.of_step("part")} == {PART, large.stat().st_size - 4 * PART}
    assert server.files[f"noarch/{large.name}"].sha256 == hashlib.sha256(large.read_bytes()).hexdigest()
    assert notes.out == large.stat().st_size
    assert server.steps()[-2:] == ["complete", "create"]
    server.assert_clean()


@pytest.mark.parametrize(("extra", "parts"), [(0, 1), (1, 0)])
def test_parts_begin_at_their_size(token: str, demo: Path, extra: int, parts: int) -> None:
    """A file of exactly the size of a part is one part, as for Cloudsmith's own client; a smaller one is a form."""
    with CloudsmithServer(token) as server:
        report = attempt(server, token, demo, part_size=demo.stat().st_size + extra)
    assert report.ok
    assert len(server.of_step("part")) == parts
    server.assert_clean()


def test_publishing_again_changes_nothing(token: str, demo: Path) -> None:
    """The same bytes are identical, and no second package is made, which would be one that failed."""
    with CloudsmithServer(token) as server:
        attempt(server, token, demo)
        outcome = outcome_of(attempt(server, token, demo))
        forced = outcome_of(attempt(server, token, demo, force=True))
    assert (outcome.status, forced.status, len(server.packages)) == ("identical", "identical", 1)
    server.assert_clean()


def test_other_bytes_are_a_conflict_and_force_replaces_them(token: str, demo: Path, other: bytes) -> None:
    """Nothing is sent without ``--force``, which says ``republish``."""
    with CloudsmithServer(token) as server:
        server.put(DEMO, other)
        refused = outcome_of(attempt(server, token, demo))
        skipped = outcome_of(attempt(server, token, demo, skip_existing=True))
        assert server.of_step("request") == []
        replaced = outcome_of(attempt(server, token, demo, force=True))
    assert (refused.status, refused.error.code) == ("failed", "conflict")
    assert (skipped.status, replaced.status) == ("skipped", "replaced")
    assert server.files[DEMO].sha256 == hashlib.sha256(demo.read_bytes()).hexdigest()
    server.assert_clean()


def test_a_repository_that_republishes_does_not_decide_for_us(token: str, demo: Path, other: bytes) -> None:
    """A file that came in the meantime is not replaced by a setting of the repository: ``republish`` is always said."""
    with CloudsmithServer(token, republishes=True) as server:
        server.plan(Fault("status", when="list", status=200, body="[]", media="application/json"))
        server.put(DEMO, other)
        attempt(server, token, demo)
    assert server.files[DEMO].content == other
    server.assert_clean()


def test_the_same_name_in_another_subdir_is_another_file(token: str, tmp_path: Path) -> None:
    """Cloudsmith's list goes by file names; the subdir is in the URL for downloads."""
    noarch = make_conda(tmp_path / "noarch", subdir="noarch")
    linux = make_conda(tmp_path / "linux", subdir="linux-64")
    with CloudsmithServer(token) as server:
        report = attempt(server, token, noarch, linux)
    assert [outcome.status for outcome in report.outcomes] == ["uploaded", "uploaded"]
    assert set(server.files) == {DEMO, "linux-64/demo-1.0-h0_0.conda"}
    server.assert_clean()


def test_a_failed_package_is_not_there(token: str, demo: Path) -> None:
    """What could not be processed stays in the list, and neither blocks its file name nor counts as published."""
    with CloudsmithServer(token) as server:
        server.put(DEMO, demo.read_bytes())
        server.files.clear()
        server.packages[0].failure = "The upload was truncated."
        outcome = outcome_of(attempt(server, token, demo))
    assert outcome.status == "uploaded"
    server.assert_clean()


# --- processing -------------------------------------------------------------------------------------------------------


def test_verify_waits_until_it_is_processed_and_in_the_index(token: str, demo: Path) -> None:
    """The status is asked until it says so, then the index."""
    with CloudsmithServer(token, lag=2, private=True) as server:
        report = attempt(server, token, demo, verify=20.0)
    assert outcome_of(report).visible
    assert len(server.of_step("status")) == 2
    assert server.steps().index("get") > server.steps().index("status") + 1
    server.assert_clean()


def test_verify_believes_the_api_where_the_index_may_not_be_read(token: str, demo: Path) -> None:
    """Whoever may upload need not be allowed to read."""
    with CloudsmithServer(token) as server:
        server.plan(Fault("status", when="get", status=403, times=None))
        report = attempt(server, token, demo, verify=5.0)
    assert outcome_of(report).visible
    server.assert_clean()


def test_what_cannot_be_processed_is_told_with_the_reason(token: str, demo: Path) -> None:
    """The run does not end well, and says what Cloudsmith said."""
    notes = Notes()
    with CloudsmithServer(token) as server:

        def fail(exchange: Any) -> bool:
            if exchange.step == "status":
                server.packages[0].failure = "The archive is corrupt."
            return False

        server.plan(Fault("status", when=fail))
        report = attempt(server, token, demo, verify=0.1, reporter=notes)
    outcome = outcome_of(report)
    told = " ".join([*notes.notes, outcome.error.message if outcome.error else ""])
    assert not report.ok
    assert "The archive is corrupt." in told
    server.assert_clean()


def test_a_package_that_fails_at_once_is_a_failure(token: str, demo: Path) -> None:
    """Where the answer itself says so, nobody has to ask for the status."""
    body = json.dumps({"slug_perm": "abc", "is_sync_failed": True, "status_reason": "Not a conda package."})
    with CloudsmithServer(token) as server:
        server.plan(Fault("status", when="create", status=201, body=body, media="application/json"))
        outcome = outcome_of(attempt(server, token, demo))
    assert (outcome.status, outcome.error.code) == ("failed", "processing-failed")
    assert "Not a conda package." in outcome.error.message
    server.assert_clean()


# --- answers that get lost --------------------------------------------------------------------------------------------


def test_a_package_whose_answer_got_lost_is_not_made_twice(token: str, demo: Path) -> None:
    """A repeated request would make a duplicate, which fails: it is looked for first."""
    with CloudsmithServer(token, faults=[Fault("lost-answer", when="create")]) as server:
        outcome = outcome_of(attempt(server, token, demo, verify=5.0))
    assert (outcome.status, outcome.visible, len(server.packages)) == ("uploaded", True, 1)
    assert len(server.of_step("create")) == 1
    server.assert_clean()


def test_a_part_that_breaks_off_is_sent_again_alone(token: str, large: Path) -> None:
    """The others are not; and no byte counts twice in the progress."""
    notes = Notes()
    fault = Fault("reset-body", when=lambda request: "part_number=2" in request.target)
    with CloudsmithServer(token, faults=[fault]) as server:
        outcome = outcome_of(attempt(server, token, large, reporter=notes))
    assert (outcome.status, outcome.attempts, len(server.of_step("part"))) == ("uploaded", 2, 6)
    assert notes.out == large.stat().st_size
    server.assert_clean()


def test_a_completion_whose_answer_got_lost_is_one(token: str, large: Path) -> None:
    """The second one finds nothing to complete."""
    with CloudsmithServer(token, faults=[Fault("lost-answer", when="complete")]) as server:
        assert outcome_of(attempt(server, token, large)).status == "uploaded"
    server.assert_clean()


@pytest.mark.parametrize("step", ["part", "complete"])
def test_parts_that_come_to_nothing_are_given_up_at_the_server(token: str, large: Path, step: str) -> None:
    """What was sent is aborted there."""
    with CloudsmithServer(token, faults=[Fault("status", when=step, status=422, times=None)]) as server:
        outcome = outcome_of(attempt(server, token, large))
    (slot,) = server.slots.values()
    assert (outcome.status, slot.aborted, slot.parts) == ("failed", True, {})
    assert server.of_step("create") == []
    server.assert_clean()


def test_parts_are_given_up_at_the_server_when_the_run_is_stopped(token: str, large: Path) -> None:
    """The connections of a run that Ctrl-C has ended take no request any more: that one goes over others."""
    with CloudsmithServer(token) as server, Client(retry=QUICK) as client:

        def stop(exchange: Any) -> bool:
            if "part_number=3" in exchange.target:
                client.stop()
            return False

        server.plan(Fault("status", when=stop, times=None))
        key = CondaToken(Secret(token)).header("X-Api-Key")
        repository = Repository(client, server.api_url, server.owner, server.channel, key, "a test")
        archive = inspect(large)
        with pytest.raises(Interrupted):
            upload(repository, archive, Delivery(archive, Reporter()), PART)
    (slot,) = server.slots.values()
    assert (slot.aborted, slot.parts) == (True, {})
    server.assert_clean()


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused_before_anything_is_sent(token: str, demo: Path) -> None:
    """The error says whose it was."""
    with CloudsmithServer(token) as server:
        report = attempt(server, leaks.new_secret("wrong"), demo)
    assert (report.exit_status, report.error.code) == (ExitStatus.CREDENTIAL, "credential-refused")
    assert "from api_key (401): Unable to authenticate" in report.error.message
    assert server.steps() == ["repo"]


def test_a_missing_repository_is_told_as_one(token: str, demo: Path) -> None:
    """Before anything is sent."""
    with CloudsmithServer(token) as server:
        server.channel = "another"
        report = attempt(server, token, demo)
        assert report.ok
        channel = CloudsmithChannel("my-org", "missing", url=server.api_url)
        with pytest.raises(KeelbackError, match="has no repository 'my-org/missing'") as caught:
            publish(demo, channel, api_key=token, retry=QUICK)
    assert caught.value.code == "no-channel"


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (402, {"detail": "Storage quota exceeded"}, "quota", "Storage quota exceeded"),
        (403, {"detail": "No permission to upload"}, "forbidden", "No permission to upload"),
        (404, {"detail": "Not found."}, "not-found", "Not found."),
        (
            422,
            {"detail": "Invalid input.", "fields": {"filename": ["is not allowed"], "method": ["is not, either"]}},
            "rejected",
            "Invalid input.; filename: is not allowed; method: is not, either",
        ),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_server(
    token: str, demo: Path, status: int, body: dict[str, Any], code: str, words: str
) -> None:
    """With what it says of each field."""
    fault = Fault("status", when="request", status=status, body=json.dumps(body), media="application/json", times=None)
    with CloudsmithServer(token, faults=[fault]) as server:
        error = outcome_of(attempt(server, token, demo)).error
    assert (error.code, words in error.message) == (code, True), error.message


def test_nothing_is_sent_where_it_cannot_be_asked_what_is_there(token: str, demo: Path) -> None:
    """A duplicate would be taken without a word, and fail later."""
    with CloudsmithServer(token, faults=[Fault("status", when="list", status=500, times=None)]) as server:
        outcome = outcome_of(attempt(server, token, demo))
    assert outcome.status == "failed"
    assert server.of_step("request") == []


# --- servers that are not to be trusted -------------------------------------------------------------------------------


def answering(**place: Any) -> dict[str, Any]:
    """An answer to the announcement of a file in which *place* is other than it should be."""
    return place


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (answering(upload_url="ftp://127.0.0.1/x"), "an address that is not https"),
        (answering(upload_url="file:///etc/passwd"), "what is not a host"),
        (answering(upload_url="https:///x"), "what is not a host"),
        (answering(upload_url="https://ann:x@example.invalid/x"), "a URL with a user name"),
        (answering(upload_url="https://exa mple"), "what is not a host"),
        (answering(upload_url="https://[::1"), "what is not a URL"),
        (answering(upload_url=None), "did not say where"),
        (answering(identifier=".."), "by which identifier"),
        (answering(identifier=7), "by which identifier"),
        (answering(upload_fields={"key": 7}), "fields that are not text"),
        (answering(upload_fields="key=value"), "fields that are not text"),
        (answering(upload_headers={"x\r\nhost": "y"}), "headers that are none"),
        (answering(upload_headers={"x": "y\r\nhost: z"}), "headers that are none"),
        (answering(upload_headers={"Host": "example.invalid"}), "another host"),
        (answering(upload_headers={"Transfer-Encoding": "chunked"}), "another transfer-encoding"),
        (answering(upload_querystring="a=b#c"), "a query that is none"),
        (answering(upload_querystring="a=b c"), "a query that is none"),
    ],
)
def test_a_place_that_cannot_be_one_gets_nothing(token: str, demo: Path, place: dict[str, Any], words: str) -> None:
    """The answer to the announcement is a stranger's: no byte goes out before it makes sense."""
    with CloudsmithServer(token, place=place) as server:
        outcome = outcome_of(attempt(server, token, demo))
    assert (outcome.status, words in outcome.error.message) == ("failed", True), outcome.error.message
    assert server.steps() == ["repo", "list", "request"]
    server.assert_clean()


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "https://127.0.0.1/x", "https://localhost:8443/x", "https://[::1]/x"]
)
def test_an_api_elsewhere_cannot_point_to_this_machine_or_away_from_tls(url: str) -> None:
    """What is true of a server on loopback is not true of one elsewhere."""
    from keelback.channels.cloudsmith_upload import _problem_of  # noqa: PLC0415 - the API's host is no loopback

    assert _problem_of(url, "https://api.cloudsmith.io/v1")
    assert not _problem_of("https://bucket.s3.amazonaws.com/x?sig=y", "https://api.cloudsmith.io/v1")


def test_headers_and_query_of_the_place_are_sent(token: str, demo: Path) -> None:
    """As far as they are harmless; the form's own content type stays."""
    place = {
        "upload_headers": {"X-Amz-Tag": "a", "Content-Type": "text/plain"},
        "upload_querystring": "x-id=PostObject",
    }
    with CloudsmithServer(token, place=place) as server:
        assert outcome_of(attempt(server, token, demo)).status == "uploaded"
    (request,) = server.of_step("upload")
    assert (request.header("x-amz-tag"), request.query) == ("a", [("x-id", "PostObject")])
    server.assert_clean()


@pytest.mark.parametrize("size", ["demo", "large"])
def test_the_key_goes_to_no_other_service(token: str, size: str, request: pytest.FixtureRequest) -> None:
    """Neither with a form nor with parts, wherever the server has them sent."""
    with Trap() as trap, CloudsmithServer(token, place={"upload_url": f"{trap.url}/there"}) as server:
        attempt(server, token, request.getfixturevalue(size))
    assert {"POST": 1}.get(trap.requests[0].method, 5) == len(trap.requests)
    assert token not in trap.heard()
    assert "authorization" not in trap.heard().lower()


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("step", ["request", "upload", "create", "part"])
def test_no_redirect_is_followed(token: str, demo: Path, large: Path, step: str, status: int) -> None:
    """An upload that is sent elsewhere is a mistake, or an attack."""
    with Trap() as trap, CloudsmithServer(token) as server:
        server.plan(Fault("redirect", when=step, status=status, to=trap.url, times=None))
        outcome = outcome_of(attempt(server, token, large if step == "part" else demo))
    assert (outcome.status, outcome.error.code, trap.requests) == ("failed", "redirect", [])


def test_what_the_store_repeats_is_not_shown(token: str, demo: Path) -> None:
    """The fields of a form are good for one upload, by anybody."""
    with CloudsmithServer(token) as server:

        def refuse(recorded: Any) -> bool:
            if recorded.step == "upload":
                server.place["said"] = True
                (slot,) = server.slots.values()
                fault.body = f"policy {slot.form['policy']} has expired"
                return True
            return False

        fault = Fault("status", when=refuse, status=403, body="", media="text", times=None)
        server.plan(fault)
        outcome = outcome_of(attempt(server, token, demo))
    assert "refused it (403): policy **** has expired" in outcome.error.message
    assert outcome.error.code == "server"  # no credential of ours was refused


# --- credentials ------------------------------------------------------------------------------------------------------


def test_a_jwt_goes_as_bearer(demo: Path) -> None:
    """In ``X-Api-Key``, Cloudsmith refuses it (``cloudsmith-cli``)."""
    token = jwt(sub="ci")
    with CloudsmithServer(token) as server:
        assert attempt(server, token, demo).ok
    server.assert_clean()


@pytest.mark.parametrize("kind", [CondaToken, BearerToken])
def test_a_stored_token_of_either_kind_is_an_api_key(
    kind: type[CondaToken | BearerToken], token: str, demo: Path, tmp_path: Path
) -> None:
    """As rattler-build has it."""
    file = leaks.holds_secrets(tmp_path / "auth.json")
    file.write_text(json.dumps({"127.0.0.1": {kind.kind: token}}))
    with CloudsmithServer(token) as server:
        assert attempt(server, None, demo, auth_file=file).ok
    server.assert_clean()


class Exchanging(CloudsmithServer):
    """One that gives its key for an identity."""

    @route("POST", r"/openid/acme/", step="exchange")
    def exchange(self, exchange: Exchange) -> Answer:
        """``POST openid/ORGANIZATION/``."""
        sent = json.loads(exchange.read())
        self.expect(exchange, set(sent) == {"oidc_token", "service_slug"}, "other fields")
        return json_answer(201, {"token": self.key})


TRUSTED = {"trusted_publishing_hosts": ["127.0.0.1"], "insecure_hosts": ["127.0.0.1"]}


def test_an_identity_is_exchanged_for_a_service_account(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the organization that ``cloudsmith-cli``'s variables name; the token goes as bearer."""
    monkeypatch.setenv("CLOUDSMITH_ORG", "acme")
    monkeypatch.setenv("CLOUDSMITH_SERVICE_SLUG", "ci")
    token = jwt(sub="ci", exp=4_000_000_000)
    identity = jwt(aud="127.0.0.1", exp=4_000_000_000, iss="https://issuer.invalid")
    with Exchanging(token) as server:
        report = attempt(server, None, demo, oidc_token=identity, **TRUSTED)
    assert report.ok, report.error
    assert server.steps()[0] == "exchange"
    server.assert_clean()


def test_trusted_publishing_without_a_service_account_says_what_is_missing(demo: Path) -> None:
    """The two variables."""
    identity = jwt(aud="127.0.0.1", exp=4_000_000_000, iss="https://issuer.invalid")
    with CloudsmithServer("unused") as server:
        report = attempt(server, None, demo, oidc_token=identity, **TRUSTED)
    assert (report.error.code, server.requests) == ("exchange-refused", [])
    assert report.error.hint == "Set CLOUDSMITH_ORG and CLOUDSMITH_SERVICE_SLUG."


def test_whoami_tells_a_key_that_is_known_from_one_that_is_not(token: str) -> None:
    """``user/self/`` answers everybody."""
    with CloudsmithServer(token) as server, Client() as client:
        site = Site.of(f"cloudsmith+{server.api_url}")

        def ask(secret: str) -> Any:
            return CloudsmithChannel.whoami(client, site, CondaToken(Secret(secret)), {})

        known, unknown = ask(token), ask(leaks.new_secret("wrong"))
    assert (known.valid, known.name, unknown.valid) == (True, "ann", False)


def test_an_owner_is_never_taken_for_the_host_of_an_api(token: str) -> None:
    """Also one with a dot in its name; and the API is asked that the variable names, as when packages are sent."""
    with CloudsmithServer(token) as server, Client(retry=Retry(attempts=1)) as client:
        environ = {"CLOUDSMITH_API_URL": server.api_url}
        known = [
            CloudsmithChannel.whoami(client, Site.of(place), CondaToken(Secret(token)), environ).valid
            for place in ("cloudsmith://owner.invalid/my-repo", "cloudsmith.io", "https://conda.cloudsmith.io/a/b")
        ]
    assert (known, server.steps()) == ([True] * 3, ["user"] * 3)


def test_a_dry_run_finds_a_key_that_nobody_knows(token: str, demo: Path) -> None:
    """Also where the repository itself is public."""
    with CloudsmithServer(token) as server:
        server.plan(Fault("status", when="repo", status=200, body="{}", media="application/json", times=None))
        report = attempt(server, leaks.new_secret("wrong"), demo, dry_run=True)
    assert report.exit_status == ExitStatus.CREDENTIAL
    assert server.of_step("request") == []


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://upload.cloudsmith.io/x", True),
        ("https://api.cloudsmith.io:443/x", True),
        ("http://upload.cloudsmith.io/x", False),
        ("https://cloudsmith.io.example.com/x", False),
        ("https://evilcloudsmith.io/x", False),
        ("https://upload.cloudsmith.io@example.com/x", False),
    ],
)
def test_which_hosts_may_have_the_key(url: str, same: bool) -> None:  # noqa: FBT001 - a column of the table
    """Cloudsmith's own, with TLS."""
    assert is_same_service(url, "https://api.cloudsmith.io/v1") is same


def test_a_channel_host_of_somebody_else_gets_no_key(token: str, demo: Path) -> None:
    """``CLOUDSMITH_CHANNEL_HOST`` is read with what the stores have for it, not with the API's key."""
    with Trap() as trap, CloudsmithServer(token) as server:
        channel = channel_of(server, reading_host=trap.url)
        publish(demo, channel, api_key=token, retry=QUICK, verify=0.0)
    assert trap.requests
    assert "authorization" not in trap.heard().lower()


def test_a_missing_key_comes_with_the_login_that_serves_both_hosts(demo: Path) -> None:
    """The API's host and the readers' are one service, and have one name to log in to."""
    done = run_keelback(["publish", "--to", "cloudsmith://my-org/my-repo", demo])
    assert done.returncode == ExitStatus.CREDENTIAL
    assert "keelback auth login cloudsmith.io," in done.stderr


def test_a_key_is_the_password_of_the_user_token_where_packages_are_read(token: str) -> None:
    """Given by the variable or stored; and it is for no other host than Cloudsmith's own."""
    with Client() as client:
        session = Session(client, list, environ={"CLOUDSMITH_API_KEY": token})
        url, access = CloudsmithChannel("my-org", "my-repo").reading_access(session) or ("", None)
        elsewhere = CloudsmithChannel("my-org", "my-repo", reading_host="conda.example.com").reading_access(session)
    assert url == "https://conda.cloudsmith.io/my-org/my-repo"
    assert access is not None
    assert access.credential == BasicHTTP("token", Secret(token))
    assert elsewhere is None


# --- how it is named --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "api"),
    [
        ("cloudsmith://my-org/my-repo", "https://api.cloudsmith.io/v1"),
        ("https://conda.cloudsmith.io/my-org/my-repo/", "https://api.cloudsmith.io/v1"),
        ("cloudsmith+https://api.example.com/v1/my-org/my-repo", "https://api.example.com/v1"),
    ],
)
def test_how_a_repository_is_written(text: str, api: str) -> None:
    """Three ways, one channel."""
    channel = CloudsmithChannel.from_target(parse_target(text, frozenset({"cloudsmith"})))
    assert channel is not None
    assert (channel.url, channel.endpoint) == ("https://conda.cloudsmith.io/my-org/my-repo", api)


@pytest.mark.parametrize(
    "text",
    ["cloudsmith://my-org", "cloudsmith://my-org/a/b", "https://conda.cloudsmith.io/x", "cloudsmith+https://h/x"],
)
def test_a_name_that_is_none_says_how_to_write_it(text: str) -> None:
    """Owner and repository, no more and no less."""
    with pytest.raises(UsageError, match="owner and a repository") as caught:
        CloudsmithChannel.from_target(parse_target(text, frozenset({"cloudsmith"})))
    assert "OWNER/REPOSITORY" in caught.value.hint


def test_the_variables_of_rattler_build_name_api_and_channel_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """``CLOUDSMITH_API_URL`` and ``CLOUDSMITH_CHANNEL_HOST``, a host or a URL."""
    monkeypatch.setenv("CLOUDSMITH_API_URL", "https://api.example.com/v1/")
    monkeypatch.setenv("CLOUDSMITH_CHANNEL_HOST", "conda.example.com")
    channel = CloudsmithChannel.from_target(parse_target("cloudsmith://my-org/my-repo", frozenset({"cloudsmith"})))
    assert channel is not None
    assert (channel.url, channel.endpoint) == ("https://conda.example.com/my-org/my-repo", "https://api.example.com/v1")


def test_other_urls_are_left_to_others() -> None:
    """Hosts that only look like it, too."""
    for text in (
        "https://prefix.dev/x/y",
        "https://conda.cloudsmith.io.example.com/a/b",
        "https://dl.cloudsmith.io/a/b",
    ):
        assert CloudsmithChannel.from_target(parse_target(text, frozenset({"cloudsmith"}))) is None


def test_a_credential_of_another_kind_is_refused(token: str, demo: Path, tmp_path: Path) -> None:
    """With the kinds that will do."""
    file = leaks.holds_secrets(tmp_path / "auth.json")
    file.write_text(json.dumps({"127.0.0.1": {"BasicHTTP": {"username": "ann", "password": token}}}))
    with CloudsmithServer(token) as server, pytest.raises(CredentialError, match="CondaToken"):
        publish(demo, channel_of(server), auth_file=file)


def test_what_the_api_takes() -> None:
    """A key is no JWT because it has dots in it."""
    key = CondaToken(Secret(f"a.{leaks.new_secret('key')}.b"))
    assert auth_of(key) == key.header("X-Api-Key")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_takes_the_variables_of_rattler_build(token: str, demo: Path, tmp_path: Path) -> None:
    """Owner, repository, API and key."""
    with CloudsmithServer(token) as server:
        env = {
            "CLOUDSMITH_OWNER": "my-org",
            "CLOUDSMITH_REPO": "my-repo",
            "CLOUDSMITH_API_URL": server.api_url,
            "CLOUDSMITH_API_KEY": token,
        }
        done = run_here(["upload", "cloudsmith", demo, "--json"], env=env, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.json()["channels"][0]["outcomes"][0]["status"] == "uploaded"
    server.assert_clean()


def test_the_command_puts_tags_on_packages(token: str, demo: Path, tmp_path: Path) -> None:
    """In one text, as the API has them."""
    with CloudsmithServer(token) as server:
        arguments = ["-o", "my-org", "-r", "my-repo", "-u", server.api_url, "--tag", "a", "--tag", "b", demo]
        done = run_here(["upload", "cloudsmith", *arguments], env={"CLOUDSMITH_API_KEY": token}, home=tmp_path)
        assert done.returncode == 0, done.stderr
    assert server.packages[0].tags == "a,b"
    server.assert_clean()
