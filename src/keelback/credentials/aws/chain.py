"""Which keys requests to a bucket are signed with.

What was given with the command comes first, then rattler-build's variables, then the stores of the rattler family, and
then whatever the AWS SDKs would find, in their order ("AWS SDKs and Tools Reference Guide", "Standardized credential
providers").
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from keelback.credentials.aws.keys import KeySource
from keelback.credentials.aws.profiles import Profiles
from keelback.credentials.aws.settings import Wanted, s3_settings
from keelback.credentials.aws.variables import GivenKeys, aws_variables, given_keys
from keelback.credentials.kinds import S3Credentials
from keelback.credentials.lookup import find, require
from keelback.credentials.oidc.roles import ROLE, Role
from keelback.credentials.oidc.trusted import Mode
from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
    from typing import Any

    from keelback.credentials.oidc.providers import IdentitySource
    from keelback.credentials.oidc.trusted import TrustedPublishing
    from keelback.credentials.stores import Store
    from keelback.transport import Client

__all__ = ["KeySource", "Run", "find_keys"]

_SERVER: Final = "S3"
_AMAZON: Final = ("amazonaws.com", "amazonaws.com.cn")

_log = logging.getLogger("keelback.credentials")


class Run(Protocol):
    """What keys are looked for with; a session of channels is one."""

    @property
    def client(self) -> Client:
        """Sends the requests."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables."""

    @property
    def stores(self) -> Sequence[Store]:
        """Where credentials are looked up, in this order."""

    @property
    def trusted(self) -> TrustedPublishing:
        """When an identity is exchanged for keys."""

    @property
    def identities(self) -> IdentitySource:
        """Gives the identities."""

    @property
    def kept(self) -> MutableMapping[Hashable, Any]:
        """What was found out once for the whole run, by what it depends on."""


class BucketOptions(GivenKeys, Wanted, Protocol):
    """What the user said of a bucket and of its keys."""


def find_keys(run: Run, url: str, options: BucketOptions, profiles: Profiles | None = None) -> KeySource | None:
    """The keys for the bucket *url*, the first that are there.

    1. *options*, completed by ``S3_ACCESS_KEY_ID``, ``S3_SECRET_ACCESS_KEY`` and ``S3_SESSION_TOKEN``;
    2. the stores, by the keys that rattler looks under;
    3. ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``;
    4. the role in ``AWS_ROLE_ARN``, with the identity in ``AWS_WEB_IDENTITY_TOKEN_FILE`` or the CI system's own; never
       with ``--trusted-publishing never``, and nothing else with ``--trusted-publishing always``;
    5. the profile in ``AWS_PROFILE``, or the default one;
    6. the role of the container;
    7. the role of the machine.

    What is there and cannot be used is an error; nothing that comes later is used in its place. Options and variables
    have the keys of one service: in one run, they go to one. Roles and profiles are asked once in a run.

    Args:
        run: what to look with.
        url: ``s3://bucket/channel``.
        options: what the user said.
        profiles: those of the run's variables, where they have been read already.

    Returns:
        The keys, of which those that expire have been got once; ``None`` where there are none: whoever may read the
        bucket without any can do so.

    Raises:
        UsageError: what was given does not go together, or would go to two services.
        CredentialError: there are keys, or there should be, and they cannot be used.
    """
    profiles = Profiles(run.environ) if profiles is None else profiles
    if run.trusted.insists:
        return _insisted(run, url, options)
    return next(filter(None, (look() for look in _places(run, url, options, profiles))), None)


def _places(run: Run, url: str, options: BucketOptions, profiles: Profiles) -> Sequence[Callable[[], KeySource | None]]:
    """Where keys may be, in order."""

    def bound(keys: KeySource | None) -> KeySource | None:
        return None if keys is None else _bound(run, keys, s3_settings(options, run.environ, profiles).endpoint)

    return (
        lambda: bound(given_keys(options, run.environ)),
        lambda: _stored(url, run.stores),
        lambda: bound(aws_variables(run.environ)),
        lambda: _offered_role(run),
        lambda: _of_profile(run, profiles),
        lambda: _once(run, "container", lambda: _of_container(run.environ)),
        lambda: _once(run, "instance", lambda: _of_instance(run.environ)),
    )


def _bound(run: Run, keys: KeySource, endpoint: str) -> KeySource:
    """*keys*, which were given for one service, where *endpoint* is that of the service that they went to before.

    Amazon has an endpoint for each region, and they all are one service.
    """
    service = next((f"https://{domain}" for domain in _AMAZON if endpoint.endswith(f".{domain}")), endpoint)
    first = run.kept.setdefault(("s3 keys", keys.source), service)
    if first != service:
        raise UsageError(
            f"{keys.source} would go to {first} and to {service}",
            hint="Keep the keys of several services in the auth file: keelback auth login s3://BUCKET.",
        )
    return keys


def _once(run: Run, what: Hashable, get: Callable[[], KeySource | None]) -> KeySource | None:
    """The keys that *get* gives, which is called once in a run for *what* it depends on."""
    key = ("s3 keys of", what)
    if key not in run.kept:
        run.kept[key] = get()
    found: KeySource | None = run.kept[key]
    return found


def _insisted(run: Run, url: str, options: BucketOptions) -> KeySource | None:
    """The keys of the role that an identity is exchanged for, since nothing else will do."""
    by_option = run.trusted.by_option
    if options.access_key_id or options.secret_access_key or options.session_token:
        raise UsageError(f"keys for {url} cannot be combined with {by_option}", hint="Leave out one of them.")
    role = Role.named_in(run.environ)
    if role is None:
        raise UsageError(
            f"{by_option}: no role is named whose keys for {url} an identity could be exchanged for",
            hint=f"Set {ROLE} to the role.",
        )
    return _by_identity(run, role if run.trusted.id_token is None else replace(role, token_file=None))


def _stored(url: str, stores: Sequence[Store]) -> KeySource | None:
    match = find(url, stores)
    if match is None:
        return None
    usable = (S3Credentials,)
    match = require(match, url, usable, server=_SERVER, looked=stores, flag="--access-key-id", env="S3_ACCESS_KEY_ID")
    assert isinstance(match.credential, S3Credentials)  # noqa: S101 - what require() is for
    return KeySource.fixed(match.source, match.credential)


def _offered_role(run: Run) -> KeySource | None:
    """The role that the variables name, where there is an identity to assume it with."""
    if run.trusted.mode is Mode.NEVER:
        return None
    role = Role.named_in(run.environ)
    if role is None:
        return None
    if role.token_file is None and run.identities.offered_by is None:
        _log.info("%s is passed over: there is no identity with which the role could be assumed", ROLE)
        return None
    return _by_identity(run, role)


def _by_identity(run: Run, role: Role) -> KeySource | None:
    from keelback.credentials.oidc.webidentity import exchange  # noqa: PLC0415 - few have a role

    whose = run.identities.offered_by if role.token_file is None else f"the file in {role.named_by}"
    source = f"the role {role.arn} (with the identity from {whose})"

    def get() -> KeySource:
        return KeySource.renewed(
            source, lambda: exchange(run.client, role, lambda: role.identity(run.identities.identity))
        )

    return _once(run, (role, run.trusted.id_token is None), get)


def _of_profile(run: Run, profiles: Profiles) -> KeySource | None:
    profile = profiles.chosen
    if profile is None:
        return None
    from keelback.credentials.aws.profilekeys import ProfileKeys  # noqa: PLC0415 - who has no profile need not pay

    # a profile is what the files say at this moment, wherever they are
    return _once(run, profile.where(), lambda: ProfileKeys(run.client, run.environ, profiles).of(profile))


def _of_container(environ: Mapping[str, str]) -> KeySource | None:
    from keelback.credentials.aws.container import container_role  # noqa: PLC0415 - hardly any run gets here

    return container_role(environ)


def _of_instance(environ: Mapping[str, str]) -> KeySource | None:
    from keelback.credentials.aws.instance import instance_role  # noqa: PLC0415 - hardly any run gets here

    return instance_role(environ)
