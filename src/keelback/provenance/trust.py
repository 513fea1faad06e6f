"""Whom to trust: the certificate authority, the logs and the time stamps of a Sigstore deployment."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from keelback.archive.source import reason
from keelback.errors import AttestationError, KeelbackError, TransportError, UsageError
from keelback.findings import printable
from keelback.hosts import host_of
from keelback.provenance.faults import fault_in, words_of
from keelback.secret import redact
from keelback.transport import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sigstore.models import ClientTrustConfig
    from sigstore.verify import Verifier

VARIABLE: Final = "KEELBACK_TRUST_CONFIG"
_LARGEST: Final = 4 << 20
_SECONDS: Final = 30.0
"""How long it may take to bring the public keys up to date: a dozen small files."""


def require_sigstore() -> None:
    """See that ``sigstore`` is there, and that it keeps its messages to itself.

    Raises:
        AttestationError: code ``no-sigstore``: it is not.
    """
    try:
        import sigstore  # noqa: F401, PLC0415 - whether it is there is the question
    except ImportError:
        raise AttestationError(
            "attestations need the package sigstore, which is not installed",
            hint="Install keelback with its extra: pip install 'keelback[provenance]'.",
            code="no-sigstore",
        ) from None
    logger = logging.getLogger("sigstore")
    if not logger.handlers:  # otherwise Python prints its warnings to standard error, where nobody has set up logging
        logger.addHandler(logging.NullHandler())


class Trust:
    """A Sigstore deployment: the public one, or a private one that a file describes. Safe to use from many threads.

    Args:
        config: a file with a Sigstore ``ClientTrustConfig``; ``None`` for the public deployment, whose keys are brought
            up to date once a run, over TUF.
        offline: whether the public keys are taken as they were the last time, or came with ``sigstore``; ``None``: they
            are not, and the user cannot choose.
    """

    def __init__(self, config: Path | None = None, *, offline: bool | None = None) -> None:
        self._config = config
        self._offline = offline
        self._lock = threading.Lock()
        self._loaded: ClientTrustConfig | None = None
        self._failure: KeelbackError | None = None
        self._verifier: Verifier | None = None

    @classmethod
    def from_options(cls, file: str | Path | None, environ: Mapping[str, str], *, offline: bool | None = None) -> Trust:
        """What ``--trust-config`` says, else the variable ``KEELBACK_TRUST_CONFIG``, else the public deployment."""
        chosen = file or environ.get(VARIABLE)
        return cls(Path(chosen) if chosen else None, offline=offline)

    @property
    def file(self) -> str | None:
        """The file that describes the deployment; ``None``: it is the public one."""
        return None if self._config is None else str(self._config)

    def check(self) -> None:
        """See that the file, where there is one, can be used; the public deployment is asked for nothing yet.

        Raises:
            keelback.errors.UsageError: it is not there, or is something else.
            AttestationError: ``sigstore`` is not installed.
        """
        if self._config is not None:
            self.verifier()

    def load(self) -> ClientTrustConfig:
        """Keys and addresses of the deployment.

        Raises:
            keelback.errors.UsageError: the file is not there, or is something else.
            TransportError: the public keys cannot be brought up to date.
            AttestationError: ``sigstore`` is not installed.
        """
        with self._lock:
            if self._failure is not None:  # the others have waited for this one
                raise self._failure
            if self._loaded is None:
                require_sigstore()
                try:
                    self._loaded = _public(offline=self._offline) if self._config is None else _private(self._config)
                except KeelbackError as error:
                    self._failure = error
                    raise
            return self._loaded

    def verifier(self) -> Verifier:
        """What verifies bundles of this deployment; raises as :meth:`load`."""
        config = self.load()
        from sigstore.verify import Verifier  # noqa: PLC0415 - comes with the extra

        with self._lock:
            if self._verifier is None:
                try:
                    self._verifier = Verifier(trusted_root=config.trusted_root)
                except Exception as error:  # noqa: BLE001 - whatever is wrong with the user's file, and sigstore's own errors differ
                    raise self._useless(error) from None
            return self._verifier

    def _useless(self, error: Exception) -> UsageError:
        return UsageError(
            f"{self._name()} has no keys that attestations could be verified with: {words_of(error)}",
            hint="Ask whoever runs that Sigstore deployment for its client trust configuration.",
        )

    def _name(self) -> str:
        return "Sigstore's own trust root" if self._config is None else printable(str(self._config))


def check_address(url: str) -> None:
    """See that an identity may go to *url*: https, or a server on this machine.

    Raises:
        TransportError: code ``plain-http``.
    """
    host = host_of(url)
    if not host or not (url.startswith("https://") or is_loopback(host)):
        raise TransportError(
            f"{redact(printable(url))} is not https, so that anyone on the way could read the identity; nothing was "
            "sent",
            hint="Put the https address of that server into the trust configuration.",
            code="plain-http",
        )


def _public(*, offline: bool | None) -> ClientTrustConfig:
    from sigstore.models import ClientTrustConfig  # noqa: PLC0415 - comes with the extra

    try:
        if offline:
            return ClientTrustConfig.production(offline=True)
        return _in_time(ClientTrustConfig.production, _SECONDS)
    except Exception as error:  # noqa: BLE001 - sigstore, tuf, urllib3 and the file system each have errors of their own
        cause = error.__cause__ or error
        if offline:
            raise TransportError(
                f"Sigstore's trust root cannot be read: {words_of(cause)}",
                hint="It is kept in your folders for data and caches, which have to be there and writable.",
            ) from None
        raise TransportError(
            f"Sigstore's trust root cannot be brought up to date: {words_of(cause)}",
            hint="Check the network and its proxy (HTTPS_PROXY)"
            + ("." if offline is None else "; with --offline, the keys that are here have to do."),
        ) from None


def _in_time(work: Callable[[], ClientTrustConfig], seconds: float) -> ClientTrustConfig:
    """What *work* gives, in a thread that does not keep the process from ending.

    Raises:
        TimeoutError: it takes longer; its library gives each address that does not answer a time of its own.
    """
    result: Future[ClientTrustConfig] = Future()

    def carry_out() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised below, where somebody waits for it
            result.set_exception(error)

    Thread(target=carry_out, name="trust-root", daemon=True).start()
    try:
        return result.result(seconds)
    except TimeoutError:
        if result.done():
            raise
        raise TimeoutError(f"that took longer than {seconds:g} seconds") from None


def _private(file: Path) -> ClientTrustConfig:
    from sigstore.models import ClientTrustConfig  # noqa: PLC0415 - comes with the extra

    try:
        with file.open("rb") as stream:
            document = stream.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"the trust configuration {printable(str(file))} cannot be read: {reason(error)}") from None
    try:
        if len(document) > _LARGEST:
            raise ValueError("it is too large")  # noqa: TRY301 - one hint for whatever is wrong with the file
        config = ClientTrustConfig.from_json(document.decode())
        _ = config.trusted_root, config.signing_config
    except Exception as error:  # noqa: BLE001 - sigstore, pydantic and cryptography each have errors of their own
        raise UsageError(
            f"{printable(str(file))} is no trust configuration of Sigstore: {fault_in(error) or words_of(error)}",
            hint="Give the JSON of a ClientTrustConfig, with mediaType, trustedRoot and signingConfig.",
        ) from None
    return config
