"""The trusted publisher that an identity is: what its claims say, in the fields in which servers have it registered.

(prefix.dev documentation, "Trusted publishing"; GitHub Docs, "OpenID Connect reference"; GitLab Docs, "OpenID Connect
(OIDC) Authentication Using ID Tokens"; PyPI's ``warehouse/oidc`` for which claim each field is compared with.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LONGEST: Final = 200
_FILE: Final = re.compile(r"([^/@]+\.ya?ml)@")
"""The file in the reference of a workflow: ``OWNER/NAME/.github/workflows/FILE@REF``."""


@dataclass(frozen=True, slots=True)
class Registered:
    """One field of a trusted publisher.

    Attributes:
        name: what a person calls the field.
        value: what it has to be; ``None`` where it has to be empty.
        claim: the claim that the server compares it with.
    """

    name: str
    value: str | None
    claim: str

    @property
    def words(self) -> str:
        """Name and value, as they stand in a sentence."""
        return f"no {self.name}" if self.value is None else f"{self.name} {self.value}"


def publisher_of(claims: Mapping[str, Any]) -> Sequence[Registered]:
    """The fields of the trusted publisher that an identity with these *claims* is.

    Returns:
        The fields; none where *claims* are those of neither GitHub nor GitLab.
    """
    if _text(claims, "repository"):
        return list(_github(claims))
    if _text(claims, "project_path"):
        return list(_gitlab(claims))
    return []


def described(claims: Mapping[str, Any]) -> str:
    """:func:`publisher_of` as it stands in a sentence: ``owner acme, repository foo, ...``; empty where it is none.

    An event that servers refuse is named besides (PyPI, ``warehouse/oidc/models/github.py``).
    """
    fields = [each.words for each in publisher_of(claims)]
    if fields and claims.get("event_name") == "pull_request_target":
        fields.append("event pull_request_target")
    return ", ".join(fields)


def _github(claims: Mapping[str, Any]) -> Iterator[Registered]:
    owner, _, repository = _text(claims, "repository").partition("/")
    yield Registered("owner", owner, "repository")
    yield Registered("repository", repository, "repository")
    called, calling = (_FILE.search(_text(claims, name)) for name in ("job_workflow_ref", "workflow_ref"))
    if called is not None:
        yield Registered("workflow file", called[1], "job_workflow_ref")
    if calling is not None and (called is None or calling[1] != called[1]):  # a reusable workflow
        yield Registered("or the calling workflow's file", calling[1], "workflow_ref")
    yield _environment(claims)


def _gitlab(claims: Mapping[str, Any]) -> Iterator[Registered]:
    group, _, project = _text(claims, "project_path").rpartition("/")
    yield Registered("group", group, "project_path")
    yield Registered("project", project, "project_path")
    file = _text(claims, "ci_config_ref_uri").partition("//")[2].partition("@")[0]
    if file:
        yield Registered("pipeline file", file, "ci_config_ref_uri")
    yield _environment(claims)


def _environment(claims: Mapping[str, Any]) -> Registered:
    return Registered("environment", _text(claims, "environment") or None, "environment")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return printable(value, _LONGEST) if isinstance(value, str) else ""
