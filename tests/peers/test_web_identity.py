"""keelback gets keys for an identity from a real security token service, and boto3 works with them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback import Retry
from keelback.credentials.oidc.idtoken import IdToken
from keelback.credentials.oidc.roles import Role
from keelback.credentials.oidc.webidentity import Keys, exchange
from keelback.errors import ExchangeError
from keelback.secret import Secret
from keelback.transport import Client
from peers import seaweedfs
from servers.scripted.issuers import Issuer, IssuerServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.peer("seaweedfs")

AUDIENCE = "127.0.0.1"
SUBJECT = "repo:acme/foo:ref:refs/tags/v1"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """A CI system, whose public keys are found under its own URL."""
    made = Issuer("", {"sub": SUBJECT, "repository": "acme/foo"}, kid="seaweedfs-1")
    with IssuerServer(made) as server:
        made.url = server.url
        yield made


@pytest.fixture
def server(require_peer: Callable[[str, bool, str], None], request: pytest.FixtureRequest) -> seaweedfs.SeaweedFS:
    """The server of this module."""
    require_peer("seaweedfs", not seaweedfs.WHY_NOT, seaweedfs.WHY_NOT)
    running = request.getfixturevalue("running_server")  # not before it is known that there is one
    assert isinstance(running, seaweedfs.SeaweedFS)
    return running


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[seaweedfs.SeaweedFS]:
    """It takes seconds to start, so it is started once."""
    folder = tmp_path_factory.mktemp("seaweedfs") / "server"
    with seaweedfs.serving(folder, issuer=issuer.url, audience=AUDIENCE) as running:
        yield running


def assume(server: seaweedfs.SeaweedFS, token: str, *, audience: str = AUDIENCE, **changes: str) -> Keys:
    """The keys that the server gives for *token*, in an environment that names the role."""
    variables = {"AWS_ROLE_ARN": seaweedfs.ROLE, "AWS_ENDPOINT_URL": server.url, **changes}
    role = Role.named_in(variables)
    assert role is not None
    # that an identity is for another server is found out before it is sent; here, the server has to find it out
    identity = IdToken.parse(Secret(token), audience=audience, source="a test")
    with Client(retry=Retry(attempts=2, base=0.1)) as client:
        keys = exchange(client, role, lambda: identity)
    for secret in (keys.credentials.secret_access_key, keys.credentials.session_token):
        assert secret is not None
        leaks.watch(secret.reveal(), "keys")
    return keys


def test_keys_for_an_identity_open_the_object_store(server: seaweedfs.SeaweedFS, issuer: Issuer) -> None:
    """They are good for an hour, and for what the role may do."""
    keys = assume(server, issuer.token(AUDIENCE))
    assert 3500 < keys.expires_at - time.time() <= 3601
    assert server.stores(keys.credentials, "conda", "{}") == "{}"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"audience": "elsewhere.example"}, "audience"),
        ({"iat": 1, "nbf": 1, "exp": 2}, "ExpiredTokenException"),
        ({"iss": "https://evil.example"}, "trust policy denies"),
    ],
    ids=["audience", "expired", "issuer"],
)
def test_the_service_refuses_an_identity_that_is_not_for_it(
    server: seaweedfs.SeaweedFS, issuer: Issuer, claims: dict[str, Any], why: str
) -> None:
    """Its words are in the error; the identity is not."""
    with pytest.raises(ExchangeError, match=why) as caught:
        assume(server, issuer.token(**{"audience": AUDIENCE, **claims}), audience=claims.get("audience", AUDIENCE))
    leaks.check(f"{caught.value} {caught.value.hint}", "the error")


def test_the_service_refuses_an_identity_that_somebody_else_signed(server: seaweedfs.SeaweedFS, issuer: Issuer) -> None:
    """Whatever it says."""
    forger = Issuer(issuer.url, issuer.claims, kid="forged-1")
    forger.kid = issuer.kid
    with pytest.raises(ExchangeError):
        assume(server, forger.token(AUDIENCE))


def test_a_role_that_is_not_there_cannot_be_assumed(server: seaweedfs.SeaweedFS, issuer: Issuer) -> None:
    """The hint names it."""
    with pytest.raises(ExchangeError) as caught:
        assume(server, issuer.token(AUDIENCE), AWS_ROLE_ARN="arn:aws:iam::role/Admin")
    assert "arn:aws:iam::role/Admin" in caught.value.hint
