"""Trusted publishing by keelback, and by py-rattler-build, in the same cases.

What keelback does is promised. What py-rattler-build does is on record, as it was observed of the version that
``constraints.txt`` names: where a later one does better, its line here is to be changed.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from peers.publishing_beside import Finished, Scene, Seen, keelback, rattler_build, seen
from servers.scripted import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.peer("py-rattler-build")

PREFIX: Final = ("prefix.dev",)
WELL: Final = Seen(went_well=True, uploaded=3, identities=PREFIX, exchanges=1, used=("token 1",))
NO_KEY: Final = "no prefix.dev API key provided and none found in keychain"
NOTHING_SAID: Final = Seen(went_well=False, says=NO_KEY)
"""Trusted publishing failed, and all that is said is that there is no key."""


class Case(NamedTuple):
    """One case.

    Attributes:
        name: what it is about.
        arrange: makes the scene what it has to be.
        rattler_build: what was observed of py-rattler-build.
        keelback: what keelback has to do.
    """

    name: str
    arrange: Callable[[Scene], object]
    rattler_build: Seen
    keelback: Seen


# --- scenes -----------------------------------------------------------------------------------------------------------


def as_it_is(_scene: Scene) -> None:
    """A job that may publish."""


def fifty_packages(scene: Scene) -> None:
    """The same with more to publish."""
    scene.packages(50)


def job_of_gitlab(scene: Scene) -> None:
    """The same in GitLab CI."""
    scene.env = scene.world.gitlab()


def token_that_expires(scene: Scene) -> None:
    """After 3 of 6 packages."""
    scene.packages(6)
    scene.world.prefix.uploads_per_token = 3


def stored_key(scene: Scene) -> None:
    """Beside an identity that is good."""
    scene.store()


def refused_with_a_stored_key(scene: Scene) -> None:
    """The identity is not that of a trusted publisher, and there is a key."""
    scene.world.prefix.publishers.clear()
    scene.store()


def key_in_the_environment(scene: Scene) -> None:
    """A variable that rattler-build has its command line read, and its Python functions not."""
    scene.env["PREFIX_API_KEY"] = scene.api_key


def no_permission(scene: Scene) -> None:
    """The workflow does not say ``id-token: write``."""
    scene.without("ACTIONS_")


def no_permission_with_a_stored_key(scene: Scene) -> None:
    """The same, and there is a key."""
    scene.without("ACTIONS_")
    scene.store()


def not_a_publisher(scene: Scene) -> None:
    """The server knows nobody."""
    scene.world.prefix.publishers.clear()


def identity_endpoint(status: int) -> Callable[[Scene], None]:
    """GitHub answers *status*."""
    return lambda scene: scene.world.actions.plan(Fault("status", when="id-token", status=status, times=None))


def identity_for_another(scene: Scene) -> None:
    """GitHub gives an identity for PyPI."""
    scene.world.github_issuer.claims["aud"] = "pypi"


def mint_answers(status: int, media: str = "text", body: str | None = None) -> Callable[[Scene], None]:
    """The server answers this in place of a token."""
    return lambda scene: scene.world.prefix.plan(
        Fault("status", when="mint", status=status, media=media, body=body, times=None)
    )


def newline_behind_the_token(scene: Scene) -> None:
    """A token as text files have it."""
    scene.world.prefix.written = "{}\n".format


def mint_answer_lost(scene: Scene) -> None:
    """The identity is used up, and the connection breaks before the token arrives."""
    scene.world.prefix.plan(Fault("lost-answer", when="mint"))


def mint_redirects(status: int) -> Callable[[Scene], None]:
    """The server sends the client to another one, without TLS at that."""
    return lambda scene: scene.world.prefix.plan(
        Fault("redirect", when="mint", status=status, to=scene.trap.url, times=None)
    )


def plain_http(scene: Scene) -> None:
    """The URL of the server has no s, and somebody is on the way."""
    scene.server = "http://prefix.dev"
    scene.env |= {"HTTP_PROXY": scene.trap.url, "http_proxy": scene.trap.url}


def server_called(url: str) -> Callable[[Scene], None]:
    """A server that is not prefix.dev."""
    return lambda scene: setattr(scene, "server", url)


def upload_echoes(scene: Scene) -> None:
    """A server that says what it was sent, as careless ones do."""
    scene.world.prefix.plan(Fault("echo", when="upload", status=403, times=None))


def mint_echoes(scene: Scene) -> None:
    """The same with the identity, which the job has in a variable."""
    scene.env = scene.world.gitlab()
    mint_answers(403, body=f"not good enough: {scene.env['PREFIX_DEV_ID_TOKEN']}")(scene)


def attested(scene: Scene) -> None:
    """Attestations are asked for."""
    scene.options["generate_attestation"] = True


def attested_with_a_key(scene: Scene) -> None:
    """The same with an API key, where prefix.dev takes none."""
    scene.options |= {"generate_attestation": True, "api_key": scene.api_key}


def attestation_with_a_key(scene: Scene) -> None:
    """The same with an attestation that was made elsewhere."""
    scene.packages(1)
    scene.options |= {"attestation_file": str(*scene.attest(*scene.files)), "api_key": scene.api_key}


def attested_outside_ci(scene: Scene) -> None:
    """There is nobody to sign as."""
    attested(scene)
    scene.env = scene.world.network


def attestation_of_one(scene: Scene) -> None:
    """One package, with its attestation."""
    scene.packages(1)
    scene.options["attestation_file"] = str(*scene.attest(*scene.files))


def attestation_of_one_for_two(scene: Scene) -> None:
    """Two packages, and the attestation of the first."""
    scene.packages(2)
    scene.options["attestation_file"] = str(*scene.attest(scene.files[0]))


def attestations_in_one_file(scene: Scene) -> None:
    """Two packages, and a file with an attestation of each."""
    scene.packages(2)
    made = [json.loads(file.read_text()) for file in scene.attest(*scene.files)]
    both = scene.folder / "both.sigs"
    both.write_text(json.dumps(made))
    scene.options["attestation_file"] = str(both)


def attestation_of_another(scene: Scene) -> None:
    """One package, and the attestation of another one."""
    scene.packages(2)
    first, second = scene.files
    scene.files = [second]
    scene.options["attestation_file"] = str(*scene.attest(first))


# --- cases ------------------------------------------------------------------------------------------------------------


def refused(*, says: str, asked: bool = True) -> Seen:
    """Nothing was published, and whoever reads the output knows why."""
    return Seen(went_well=False, identities=PREFIX if asked else (), says=says)


def gave_away(host: str, *, went_well: bool = True) -> Seen:
    """*host* has an identity, which it can have made for itself only; and it may say that it took the packages."""
    return Seen(went_well=went_well, identities=(host,), told=("id-token",))


NOT_SENT: Final = Seen(went_well=False)
NOT_A_TOKEN: Final = Seen(went_well=False, identities=PREFIX, says="HTTP 401")
"""Whatever came in place of the token was sent as one."""

CASES: Final = [
    Case("github", as_it_is, WELL, WELL),
    Case(
        "gitlab",
        job_of_gitlab,
        replace(WELL, identities=()),
        replace(WELL, identities=()),
    ),
    Case("fifty packages", fifty_packages, replace(WELL, uploaded=50), replace(WELL, uploaded=50)),
    Case(
        "token expires half-way",
        token_that_expires,
        replace(WELL, went_well=False, says="HTTP 401"),
        replace(WELL, uploaded=6, identities=PREFIX * 2, exchanges=2, used=("token 1", "token 2")),
    ),
    # Which credential.
    Case("stored key beside", stored_key, WELL, WELL),
    Case(
        "refused, stored key",
        refused_with_a_stored_key,
        Seen(went_well=True, uploaded=3, identities=PREFIX, used=("the key",)),
        Seen(went_well=True, uploaded=3, identities=PREFIX, used=("the key",), says="invalid-publisher"),
    ),
    Case(
        "no permission, stored key",
        no_permission_with_a_stored_key,
        Seen(went_well=True, uploaded=3, used=("the key",)),
        Seen(went_well=True, uploaded=3, used=("the key",)),  # and why, with --verbose
    ),
    Case("PREFIX_API_KEY", key_in_the_environment, WELL, Seen(went_well=True, uploaded=3, used=("the key",))),
    # No identity.
    Case("no permission", no_permission, NOTHING_SAID, refused(asked=False, says="id-token: write")),
    Case(
        "identity endpoint 403",
        identity_endpoint(403),
        replace(NOTHING_SAID, identities=PREFIX),
        refused(says="403"),
    ),
    Case(
        "identity endpoint 500",
        identity_endpoint(500),
        replace(NOTHING_SAID, identities=PREFIX * 4),
        replace(refused(says="500"), identities=PREFIX * 5),
    ),
    Case(
        "identity for another",
        identity_for_another,
        replace(NOTHING_SAID, identities=PREFIX),
        refused(says="is made for pypi"),
    ),
    # No token for it.
    Case(
        "not a publisher",
        not_a_publisher,
        replace(NOTHING_SAID, identities=PREFIX),
        refused(says="owner acme, repository foo"),
    ),
    Case(
        "mint 403",
        mint_answers(403, body="not on a Sunday"),
        replace(NOTHING_SAID, identities=PREFIX),
        refused(says="not on a Sunday"),
    ),
    Case(
        "mint 500",
        mint_answers(500),
        replace(NOTHING_SAID, identities=PREFIX),
        replace(refused(says="500"), identities=PREFIX * 5),
    ),
    Case("mint HTML", mint_answers(200, "html"), NOT_A_TOKEN, refused(says="a web page")),
    Case(
        "mint JSON",
        mint_answers(200, "json", '{"token": "abc"}'),
        NOT_A_TOKEN,
        refused(says="a document in place of a token"),
    ),
    Case("mint empty", mint_answers(200, "empty"), NOT_A_TOKEN, refused(says="an empty token")),
    Case(
        "mint newline",
        newline_behind_the_token,
        Seen(went_well=False, identities=PREFIX, exchanges=1, says="builder error"),
        replace(refused(says="has a line break in it"), exchanges=1),
    ),
    Case(
        "mint answer lost",
        mint_answer_lost,
        replace(NOTHING_SAID, identities=PREFIX, exchanges=1),
        replace(WELL, identities=PREFIX * 2, exchanges=2, used=("token 2",)),
    ),
    # Who else hears of it.
    Case("mint 302", mint_redirects(302), NOT_A_TOKEN, refused(says="302")),
    Case("mint 307", mint_redirects(307), replace(NOT_A_TOKEN, told=("id-token",)), refused(says="307")),
    Case("mint 308", mint_redirects(308), replace(NOT_A_TOKEN, told=("id-token",)), refused(says="308")),
    Case("http", plain_http, gave_away("prefix.dev"), NOT_SENT),
    Case("evil-prefix.dev", server_called("https://evil-prefix.dev"), gave_away("evil-prefix.dev"), NOT_SENT),
    Case(
        "prefix.dev.evil.com", server_called("https://prefix.dev.evil.com"), gave_away("prefix.dev.evil.com"), NOT_SENT
    ),
    Case(
        "trailing dot",
        server_called("https://prefix.dev."),
        replace(NOTHING_SAID, identities=("prefix.dev.",)),
        NOT_SENT,
    ),
    Case("userinfo", server_called("https://prefix.dev@example.com"), gave_away("example.com"), NOT_SENT),
    Case("backslash", server_called("https://example.com\\@prefix.dev"), gave_away("example.com"), NOT_SENT),
    Case("dotless i", server_called("https://pref\u0131x.dev"), gave_away("xn--prefx-q4a.dev"), NOT_SENT),
    Case(
        "upload echoes the token",
        upload_echoes,
        Seen(went_well=False, identities=PREFIX, exchanges=1, shown=("minted",)),
        Seen(went_well=False, identities=PREFIX, exchanges=1, says="rejected credential"),
    ),
    Case("mint echoes the identity", mint_echoes, NOTHING_SAID, refused(asked=False, says="not good enough: ****")),
    # Attestations.
    Case(
        "attested",
        attested,
        Seen(went_well=False, identities=("prefix.dev", "sigstore"), exchanges=1, says="tuf-repo-cdn.sigstore.dev"),
        replace(WELL, identities=("sigstore", "prefix.dev"), attested=3),
    ),
    Case(
        "attested, API key",
        attested_with_a_key,
        Seen(went_well=False, says="--generate-attestation cannot be used with an API key"),
        Seen(went_well=False, identities=("sigstore",), says="trusted publishing"),
    ),
    Case(
        "attestation file, API key",
        attestation_with_a_key,
        Seen(went_well=False, says="--generate-attestation cannot be used with an API key"),
        Seen(went_well=False, says="trusted publishing"),
    ),
    Case(
        "attested, outside CI",
        attested_outside_ci,
        Seen(went_well=False, says="attestation requested but trusted publishing is not configured"),
        Seen(went_well=False, says="needs an identity to sign with"),
    ),
    Case(
        "attestation file",
        attestation_of_one,
        replace(WELL, uploaded=1, attested=1),
        replace(WELL, uploaded=1, attested=1),
    ),
    Case(
        "attestation file, two packages",
        attestation_of_one_for_two,
        replace(WELL, uploaded=2, attested=1, misattested=1),
        refused(says="demo1-1.0-h0_0.conda has no attestation", asked=False),
    ),
    Case(
        "two attestations in one file",
        attestations_in_one_file,
        replace(WELL, uploaded=2, misattested=2),  # each with the whole file
        replace(WELL, uploaded=2, attested=2),
    ),
    Case(
        "attestation of another",
        attestation_of_another,
        replace(WELL, uploaded=1, misattested=1),
        refused(says="which is not published here", asked=False),
    ),
]


@pytest.fixture(autouse=True)
def _peer(require_peer):
    available = importlib.util.find_spec("rattler_build") is not None
    require_peer("py-rattler-build", available, "the package py-rattler-build is not installed")


def outcome(folder: Path, case: Case, program: Callable[[Scene], Finished]) -> Seen:
    """What is seen of *program* in *case*; with GitHub and prefix.dev, it has to have kept to the protocols."""
    with Scene(folder) as scene:
        case.arrange(scene)
        found = seen(scene, program(scene))
    scene.world.prefix.assert_clean()
    scene.world.actions.assert_clean()
    return found


def assert_as_expected(found: Seen, expected: Seen) -> None:
    """Fail where more or less was seen, or something else was said."""
    assert found == expected, found.says
    assert expected.says in found.says


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_keelback_publishes_or_says_why_not_and_tells_nobody_else(tmp_path: Path, case: Case) -> None:
    """No identity or token goes to anybody else or is shown, and nothing is published but what was asked for."""
    assert (case.keelback.told, case.keelback.shown, case.keelback.misattested) == ((), (), 0)
    assert_as_expected(outcome(tmp_path, case, keelback), case.keelback)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rattler_build_did_this_when_it_was_observed(tmp_path: Path, case: Case) -> None:
    """What the other uploader does in the same case, seen by the same servers."""
    assert_as_expected(outcome(tmp_path, case, rattler_build), case.rattler_build)
