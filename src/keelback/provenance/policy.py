"""Whose signature is wanted, in one word: ``repo:my-org/my-repo,workflow:release.yml``."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from keelback.archive.findings import quoted
from keelback.errors import AttestationError, UsageError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from keelback.provenance.certificate import Signer

GITHUB: Final = "https://token.actions.githubusercontent.com"
"""The issuer of GitHub's identities (GitHub Docs, "OpenID Connect reference")."""
_GITHUB_SITE: Final = "https://github.com"
GITLAB: Final = "https://gitlab.com"
"""The issuer of GitLab.com's identities, and the site itself (GitLab Docs, "OpenID Connect (OIDC) Authentication")."""

_KEYS: Final = ("repo", "owner", "project", "workflow", "ref", "trigger", "issuer", "identity")
_SITES: Final = {"repo": _GITHUB_SITE, "owner": _GITHUB_SITE, "project": GITLAB}
"""Keys that say on which site somebody is, and what a value copied from a browser begins with."""
_WORKFLOWS: Final = ".github/workflows/"
_SITE: Final = r"(?:https://[A-Za-z0-9.-]+(?::[0-9]+)?/)?"
_OWNER: Final = re.compile(_SITE + r"[A-Za-z0-9._-]+")
_REPO: Final = re.compile(_SITE + r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_PROJECT: Final = re.compile(r"[\w.+-]+(?:/[\w.+-]+)+", re.ASCII)
_ISSUER: Final = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9._~%+/-]*)?")
_OF_A_WORKFLOW: Final = re.compile(rf"(https://[^/]+/[^/]+/[^/]+)/{re.escape(_WORKFLOWS)}")
"""How a name in a certificate begins that is the URL of a workflow on GitHub; the group is its repository."""
_BY_ANYBODY: Final = "pull_request_target"
"""What starts a run of GitHub's for a pull request of anybody's, with an identity that says nothing else of that.

(GitHub Docs, "Events that trigger workflows": such a run is in the context of the branch that is to be changed.)
"""
_GRAMMAR: Final = (
    "Write KEY:VALUE, several with commas between them: repo:OWNER/NAME or owner:NAME (GitHub), project:GROUP/PROJECT "
    "(GitLab), workflow:FILE, ref:REF, trigger:EVENT, issuer:URL, identity:NAME; one of repo, owner, project and "
    "identity has to be there, and identity needs issuer."
)
_NOT_THEIRS: Final = "Do not use the file, unless you know that it is built there."
_SAY_WHOSE: Final = "Name the repository that you expect, too, in a policy: repo:OWNER/NAME,identity:NAME."
_NOT_FROM_THERE: Final = "Do not use the file, unless it is published from there, too; then say so in the policy."


class _Mismatch(NamedTuple):
    """What of a signer is not as it has to be.

    Attributes:
        says: what that means.
        what: what is not as it has to be.
        found: what it is.
        wanted: what it has to be.
        hint: what to do.
    """

    says: str
    what: str
    found: str | None
    wanted: str
    hint: str = _NOT_THEIRS

    def __str__(self) -> str:
        if not self.found:
            return f"{self.says}: its certificate names no {self.what}, and {quoted(self.wanted)} is wanted"
        return f"{self.says}: the {self.what} is {quoted(self.found)}, and not {quoted(self.wanted)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who has to have signed; what is ``None`` does not matter.

    Attributes:
        repo: the repository on GitHub, ``OWNER/NAME``, in whatever case; ``https://HOST/OWNER/NAME`` on a server of
            one's own, with its *issuer*.
        owner: the organization or user on GitHub to whom the repository belongs, in whatever case; as *repo*.
        project: the project on GitLab, ``GROUP/PROJECT``, in whatever case; on gitlab.com, or the server *issuer*.
        workflow: the file that defines the workflow: ``release.yml``.
        ref: the branch or tag that it ran for, as a full name: ``refs/heads/main``.
        trigger: what started the run: ``push``; ``None``: anything but ``pull_request_target``.
        issuer: the identity provider, with or without a slash at its end.
        identity: the whole name in the certificate.
    """

    repo: str | None = None
    owner: str | None = None
    project: str | None = None
    workflow: str | None = None
    ref: str | None = None
    trigger: str | None = None
    issuer: str | None = None
    identity: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) == "":
                raise _bad(f"{field.name} has no value")
        self._check_forms()
        self._check_whose()

    def _check_whose(self) -> None:
        """See that it does not let anybody pass, nor ask for what nobody can be."""
        sites = [name for name in _SITES if getattr(self, name) is not None]
        if not sites and self.identity is None:
            raise _bad("it has none of repo, owner, project and identity: anybody at all would do")
        if len(sites) > 1:
            raise _bad(f"it has both {sites[0]} and {sites[1]}, of which one says whose it is")
        if not sites and self.issuer is None:
            raise _bad("it has an identity without the issuer that vouches for it")
        if self._is_on_github():
            self._check_github(sites[0])

    def _check_github(self, key: str) -> None:
        """See that the issuer is one of the GitHub that *key* is on."""
        if "://" not in getattr(self, key):
            if self.required_issuer != GITHUB:
                raise _bad(f"{key} is on GitHub, whose identities have another issuer")
        elif self.issuer is None:
            raise _bad(
                f"{key} is on another server than github.com, and the issuer of its identities is not there",
                "Add issuer:https://HOST/_services/token for GitHub Enterprise Server, or "
                "issuer:https://token.actions.NAME.ghe.com for NAME.ghe.com.",
            )
        elif self.required_issuer == GITHUB:
            raise _bad(f"{key} is on another server than github.com, of which that issuer is")

    def _check_forms(self) -> None:
        """See that each value is one that a certificate can have."""
        for name, form, written in (
            ("repo", _REPO, "OWNER/NAME"),
            ("owner", _OWNER, "one name"),
            ("project", _PROJECT, "GROUP/PROJECT"),
        ):
            value = getattr(self, name)
            if value is not None and not form.fullmatch(value):
                raise _bad(f"{name} is {written}, and not {quoted(value)}")
        if self.issuer is not None and not _is_issuer(self.issuer):
            raise _bad(f"issuer is an https URL, and not {quoted(self.issuer)}")
        if self.workflow is not None and self._is_on_github() and "/" in self.workflow:
            raise _bad(f"workflow is the name of a file in {_WORKFLOWS}, and not {quoted(self.workflow)}")
        if self.ref is not None and not self.ref.startswith("refs/"):
            raise _bad(
                f"ref is the full name of a branch or tag, and not {quoted(self.ref)}",
                f"Write ref:refs/tags/{self.ref} for a tag, or ref:refs/heads/{self.ref} for a branch.",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The policy that *text* says: ``KEY:VALUE``, several with commas between them.

        A repository or project may be its URL, and a workflow its path in the repository.

        Raises:
            keelback.errors.UsageError: it says none; the hint has the grammar, or what was meant.
        """
        values: dict[str, str] = {}
        for part in text.split(","):
            key, _, value = (piece.strip() for piece in part.partition(":"))
            if key not in _KEYS:
                raise _no_key(part.strip(), key)
            if key in values:
                raise _bad(f"{key} is there twice")
            if not value:
                raise _bad(f"{key} has no value")
            values[key] = _plain(key, value)
        return cls(**values)

    def __str__(self) -> str:
        return ",".join(f"{key}:{value}" for key in _KEYS if (value := getattr(self, key)) is not None)

    @property
    def required_issuer(self) -> str | None:
        """The identity provider that has to have vouched for the signer."""
        if self.issuer is not None:
            return self.issuer.removesuffix("/")
        if self._is_on_github():
            return GITHUB
        return GITLAB if self.project is not None else None

    @property
    def on_github_com(self) -> str | None:
        """The repository, ``OWNER/NAME``, where it is one on github.com."""
        return None if self.repo is None or "://" in self.repo else self.repo

    def check(self, signer: Signer, filename: str) -> None:
        """See that *signer*, of the attestation of *filename*, is whose signature is wanted.

        Raises:
            AttestationError: code ``attestation-issuer`` or ``attestation-identity``: it is somebody else, or another
                workflow, branch or tag of theirs; or anybody could have started it.
        """
        if not self._is_issued_right(signer):
            raise AttestationError(
                f"{filename}: the identity that signed it comes from another issuer: {quoted(signer.issuer)}, and not "
                f"{self.required_issuer}",
                hint=_NOT_THEIRS,
                code="attestation-issuer",
            )
        mismatch = self._somebody_else(signer) or self._something_else(signer)
        if mismatch:
            raise AttestationError(f"{filename}: {mismatch}", hint=mismatch.hint, code="attestation-identity")
        if self.trigger is None and signer.trigger == _BY_ANYBODY:
            raise AttestationError(
                f"{filename}: it was signed in a run that anybody can start with a pull request ({_BY_ANYBODY})",
                hint="Do not use the file, unless you know that this workflow runs nothing of what the pull request "
                f"brings; then add trigger:{_BY_ANYBODY} to the policy.",
                code="attestation-identity",
            )

    def _is_issued_right(self, signer: Signer) -> bool:
        """Whether the issuer is the one that is wanted; a slash at the end of one that is written out is no matter."""
        wanted = self.required_issuer
        return signer.issuer == wanted or (self.issuer is not None and signer.issuer == f"{wanted}/")

    def _somebody_else(self, signer: Signer) -> _Mismatch | None:
        somebody = "somebody else signed it"
        source = self._source()
        if source is not None and not _is_same(signer.source_uri, source):
            return _Mismatch(somebody, "repository", signer.source_uri, source)
        owner = None if self.owner is None else _on_site(self.owner)
        if owner is not None and not _is_same(signer.owner_uri, owner):
            return _Mismatch(somebody, "owner", signer.owner_uri, owner)
        if self.identity is not None and signer.name != self.identity:
            return _Mismatch(somebody, "identity", signer.name, self.identity)
        home = _OF_A_WORKFLOW.match(signer.name)
        if source is None and owner is None and home is not None and not _is_same(signer.source_uri, home[1]):
            return _Mismatch(  # anybody can call a public workflow, and gets its name
                "another repository had this workflow run", "repository", signer.source_uri, home[1], _SAY_WHOSE
            )
        return None

    def _something_else(self, signer: Signer) -> _Mismatch | None:
        if self.workflow is not None and not _runs(signer, self.workflow):
            return _Mismatch(
                "another workflow signed it", "workflow", signer.config_uri, self.workflow, _NOT_FROM_THERE
            )
        if self.ref is not None and signer.source_ref != self.ref:
            return _Mismatch("it was signed for another ref", "ref", signer.source_ref, self.ref, _NOT_FROM_THERE)
        if self.trigger is not None and signer.trigger != self.trigger:
            return _Mismatch("something else started it", "trigger", signer.trigger, self.trigger, _NOT_FROM_THERE)
        return None

    def _is_on_github(self) -> bool:
        return self.repo is not None or self.owner is not None

    def _source(self) -> str | None:
        if self.repo is not None:
            return _on_site(self.repo)
        return None if self.project is None else f"{self.required_issuer}/{self.project}"


def _is_same(found: str | None, wanted: str) -> bool:
    """Whether two URLs are the same but for upper and lower case; beyond ASCII, there is no rule of which is which."""
    return found is not None and found.isascii() and found.lower() == wanted.lower()


def _is_issuer(url: str) -> bool:
    """Whether *url* can be an issuer: https, a host, and no query (OpenID Connect Core 1.0, section 2)."""
    return _ISSUER.fullmatch(url) is not None and bool(host_of(url))


def _on_site(value: str) -> str:
    """The URL of a repository or owner on GitHub."""
    return value if "://" in value else f"{_GITHUB_SITE}/{value}"


def _runs(signer: Signer, workflow: str) -> bool:
    """Whether the workflow of *signer* is the file *workflow* of its own repository.

    It is named with the version that was run; that has to be the one of the same certificate (as PyPI has it). A branch
    or tag may have any sign in its name that separates the parts.
    """
    uri, source = signer.config_uri or "", signer.source_uri or ""
    if not source or not _is_same(uri[: len(source)], source):
        return False
    return uri[len(source) :] in {
        f"{file}@{version}"
        for file in (f"/{_WORKFLOWS}{workflow}", f"//{workflow}")
        for version in (signer.source_ref, signer.source_digest)
        if version
    }


def _plain(key: str, value: str) -> str:
    """*value* as a certificate has it, or what comes before it there, where it was copied from elsewhere."""
    if key == "workflow":
        return value.removeprefix(_WORKFLOWS)
    site = _SITES.get(key)
    if site is None or "://" not in value:
        return value
    if value.lower().startswith(f"{site}/"):
        value = value[len(site) + 1 :]
    return value.rstrip("/").removesuffix(".git")


def _no_key(part: str, key: str) -> UsageError:
    if not part:
        return _bad("it has an empty part")
    meant = _plain("repo", part)
    if _REPO.fullmatch(meant):
        return _bad(
            f"{quoted(part)} has no key", f"Write repo:{meant} if that is on GitHub, project:{meant} if on GitLab."
        )
    return _bad(f"{quoted(key)} is not a key")


def _bad(why: str, hint: str = _GRAMMAR) -> UsageError:
    return UsageError(f"the policy cannot be used: {why}", hint=hint)
