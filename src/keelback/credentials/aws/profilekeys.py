"""The keys of a profile: those in it, or what it says of where they come from.

("AWS SDKs and Tools Reference Guide": "Assume role credential provider", "Process credential provider", "Static
credentials".)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.credentials.aws.keys import KeySource, checked_keys
from keelback.credentials.aws.variables import aws_variables
from keelback.credentials.oidc.roles import AUDIENCES, SESSION_NAMES, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.aws.profiles import Profile, Profiles
    from keelback.transport import Client

_STATIC: Final = ("aws_access_key_id", "aws_secret_access_key")
_SSO: Final = ("sso_session", "sso_start_url", "sso_account_id", "login_session")
_LONGEST_SESSION: Final = 12 * 3600
_SHORTEST_SESSION: Final = 900


class ProfileKeys:
    """Finds the keys of profiles.

    Args:
        client: sends the requests to security token services.
        environ: the variables.
        profiles: all profiles.
    """

    def __init__(self, client: Client, environ: Mapping[str, str], profiles: Profiles) -> None:
        self._client = client
        self._environ = environ
        self._profiles = profiles

    def of(self, profile: Profile) -> KeySource | None:
        """The keys of *profile*; ``None`` where it names none.

        Raises:
            CredentialFileError: what it says does not go together.
            CredentialError: there are none where it says.
        """
        return self._of(profile, ())

    def _of(self, profile: Profile, followed: tuple[str, ...]) -> KeySource | None:
        """The keys of *profile*, to which the profiles *followed* led."""
        has_keys = any(profile.get(name) or profile.secret(name) for name in _STATIC)
        leads_back = profile.name in followed
        if profile.get("role_arn") and not (leads_back and has_keys):
            if leads_back:
                raise profile.wrong(
                    f"is its own source, by way of {' and '.join(followed)}",
                    setting="source_profile",
                    hint="Name a profile in source_profile that has keys of its own.",
                )
            return self._role(profile, followed)
        if has_keys:
            return _static(profile)
        if profile.get("credential_process"):
            from keelback.credentials.aws.process import run_process  # noqa: PLC0415 - few have one

            source = f"the credential_process of {profile.where('credential_process')}"
            return KeySource.renewed(source, lambda: run_process(profile, self._environ))
        for name in _SSO:
            if profile.get(name):
                raise profile.wrong(
                    f"logs in with {name}, which keelback leaves to AWS's own tools",
                    setting=name,
                    hint='Log in with these, and have them hand over the keys: eval "$(aws configure export-credentials'
                    f' --profile {profile.name} --format env)"; or name a profile that has credential_process = aws '
                    f"configure export-credentials --profile {profile.name}.",
                )
        return None

    # --- roles --------------------------------------------------------------------------------------------------------

    def _role(self, profile: Profile, followed: tuple[str, ...]) -> KeySource:
        """The role that *profile* names, assumed with what it names besides."""
        if profile.get("mfa_serial"):
            raise profile.wrong(
                "has an mfa_serial, and keelback asks for no codes",
                setting="mfa_serial",
                hint="Let AWS's own tool ask: eval \"$(aws configure export-credentials --profile "
                f'{profile.name} --format env)".',
            )
        source_profile, credential_source = profile.get("source_profile"), profile.get("credential_source")
        token_file = profile.get("web_identity_token_file")
        if [source_profile, credential_source, token_file].count("") != 2:
            raise profile.wrong(
                "has a role_arn, and not one of source_profile, credential_source and web_identity_token_file",
                setting="role_arn",
                hint="Say with which of these the role is assumed.",
            )
        if token_file:
            return self._by_identity(profile, token_file)
        if source_profile:
            keys = self._source_profile(profile, source_profile, followed)
        else:
            keys = self._credential_source(profile, credential_source)
        return self._by_keys(profile, keys)

    def _by_keys(self, profile: Profile, keys: KeySource) -> KeySource:
        from keelback.credentials.aws.assume import AssumedRole, TokenService, assume  # noqa: PLC0415 - few have a role

        role = AssumedRole(
            profile.get("role_arn"), _session_name(profile), profile.get("external_id"), _duration(profile)
        )
        service = TokenService.configured(self._environ, self._profiles)
        return KeySource.renewed(_role_source(profile), lambda: assume(self._client, service, role, keys))

    def _by_identity(self, profile: Profile, token_file: str) -> KeySource:
        from keelback.credentials.aws.assume import TokenService  # noqa: PLC0415 - few have one
        from keelback.credentials.oidc.audience import audience_of  # noqa: PLC0415 - likewise
        from keelback.credentials.oidc.webidentity import exchange  # noqa: PLC0415 - likewise

        endpoint = TokenService.configured(self._environ, self._profiles).endpoint
        role = Role(
            profile.get("role_arn"),
            endpoint,
            audience_of(endpoint, AUDIENCES),
            _session_name(profile),
            Path(token_file),
            f"web_identity_token_file of {profile.where('web_identity_token_file')}",
        )
        return KeySource.renewed(
            _role_source(profile), lambda: exchange(self._client, role, lambda: role.identity(lambda _: None))
        )

    def _source_profile(self, profile: Profile, name: str, followed: tuple[str, ...]) -> KeySource:
        found = self._profiles.named(name)
        keys = None if found is None else self._of(found, (*followed, profile.name))
        if keys is None:
            raise profile.wrong(
                f"names {name!r} in source_profile, where there are no keys",
                setting="source_profile",
                hint="Name a profile that has some.",
            )
        return keys

    def _credential_source(self, profile: Profile, name: str) -> KeySource:
        find = self._credential_sources().get(name.lower())
        if find is None:
            raise profile.wrong(
                f"names {name!r} in credential_source",
                setting="credential_source",
                hint="Use one of Environment, Ec2InstanceMetadata and EcsContainer.",
            )
        keys = find(self._environ)
        if keys is None:
            raise profile.wrong(
                f"names {name} in credential_source, and there are no keys",
                setting="credential_source",
                hint="See that they are there, or name another source.",
            )
        return keys

    @staticmethod
    def _credential_sources() -> Mapping[str, Callable[[Mapping[str, str]], KeySource | None]]:
        from keelback.credentials.aws.container import container_role  # noqa: PLC0415 - few have one
        from keelback.credentials.aws.instance import instance_role  # noqa: PLC0415 - likewise

        return {
            "environment": aws_variables,
            "ec2instancemetadata": instance_role,
            "ecscontainer": container_role,
        }


def _static(profile: Profile) -> KeySource:
    access_key_id, secret = profile.get("aws_access_key_id"), profile.secret("aws_secret_access_key")
    if not access_key_id or secret is None:
        has, lacks = _STATIC if access_key_id else reversed(_STATIC)
        raise profile.wrong(f"has an {has} and no {lacks}", setting=has, hint="Set both, or neither.")
    token = profile.secret("aws_session_token") or profile.secret("aws_security_token")
    where = profile.where("aws_secret_access_key")
    return KeySource.fixed(where, checked_keys(access_key_id, secret, token, id_source=where))


def _role_source(profile: Profile) -> str:
    return f"the role {profile.get('role_arn')} of {profile.where('role_arn')}"


def _session_name(profile: Profile) -> str:
    name = profile.get("role_session_name") or "keelback"
    if not SESSION_NAMES.fullmatch(name):
        raise profile.wrong(
            "has a role_session_name that is not valid",
            setting="role_session_name",
            hint="Use 2 to 64 letters, digits and characters of '_+=,.@-'.",
        )
    return name


def _duration(profile: Profile) -> int | None:
    text = profile.get("duration_seconds")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and _SHORTEST_SESSION <= int(text[:6]) <= _LONGEST_SESSION):
        raise profile.wrong(
            "has a duration_seconds that is not valid",
            setting="duration_seconds",
            hint=f"Use a number from {_SHORTEST_SESSION} to {_LONGEST_SESSION}.",
        )
    return int(text)
