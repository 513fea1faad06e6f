"""The credential for a channel in Azure Blob Storage: given, in a variable, stored, or a token of Entra ID."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.channels.access import Access
from keelback.channels.answers import exchanged_source
from keelback.channels.exchange import Exchange, exchanged_token, not_exchanged
from keelback.credentials.azure import cli, entra
from keelback.credentials.azure.connection import VARIABLE, Connection
from keelback.credentials.azure.managed import NAME, ManagedIdentity
from keelback.credentials.azure.sharedkey import SharedKey
from keelback.credentials.azure.signatures import SharedAccessSignature, is_signature
from keelback.credentials.azure.tokens import EntraToken, RenewedToken, VersionedToken
from keelback.credentials.kinds import BasicHTTP, BearerToken, check_token
from keelback.credentials.lookup import find, require
from keelback.errors import CredentialError, ExchangeError, IdentityError, UsageError
from keelback.hosts import host_of
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.channels.buckets.azureplace import Place
    from keelback.channels.session import Session
    from keelback.credentials.kinds import Credential
    from keelback.credentials.oidc.exchanged import Exchanged

_log = logging.getLogger("keelback.credentials")

KEYS: Final = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY")
SIGNATURE: Final = "AZURE_STORAGE_SAS_TOKEN"
VARIABLES: Final = (*KEYS, SIGNATURE, VARIABLE)
"""What holds a credential; the names that Azure's command-line tool and other libraries read."""
_ACCOUNTS: Final = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
"""Whose the keys and signatures in variables are (Azure CLI documentation, "az storage", global parameters)."""

CHAIN: Final = "AZURE_TOKEN_CREDENTIALS"
"""Of Azure's own libraries: ``prod``, ``dev``, or the name of the one kind of credential to use."""


GIVE_ONE: Final = (
    "Set AZURE_STORAGE_ACCOUNT, and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; or store a key, a shared access "
    "signature or a token for that host with keelback auth login."
)


def find_azure(session: Session, place: Place) -> Access | None:
    """The credential for *place*; ``None`` where none of them is there, so that only what is public can be read.

    In this order: what was given with the command; the variables of :data:`VARIABLES`, for the account that a variable
    names; the stores, by the endpoint; and a token of Entra ID: of the application that ``AZURE_TENANT_ID`` and
    ``AZURE_CLIENT_ID`` name, with the identity in ``AZURE_FEDERATED_TOKEN_FILE``, the secret in ``AZURE_CLIENT_SECRET``
    or the identity of the CI system; of the managed identity; of whoever is logged in with Azure's command-line tool.
    Such a token is good for all accounts of its owner, so that it goes to Azure's own clouds only, and to this machine.

    Raises:
        UsageError: a variable is invalid, or would go to two servers; or no variable says for which account one is.
        CredentialError: a credential that cannot be used.
    """
    if not place.takes_any_token:
        if session.trusted.insists:
            raise CredentialError(no_token(place), hint=GIVE_ONE)
        access = _given(session, place) or _in_variables(session, place) or _stored(session, place)
        if access is None:
            _log.info(no_token(place))
        return access
    if session.trusted.insists:
        access = _exchanged(session)
        if access is None:
            raise _not_exchanged(session, place)
        return access
    return _given(session, place) or _in_variables(session, place) or _stored(session, place) or _token(session)


def no_token(place: Place) -> str:
    """The message that no token of Entra ID is sent to *place* unless it was given for it."""
    return (
        f"{host_of(place.endpoint)} is not a host of Azure's own clouds, so that no token of Entra ID (az login, a "
        "managed identity, an application) goes there by itself"
    )


def _given(session: Session, place: Place) -> Access | None:
    given = session.given
    if given.api_key is not None:
        return Access(_of_text(given.api_key, place), given.source)
    if given.password is None:
        return None
    if given.username not in (None, place.account):
        raise UsageError(
            f"the key of {given.username!r} is not one of the storage account {place.account!r}",
            hint="Give the name of the account as --username, or no name.",
        )
    return Access(SharedKey(place.account, given.password), given.source)


def _of_text(secret: Secret, place: Place) -> Credential:
    """What *secret* is: a shared access signature, a token (a JWT, as all of Entra ID are), or the account's key."""
    if is_signature(secret.reveal()):
        return SharedAccessSignature(secret)
    if secret.reveal().count(".") == 2:
        return EntraToken(check_token(secret, secret.source or "the credential"))
    return SharedKey(place.account, secret)


def _in_variables(session: Session, place: Place) -> Access | None:
    if _owner(session) == place.account:
        for name in KEYS:
            key = session.variable(name, place.endpoint)
            if key is not None:
                return Access(SharedKey(place.account, key), key.source)
        signature = session.variable(SIGNATURE, place.endpoint)
        if signature is not None:
            return Access(SharedAccessSignature(signature), signature.source)
    connection = Connection.named_in(session.environ)
    if connection is None or connection.account != place.account:
        return None
    if connection.key is not None:
        return Access(SharedKey(place.account, connection.key), connection.key.source)
    if connection.signature is not None:
        return Access(SharedAccessSignature(connection.signature), connection.signature.source)
    return None


def _owner(session: Session) -> str | None:
    """The account whose the keys and signatures in variables are; a URL may name anybody's.

    Raises:
        UsageError: there is one, and no variable says whose it is.
    """
    owner = next(filter(None, map(session.environ.get, _ACCOUNTS)), None)
    variable = next(filter(session.environ.get, (*KEYS, SIGNATURE)), None)
    if variable is None or owner is not None:
        return owner
    hint = f"Set {_ACCOUNTS[0]} to the name of that account."
    raise UsageError(f"{variable} is set, and nothing says for which account", hint=hint)


def _stored(session: Session, place: Place) -> Access | None:
    url = place.container_url
    match = find(url, session.stores)
    if match is None:
        return None
    usable = (BasicHTTP, BearerToken)
    match = require(match, url, usable, server="Azure", looked=session.stores, flag="", env=KEYS[0])
    credential, source = match.credential, match.source
    if isinstance(credential, BearerToken):
        token = Secret(credential.token.reveal(), source)
        is_sas = is_signature(token.reveal())
        return Access(SharedAccessSignature(token) if is_sas else EntraToken(token), source)
    assert isinstance(credential, BasicHTTP)  # noqa: S101 - as was required
    if credential.username != place.account:
        raise CredentialError(
            f"The name under {source} is {credential.username!r}, and not the storage account {place.account!r}.",
            hint="As the user name, store the name of the account, and as the password one of its keys.",
            code="wrong-kind",
        )
    return Access(SharedKey(place.account, Secret(credential.password.reveal(), source)), source)


# --- tokens of Entra ID ----------------------------------------------------------------------------------------------


def _token(session: Session) -> Access | None:
    """The first token that a source gives; raises why one that was asked for gave none."""
    chosen = session.environ.get(CHAIN, "").strip().lower()
    failure: CredentialError | None = None
    for names, get in _SOURCES.items():
        if chosen and chosen not in names:
            continue
        try:
            access = get(session)
        except (IdentityError, ExchangeError) as error:
            _log.info("no token: %s", error)
            if failure is None and (chosen.endswith("credential") or not isinstance(error, cli.NotLoggedIn)):
                failure = error
            continue
        if access is not None:
            return access
    if failure is not None:
        raise failure
    return None


def _by_application(session: Session) -> Access | None:
    application = entra.Application.named_in(session.environ)
    secret = session.environ.get(entra.SECRET)
    if application is None or not secret:
        return None
    kept = Secret(secret, f"the variable {entra.SECRET}")
    return _renewed(partial(entra.by_secret, session.client, application, kept), f"the variable {entra.SECRET}")


def _by_workload(session: Session) -> Access | None:
    application = entra.Application.named_in(session.environ)
    file = session.environ.get(entra.TOKEN_FILE)
    if application is None or not file:
        return _exchanged(session)
    name = f"the file that {entra.TOKEN_FILE} names"
    return _renewed(partial(entra.by_file, session.client, application, Path(file)), name)


def _by_managed_identity(session: Session) -> Access | None:
    environ = session.environ
    chosen = environ.get(CHAIN, "").strip().lower() == "managedidentitycredential"
    alone = bool(environ.get(entra.CLIENT)) and not environ.get(entra.TENANT)
    identity = ManagedIdentity.there(environ, wanted=chosen or alone)
    return None if identity is None else _renewed(partial(identity.token, session.client), NAME)


def _by_tool(session: Session) -> Access | None:
    return _renewed(partial(cli.token, session.environ), "az login")


_SOURCES: Final[dict[frozenset[str], Callable[[Session], Access | None]]] = {
    frozenset({"prod", "environmentcredential"}): _by_application,
    frozenset({"prod", "workloadidentitycredential"}): _by_workload,
    frozenset({"prod", "managedidentitycredential"}): _by_managed_identity,
    frozenset({"dev", "azureclicredential"}): _by_tool,
}
"""Where tokens come from, in this order, under the words by which ``AZURE_TOKEN_CREDENTIALS`` chooses among them."""


def _renewed(get: Callable[[], Exchanged], source: str) -> Access:
    """A token that *get* gets, and renews later."""
    token = RenewedToken(get, name=f"the token from {source}")
    token.current()
    return Access(token, source)


def _exchanged(session: Session) -> Access | None:
    """A token for the identity of the CI system; ``None`` where none is to be used, or no application is named."""
    exchange = _exchange(session)
    token = None if exchange is None else exchanged_token(session, exchange)
    return None if token is None else Access(VersionedToken(token), exchanged_source(session.identities.offered_by))


def _exchange(session: Session) -> Exchange | None:
    """How Entra ID exchanges identities for tokens; ``None`` where nobody says as which application.

    Identities go to a cloud that is known, or to where ``AZURE_AUTHORITY_HOST`` says.
    """
    application = entra.Application.named_in(session.environ)
    if application is None:
        return None
    by = partial(entra.by_identity, session.client, application)
    return Exchange(application.authority, application.audience, by, known=True)


def _not_exchanged(session: Session, place: Place) -> CredentialError:
    exchange = _exchange(session)
    if exchange is not None:
        return not_exchanged(session, exchange.server, exchange)
    return IdentityError(
        f"nothing says as which application {place.url} is to be written",
        hint=f"Set {entra.TENANT} and {entra.CLIENT} to those of an application with a federated credential.",
    )
