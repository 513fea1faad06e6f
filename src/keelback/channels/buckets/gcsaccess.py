"""Which credential a bucket of Google Cloud Storage gets, and where the service is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from keelback.channels.access import Access, given_token, in_order
from keelback.channels.buckets.gcs import ENDPOINT, GCSBucket
from keelback.channels.buckets.gcserrors import HOW_TO_GIVE_ONE
from keelback.channels.exchange import Exchange
from keelback.credentials.gcloud.federation import PROVIDER, Provider
from keelback.credentials.gcloud.files import default_account
from keelback.credentials.gcloud.machine import Machine
from keelback.credentials.gcloud.places import GOOGLE, READ_WRITE, check_universe
from keelback.credentials.gcloud.tokens import GoogleToken
from keelback.credentials.kinds import BearerToken, OAuth
from keelback.credentials.lookup import find, require
from keelback.credentials.serverurls import checked_url
from keelback.errors import CredentialError, UsageError

if TYPE_CHECKING:
    from keelback.channels.session import Session
    from keelback.credentials.gcloud.places import Places


TITLE: Final = "Google Cloud Storage"
VARIABLES: Final = ("GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN")
"""Those that hold an access token, and take precedence over all stores."""
TAKES: Final = (BearerToken, OAuth)
"""The kinds of credential from a store that will do."""
_EMULATOR: Final = "STORAGE_EMULATOR_HOST"


def open_bucket(session: Session, bucket: str, prefix: str = "", *, places: Places = GOOGLE) -> GCSBucket:
    """The bucket, or a folder in it, with the credential that the session has for it.

    Args:
        session: what was given, and where to look.
        bucket: its name.
        prefix: the folder, without slashes at its ends.
        places: where tokens come from.

    Raises:
        UsageError: the name, the endpoint or what was given is invalid.
        CredentialError: a credential that cannot be used.
    """
    endpoint = endpoint_of(session)
    access = find_gcs(session, bucket, prefix, endpoint, places=places)
    return GCSBucket(session.client, bucket, prefix, access, endpoint=endpoint)


def endpoint_of(session: Session) -> str:
    """The URL of the service, without a slash at its end: ``--endpoint-url``, an emulator's, or Google's own.

    Raises:
        UsageError: it is not the URL of a server.
    """
    given, emulator = session.buckets.endpoint_url, session.environ.get(_EMULATOR, "").strip()
    if given:
        return checked_url(given, "--endpoint-url")
    if emulator:  # Google's libraries take a host and a port, too
        return checked_url(emulator if "://" in emulator else f"http://{emulator}", _EMULATOR)
    return ENDPOINT


def find_gcs(
    session: Session, bucket: str, prefix: str, endpoint: str = ENDPOINT, *, places: Places = GOOGLE
) -> Access | None:
    """The credential for the bucket; ``None`` where there is none, which is enough to read from a public one.

    In this order: a token that was given, or in ``GOOGLE_OAUTH_ACCESS_TOKEN`` or ``CLOUDSDK_AUTH_ACCESS_TOKEN``; the
    identity of the CI system, where ``GOOGLE_WORKLOAD_IDENTITY_PROVIDER`` says who exchanges it; the stores; the file
    that ``GOOGLE_APPLICATION_CREDENTIALS`` names, or gcloud's; the machine's own account. An *endpoint* that is not
    Google's gets nothing but the first, or what the stores have for its own host.

    Args:
        session: what was given, and where to look.
        bucket: its name.
        prefix: the folder in it.
        endpoint: the URL of the service.
        places: where tokens come from.

    Raises:
        UsageError: what was given does not go together.
        CredentialError: there is one, and it cannot be used.
    """
    url = f"gs://{bucket}/{prefix}".rstrip("/")
    is_google = places.owns(endpoint)
    exchange = _exchange(session, places) if is_google else None
    if exchange is None and session.trusted.insists:
        raise UsageError(
            f"{session.trusted.by_option} needs to know who at Google exchanges the identity",
            hint=f"Set {PROVIDER} to projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER.",
        )
    if exchange is None:
        return _given(session, endpoint) or _kept(session, bucket, prefix, endpoint, places)

    def kept() -> Access:
        access = _kept(session, bucket, prefix, endpoint, places)
        if access is None:
            raise CredentialError(f"No credential for {url}", hint=HOW_TO_GIVE_ONE)
        return access

    return in_order(session, url, given=partial(_given, session, endpoint), exchange=exchange, stored=kept)


def _given(session: Session, endpoint: str) -> Access | None:
    """A token that was given; it is for the whole service, with all its buckets."""
    for variable in VARIABLES:
        access = given_token(session, endpoint, BearerToken, variable, server=TITLE)
        if access is not None:
            return access
    return None


def _exchange(session: Session, places: Places) -> Exchange | None:
    """How identities are exchanged, where the variables say by whom."""
    provider = Provider.named_in(session.environ)
    if provider is None:
        return None
    by = partial(provider.exchange, session.client, places)
    return Exchange(places.sts, provider.audience, by, known=True)


def _kept(session: Session, bucket: str, prefix: str, endpoint: str, places: Places) -> Access | None:
    """What the stores have, then Google's Application Default Credentials."""
    is_google = places.owns(endpoint)
    for start in ("gs:/", ENDPOINT) if is_google else (endpoint,):
        url = f"{start}/{bucket}/{prefix}".rstrip("/")
        match = find(url, session.stores)
        # a bucket may have the name of any host, and is not to get the credential of that
        if match is not None and (start != "gs:/" or match.key.startswith("gs://")):
            require(match, url, TAKES, server=TITLE, looked=session.stores, flag="", env=VARIABLES[0])
            return Access.of(match)
    if not is_google:
        return None
    check_universe(session.environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN", ""), "GOOGLE_CLOUD_UNIVERSE_DOMAIN")
    account = default_account(session.environ, places) or Machine.here(session.environ, places)
    if account is None:
        return None
    session.note_once(f"{TITLE}: an access token of {account.described}")
    return Access(GoogleToken(account, session.client, READ_WRITE), account.described)
