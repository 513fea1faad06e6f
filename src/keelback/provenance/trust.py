"""Whom to trust: the certificate authority, the logs and the time stamps of a Sigstore deployment."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive.source import reason
from keelback.errors import AttestationError, TransportError, UsageError
from keelback.findings import printable
from keelback.hosts import host_of
from keelback.secret import redact
from keelback.transport import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sigstore.models import ClientTrustConfig
    from sigstore.verify import Verifier

VARIABLE: Final = "KEELBACK_TRUST_CONFIG"
_LARGEST: Final = 4 << 20


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
        offline: whether the public keys are taken as they were the last time, or came with ``sigstore``.
    """

    def __init__(self, config: Path | None = None, *, offline: bool = False) -> None:
        self._config = config
        self._offline = offline
        self._lock = threading.Lock()
        self._loaded: ClientTrustConfig | None = None
        self._verifier: Verifier | None = None

    @classmethod
    def from_options(cls, file: str | None, environ: Mapping[str, str], *, offline: bool = False) -> Trust:
        """What ``--trust-config`` says, else the variable ``KEELBACK_TRUST_CONFIG``, else the public deployment."""
        chosen = file or environ.get(VARIABLE)
        return cls(Path(chosen) if chosen else None, offline=offline)

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
            if self._loaded is None:
                require_sigstore()
                self._loaded = _public(offline=self._offline) if self._config is None else _private(self._config)
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
            f"{self._name()} has no keys that attestations could be verified with: {_words(error)}",
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


def _public(*, offline: bool) -> ClientTrustConfig:
    from sigstore.models import ClientTrustConfig  # noqa: PLC0415 - comes with the extra

    try:
        return ClientTrustConfig.production(offline=offline)
    except Exception as error:  # noqa: BLE001 - sigstore, tuf, urllib3 and the file system each have errors of their own
        cause = error.__cause__ or error
        if offline:
            raise TransportError(
                f"Sigstore's trust root cannot be read: {_words(cause)}",
                hint="It is kept in your folders for data and caches, which have to be there and writable.",
            ) from None
        raise TransportError(
            f"Sigstore's trust root cannot be brought up to date: {_words(cause)}",
            hint="Check the network and its proxy; 'keelback verify --offline' makes do with the keys that are here.",
        ) from None


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
            f"{printable(str(file))} is no trust configuration of Sigstore: {_what_is_wrong(error)}",
            hint="Give the JSON of a ClientTrustConfig, with mediaType, trustedRoot and signingConfig.",
        ) from None
    return config


def _what_is_wrong(error: Exception) -> str:
    """The first member of a trust configuration with which *error* finds fault, and which fault."""
    details = getattr(error, "errors", None)
    if not callable(details):  # it is not of pydantic, which reads the file for sigstore
        return _words(error)
    first = details()[0]
    member = printable(".".join(map(str, first["loc"])), 200)
    match first["type"]:
        case "json_invalid":
            return "it is not JSON"
        case "missing":
            return f"{member} is missing"
        case "extra_forbidden":
            return f"{member} has no place in it"
    return f"{member or 'it'} is not what it has to be: {_words(first['msg'])}"


def _words(error: BaseException | str) -> str:
    """What *error* says, in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"
