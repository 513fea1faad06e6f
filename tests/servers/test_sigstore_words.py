"""What ``sigstore`` says of an attestation that does not hold, and what keelback makes of these words."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING

import pytest
import sigstore.verify.verifier
from sigstore.errors import VerificationError

from keelback.credentials.oidc.idtoken import IdToken
from keelback.errors import AttestationError
from keelback.indexed import IndexedArchive
from keelback.provenance.signing import Attester
from keelback.provenance.trust import Trust
from keelback.provenance.verifying import open_bundle
from keelback.secret import Secret
from servers.scripted.sigstore_world import SigstoreWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "demo-1.0-h0_0.conda"

CODES = {
    "no Timestamp Authorities have been provided to validate this bundle but it contains a signed timestamp": "time",
    "too many signed timestamp: … > …": "time",
    "duplicate timestamp found": "time",
    "not enough sources of verified time": "time",
    "Integrated time only supported for dsse/hashedrekord 0.0.1 types": "time",
    "invalid signing cert: expired at time of signing, time via …": "time",
    "failed to build timestamp certificate chain: …": "certificate",
    "failed to build timestamp certificate chain: cert is not valid at validation time": "time",
    "failed to verify SCT on signing certificate: …": "certificate",
    "Key usage is not of type `digital signature`": "certificate",
    "Extended usage does not contain `code signing`": "certificate",
    "invalid log entry: …": "log",
    "invalid log entry: SET: invalid inclusion promise: …": "log",
    "invalid DSSE log entry: …": "log",
    "Unsupported DSSE log entry type: …/…": "log",
    "expected SHA256 payload hash in DSSE log entry": "log",
    "log entry payload hash does not match bundle": "log",
    "log entry signatures do not match bundle": "log",
    "transparency log entry is inconsistent with other materials": "log",
    "cannot perform DSSE verification on a bundle without a DSSE envelope": "signature",
    "DSSE envelope must have exactly one signature for hashedrekord encoding": "signature",
    "DSSE: invalid signature": "signature",
}
"""What its verifier says, with … in the place of what differs, and what comes of it."""

OF_ARTIFACTS = {
    "Missing bundle message signature",
    "Bundle message digest mismatch",
    "Signature is invalid for input",
    "Expected entry type hashedrekord, got …",
    "Unsupported hashedrekord version …",
    "invalid hashedrekord log entry: missing message signature",
}
"""What it says only of bundles that hold no statement."""

NOT_SAID = {"trusted root contains no transparency log instances"}
"""What it says of a trust root, not of a bundle."""


class Refusing:
    """A deployment whose verifier says *words* of everything."""

    def __init__(self, words: str) -> None:
        self._words = words

    def verifier(self) -> Refusing:
        """Itself."""
        return self

    def verify_dsse(self, *_: object) -> None:
        """Say them."""
        raise VerificationError(self._words)


@pytest.fixture(scope="module")
def worlds() -> Iterator[dict[int, SigstoreWorld]]:
    """Two deployments, by the version of their log."""
    with SigstoreWorld() as one, SigstoreWorld(rekor=2) as two:
        yield {1: one, 2: two}


def signed(world: SigstoreWorld) -> bytes:
    """An attestation that was made in *world*."""

    def identity() -> IdToken:
        return IdToken.parse(Secret(world.identity(), "the job"), audience="sigstore", source="the job")

    archive = IndexedArchive(
        name="demo", version="1.0", build="h0_0", subdir="noarch", filename=NAME, url="", sha256="5f" * 32
    )
    return Attester(identity, Trust(world.trust_config), None).attest(archive)


def said_by_the_verifier() -> set[str]:
    """Everything that the module says when it refuses something."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(sigstore.verify.verifier))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("VerificationError", "CertValidationError"):
            found |= {text_of(argument) for argument in node.args}
        elif isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["msg"]:
            found.add(text_of(node.value))
    return found - {""}


def text_of(node: ast.expr) -> str:
    """The text that *node* is, with … in the place of what differs; empty where it is something else."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def test_all_that_the_verifier_says_is_known() -> None:
    """A version of ``sigstore`` that says something else has to be looked at: codes and hints hang on its words."""
    assert said_by_the_verifier() - NOT_SAID <= CODES.keys() | OF_ARTIFACTS
    gone = CODES.keys() - said_by_the_verifier()
    assert {text for text in gone if not text.startswith(("invalid log", "failed to build", "DSSE: "))} == set()


@pytest.mark.parametrize(("words", "code"), CODES.items())
def test_what_the_verifier_says_has_its_code(worlds: dict[int, SigstoreWorld], words: str, code: str) -> None:
    """Its own words are in the message."""
    with pytest.raises(AttestationError) as caught:
        open_bundle(signed(worlds[1]), filename=NAME, trust=Refusing(words))  # type: ignore[arg-type] # all that is asked of it
    assert caught.value.code == f"attestation-{code}"
    assert words in caught.value.message


@pytest.mark.parametrize(("made", "trusted"), [(1, 2), (2, 1)])
def test_where_another_deployment_is_trusted_the_hint_says_which_option_names_one(
    worlds: dict[int, SigstoreWorld], made: int, trusted: int
) -> None:
    """That is likelier than that somebody tampered with it."""
    with pytest.raises(AttestationError) as caught:
        open_bundle(signed(worlds[made]), filename=NAME, trust=Trust(worlds[trusted].trust_config))
    assert caught.value.code in {"attestation-certificate", "attestation-time"}
    assert "--trust-config" in caught.value.hint
