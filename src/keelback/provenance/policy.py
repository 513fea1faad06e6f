"""Whose signature is wanted, in one word: ``repo:my-org/my-repo,workflow:release.yml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from keelback.archive.findings import quoted
from keelback.errors import AttestationError, UsageError

if TYPE_CHECKING:
    from keelback.provenance.certificate import Signer

GITHUB: Final = "https://token.actions.githubusercontent.com"
"""The issuer of GitHub's identities (GitHub Docs, "OpenID Connect reference")."""
_GITHUB_SITE: Final = "https://github.com"
GITLAB: Final = "https://gitlab.com"
"""The issuer of GitLab.com's identities, and the site itself (GitLab Docs, "OpenID Connect (OIDC) Authentication")."""

_KEYS: Final = ("repo", "project", "workflow", "ref", "issuer", "identity")
_REPO: Final = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_PROJECT: Final = re.compile(r"[\w.+-]+(?:/[\w.+-]+)+")
_GRAMMAR: Final = (
    "Write KEY:VALUE, several with commas between them: repo:OWNER/NAME (GitHub), project:GROUP/PROJECT (GitLab), "
    "workflow:FILE, ref:REF, issuer:URL, identity:NAME; one of repo, project and identity has to be there, and "
    "identity needs issuer."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who has to have signed; what is ``None`` does not matter.

    Attributes:
        repo: the repository on GitHub, ``OWNER/NAME``, in whatever case.
        project: the project on GitLab, ``GROUP/PROJECT``, in whatever case; on gitlab.com, or the server *issuer*.
        workflow: the file that defines the workflow: ``release.yml``.
        ref: the branch or tag that it ran for, as a full name: ``refs/heads/main``.
        issuer: the identity provider.
        identity: the whole name in the certificate.
    """

    repo: str | None = None
    project: str | None = None
    workflow: str | None = None
    ref: str | None = None
    issuer: str | None = None
    identity: str | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("repo", "project", "identity") if getattr(self, name) is not None]
        if not given:
            raise _bad("it has none of repo, project and identity: anybody at all would do")
        if self.repo is not None and self.project is not None:
            raise _bad("it has both repo, which is GitHub's, and project, which is GitLab's")
        if given == ["identity"] and self.issuer is None:
            raise _bad("it has an identity without the issuer that vouches for it")
        if self.repo is not None and not _REPO.fullmatch(self.repo):
            raise _bad(f"repo is OWNER/NAME, and not {quoted(self.repo)}")
        if self.repo is not None and self.issuer not in (None, GITHUB):
            raise _bad("repo is a repository on GitHub, whose identities have another issuer")
        if self.project is not None and not _PROJECT.fullmatch(self.project):
            raise _bad(f"project is GROUP/PROJECT, and not {quoted(self.project)}")
        if self.issuer is not None and not self.issuer.startswith("https://"):
            raise _bad(f"issuer is an https URL, and not {quoted(self.issuer)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The policy that *text* says: ``KEY:VALUE``, several with commas between them.

        Raises:
            keelback.errors.UsageError: it says none; the hint has the grammar.
        """
        values: dict[str, str] = {}
        for part in text.split(","):
            key, _, value = (piece.strip() for piece in part.partition(":"))
            if key not in _KEYS:
                raise _bad(f"{quoted(key)} is not a key" if key else "it has an empty part")
            if key in values:
                raise _bad(f"{key} is there twice")
            if not value:
                raise _bad(f"{key} has no value")
            values[key] = value
        return cls(**values)

    def __str__(self) -> str:
        return ",".join(f"{key}:{value}" for key in _KEYS if (value := getattr(self, key)) is not None)

    @property
    def required_issuer(self) -> str | None:
        """The identity provider that has to have vouched for the signer."""
        if self.repo is not None:
            return GITHUB
        return self.issuer or (GITLAB if self.project is not None else None)

    def check(self, signer: Signer, filename: str) -> None:
        """See that *signer*, of the attestation of *filename*, is whose signature is wanted.

        Raises:
            AttestationError: code ``attestation-issuer`` or ``attestation-identity``: it is somebody else.
        """
        if self.required_issuer != signer.issuer:
            raise AttestationError(
                f"{filename}: the identity that signed it comes from another issuer: {quoted(signer.issuer)}, and not "
                f"{self.required_issuer}",
                hint="Do not use the file, unless you know that it is built there.",
                code="attestation-issuer",
            )
        wrong = self._wrong(signer)
        if wrong:
            what, found, wanted = wrong
            raise AttestationError(
                f"{filename}: somebody else signed it: the {what} is {quoted(found)}, and not {quoted(wanted)}",
                hint="Do not use the file, unless you know that it is built there.",
                code="attestation-identity",
            )

    def _wrong(self, signer: Signer) -> tuple[str, str | None, str] | None:
        """What of *signer* is not as it has to be: its name, what it is, and what it has to be."""
        source = self._source()
        if source is not None and (signer.source_uri or "").lower() != source.lower():
            return "repository", signer.source_uri, source
        if self.workflow is not None and not _runs(signer, self.workflow):
            return "workflow", signer.config_uri, self.workflow
        if self.ref is not None and signer.source_ref != self.ref:
            return "ref", signer.source_ref, self.ref
        if self.identity is not None and signer.name != self.identity:
            return "identity", signer.name, self.identity
        return None

    def _source(self) -> str | None:
        if self.repo is not None:
            return f"{_GITHUB_SITE}/{self.repo}"
        return None if self.project is None else f"{(self.required_issuer or '').rstrip('/')}/{self.project}"


def _runs(signer: Signer, workflow: str) -> bool:
    """Whether the workflow of *signer* is the file *workflow* of its own repository.

    It is named with the version that was run; that has to be the one of the same certificate (as PyPI has it).
    """
    uri, at, version = (signer.config_uri or "").rpartition("@")
    source = signer.source_uri or ""
    if not at or not source or version not in (signer.source_ref, signer.source_digest):
        return False
    files = (f"{source}/.github/workflows/{workflow}", f"{source}//{workflow}")
    same_site = uri[: len(source)].lower() == source.lower()
    return same_site and any(uri[len(source) :] == file[len(source) :] for file in files)


def _bad(why: str) -> UsageError:
    return UsageError(f"the policy does not say whose attestation is wanted: {why}", hint=_GRAMMAR)
