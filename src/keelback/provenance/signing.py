"""Makes attestations: signs statements with a key that lives for one run, in the name of the CI system's identity.

(Sigstore's client specification, "Signing": an ephemeral key, a certificate for ten minutes, an entry in the
transparency log, a time stamp.)
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from keelback.credentials.deadlines import DeadlinePassed, within
from keelback.errors import AttestationError, IdentityError, TransportError
from keelback.provenance.failures import AUTHORITY, LOG, Again, explained
from keelback.provenance.statement import Statement, target_channel
from keelback.provenance.trust import check_address, require_sigstore
from keelback.provenance.verifying import open_bundle
from keelback.secret import redact
from keelback.stopping import on_stop
from keelback.transport import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import requests
    from sigstore.oidc import IdentityToken
    from sigstore.sign import Signer, SigningContext

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.credentials.oidc.providers import IdentitySource
    from keelback.provenance.trust import Trust
    from keelback.provenance.verifying import Verified

T = TypeVar("T")

logger = logging.getLogger(__name__)

AUDIENCE: Final = "sigstore"
"""For whom an identity has to be made that Sigstore takes."""
_SECONDS: Final = 120.0
"""For one attestation: ``sigstore`` itself would wait for its servers without end."""
_WHERE: Final = (
    "Attest in GitHub Actions, GitLab CI, Buildkite, CircleCI or on Google Cloud, or give an ID token with the "
    f"audience {AUDIENCE} by --oidc-token."
)
_MARGIN: Final = timedelta(seconds=60)
"""How long before its certificate ends a key is no longer used: the time stamp comes after the signature."""


class Attestable(Protocol):
    """What an attestation can be made of: a package, by its name and its hash."""

    @property
    def filename(self) -> str:
        """The name of the file, without its folder."""

    @property
    def sha256(self) -> str:
        """Its SHA-256, in hexadecimal."""


def signing_identity(source: IdentitySource, *, hint: str = _WHERE) -> Callable[[], IdToken]:
    """What gives an :class:`Attester` its identities: those of *source*, for Sigstore.

    The function that is returned raises IdentityError, with the *hint*, where no CI system offers any.
    """

    def identity() -> IdToken:
        found = source.identity(AUDIENCE)
        if found is None:
            raise IdentityError(
                "an attestation needs an identity to sign with, and none is offered here: this is no known CI system",
                hint=hint,
            )
        return found

    return identity


class _Key(NamedTuple):
    """What is signed with; ``expires`` is ``None`` until the first signature shows the certificate."""

    signer: Signer
    identity: IdToken
    recorders: Sequence[object]
    expires: datetime | None = None

    def about_to_expire(self) -> bool:
        return self.expires is not None and datetime.now(UTC) > self.expires - _MARGIN


class Signed(NamedTuple):
    """What was signed.

    Attributes:
        bundle: the attestation, a Sigstore bundle as JSON.
        verified: what it says, and who says it, as others will find it.
    """

    bundle: bytes
    verified: Verified


class Attester:
    """Makes the attestations of one run; from as many threads as wanted.

    Args:
        identity: gives a fresh identity for the audience ``sigstore``; called once, and again when what was signed with
            has expired. What it raises is passed on.
        trust: the Sigstore deployment.
        channel_url: where the packages go, to be put into each attestation, without secrets; ``None``: it is left open.
        retry: how often, and how patiently, a server is asked again.

    Raises:
        keelback.errors.UsageError: *channel_url* is none.
    """

    def __init__(
        self,
        identity: Callable[[], IdToken],
        trust: Trust,
        channel_url: str | None = None,
        *,
        retry: Retry | None = None,
    ) -> None:
        self._identity = identity
        self._trust = trust
        self._channel = None if channel_url is None else target_channel(channel_url)
        self._retry = retry or Retry()
        self._lock = threading.Lock()
        self._key: _Key | None = None

    def prepare(self) -> None:
        """Have all that is signed with, the certificate included: what fails here would fail for every package.

        Raises as :meth:`attest`.
        """
        require_sigstore()
        self._persist(self._current_key)

    def attest(self, package: Attestable) -> bytes:
        """An attestation of *package*: a Sigstore bundle, as JSON; otherwise as :meth:`sign`."""
        return self.sign(package).bundle

    def sign(self, package: Attestable) -> Signed:
        """An attestation of *package*, and what it says.

        It is verified before it is handed out: what nobody could verify is never published.

        Raises:
            IdentityError: there is no identity, or it cannot be used.
            AttestationError: the deployment did not sign; code ``no-sigstore``: the extra is not installed.
            TransportError: one of its servers cannot be reached.
            keelback.errors.Interrupted: the user has stopped the run.
        """
        require_sigstore()
        statement = Statement(package.filename, package.sha256, self._channel)
        bundle = self._persist(lambda: self._signed(statement))
        verified = open_bundle(bundle, filename=package.filename, trust=self._trust)
        if verified.statement != statement:
            raise AttestationError(f"{package.filename}: something else was signed than was asked for", code="signing")
        return Signed(bundle, verified)

    def _persist(self, sign: Callable[[], T]) -> T:
        """What *sign* returns, however often it takes."""
        attempt = 1
        while True:
            try:
                return sign()
            except Again as again:
                attempt += 1
                wait = self._retry.wait_before(attempt, again.retry_after)
                if wait is None:
                    again.error.attempts = attempt - 1
                    raise again.error from None
                logger.info("%s; trying again in %.1f s", again.error, wait)
                _pause(wait)

    def _signed(self, statement: Statement) -> bytes:
        from sigstore import dsse  # noqa: PLC0415 - comes with the extra

        key = self._current_key()

        def sign() -> tuple[bytes, datetime]:
            _without_netrc(key.recorders)
            bundle = key.signer.sign_dsse(dsse.Statement(statement.to_json()))
            return bundle.to_json().encode(), bundle.signing_certificate.not_valid_after_utc

        try:
            document, expires = _in_time(sign)
        except Exception as error:  # noqa: BLE001 - sigstore, requests and pydantic each have errors of their own
            if _has_expired(error):
                self._replace(key, None)
                raise Again(
                    AttestationError(
                        "the certificate to sign with was issued, and had expired before it was used",
                        hint="See whether the clock of this machine is right.",
                        code="signing",
                    )
                ) from None
            raise explained(error, LOG, key.identity) from None
        self._replace(key, key._replace(expires=expires))
        return document

    def _current_key(self) -> _Key:
        """The key that all threads sign with; a new one, with a new identity, where it is about to expire."""
        with self._lock:
            if self._key is None or self._key.about_to_expire():
                self._key = self._new_key()
            return self._key

    def _replace(self, key: _Key, other: _Key | None) -> None:
        with self._lock:
            if self._key is key:
                self._key = other

    def _new_key(self) -> _Key:
        identity = self._identity()  # first: without one, nobody needs to be asked
        token = _token(identity)
        context, recorders = _servers(self._trust)

        def certify() -> Signer:
            with context.signer(token) as signer:
                return signer

        try:
            signer = _in_time(certify)
        except Exception as error:  # noqa: BLE001 - sigstore, requests and pydantic each have errors of their own
            raise explained(error, AUTHORITY, identity) from None
        logger.info("signing with the identity from %s: %s", identity.source, ", ".join(identity.shown()))
        return _Key(signer, identity, recorders)


def _token(identity: IdToken) -> IdentityToken:
    from sigstore.oidc import IdentityError as Unusable  # noqa: PLC0415 - comes with the extra
    from sigstore.oidc import IdentityToken  # noqa: PLC0415 - likewise

    try:
        return IdentityToken(identity.secret.reveal(), AUDIENCE)
    except Unusable as error:
        why = error.__cause__ or error
        raise IdentityError(
            f"the identity from {identity.source} cannot sign: {redact(str(why))} ({', '.join(identity.shown())})",
            hint="Take an ID token that was made just before: it is good for some minutes.",
        ) from None


def _servers(trust: Trust) -> tuple[SigningContext, Sequence[object]]:
    """The servers of a deployment, as ``sigstore`` asks them; and those of them that are sent no identity."""
    config = trust.load()
    from sigstore.sign import SigningContext  # noqa: PLC0415 - comes with the extra

    signing = config.signing_config
    fulcio, rekor, authorities = signing.get_fulcio(), signing.get_tlogs()[0], signing.get_tsas()
    check_address(fulcio.url)
    fulcio.session.max_redirects = 0  # the identity goes to that server, and to no other
    fulcio.session.auth = _as_it_is
    context = SigningContext(fulcio=fulcio, rekor=rekor, trusted_root=config.trusted_root, tsa_clients=authorities)
    return context, (rekor, *authorities)


def _without_netrc(clients: Sequence[object]) -> None:
    """Keep ``requests`` from sending what a netrc file has for a server, or for any, to servers that ask for nothing.

    ``sigstore`` has a session for each thread, and no other way to it.
    """
    for client in clients:
        session = getattr(client, "_session", None)
        if session is not None:
            session.auth = _as_it_is


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """What ``requests`` asks for a credential before it looks into a netrc file."""
    return request


def _has_expired(error: Exception) -> bool:
    from sigstore.oidc import ExpiredIdentity  # noqa: PLC0415 - comes with the extra

    return isinstance(error, ExpiredIdentity) or type(error).__name__ == "ExpiredCertificate"  # which is not public


def _in_time(call: Callable[[], T]) -> T:
    try:
        return within(_SECONDS, call, "keelback-sigstore")
    except DeadlinePassed:
        raise TransportError(
            f"Sigstore did not answer in time ({_SECONDS:g} seconds)", hint="Check the network, or try again later."
        ) from None


def _pause(seconds: float) -> None:
    """Wait; less where the user stops the run, which the next step then finds out."""
    over = threading.Event()
    with on_stop(over.set):
        over.wait(seconds)
