"""Attestations that GitHub keeps for a repository (GitHub Docs, "REST API endpoints for repository attestations")."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from keelback.archive.findings import quoted
from keelback.credentials.kinds import BearerToken
from keelback.errors import AttestationError, CredentialError
from keelback.hosts import host_of
from keelback.secret import Secret
from keelback.transport import Request, servers_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.transport import Answer, Client

API: Final = "https://api.github.com"
_HEADERS: Final = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MOST: Final = 100
_LARGEST_ANSWER: Final = 32 << 20
_PERMISSION: Final = "Give the job the permission 'attestations: write', and the step the variable GITHUB_TOKEN."
_VARIABLES: Final = {
    "GITHUB_REPOSITORY": "GitHub Actions sets it; elsewhere, set it to the OWNER/NAME that is to keep them.",
    "GITHUB_TOKEN": _PERMISSION,
}
"""What has to be set to store attestations, and how it gets set."""
_HINTS: Final = {
    401: "See that GITHUB_TOKEN is the token of this job: ${{ github.token }}.",
    403: _PERMISSION,
    404: "Private repositories keep attestations on GitHub Enterprise Cloud only; see whether the repository exists.",
}
_OFTEN: Final = "Without a token, GitHub can be asked a few dozen times an hour only: set the variable GITHUB_TOKEN."
_READING_HINTS: Final = {
    401: "See that GITHUB_TOKEN is a token that has not expired, or unset it.",
    403: _OFTEN,
    429: _OFTEN,
}


class GitHubStore:
    """The attestations of a repository on GitHub.

    Args:
        client: sends the requests.
        repository: ``OWNER/NAME``.
        token: may write attestations, or read them; those of public repositories are read without one.
        api: the API's own URL, which GitHub Enterprise Server has elsewhere.
    """

    def __init__(self, client: Client, repository: str, token: Secret | None, api: str = API) -> None:
        if not _REPOSITORY.fullmatch(repository):
            raise AttestationError(
                f"{quoted(repository)} is no repository on GitHub",
                hint="GITHUB_REPOSITORY is OWNER/NAME; GitHub Actions sets it.",
            )
        self._client = client
        self._url = f"{api.rstrip('/')}/repos/{repository}/attestations"
        self._auth = None if token is None else BearerToken(token)

    @classmethod
    def from_environ(cls, client: Client, environ: Mapping[str, str]) -> Self:
        """The repository of the job that this process runs in.

        Raises:
            CredentialError: GITHUB_REPOSITORY or GITHUB_TOKEN is not set.
            AttestationError: GITHUB_REPOSITORY is no repository.
        """
        for name, hint in _VARIABLES.items():
            if not environ.get(name):
                raise CredentialError(f"GitHub is to keep the attestations, and {name} is not set", hint=hint)
        token = Secret(environ["GITHUB_TOKEN"], "the variable GITHUB_TOKEN")
        return cls(client, environ["GITHUB_REPOSITORY"], token, environ.get("GITHUB_API_URL") or API)

    def store(self, bundle: bytes, filename: str) -> str:
        """Have GitHub keep *bundle*, of the file *filename*.

        Returns:
            the number under which it is kept; empty where GitHub gave none.

        Raises:
            CredentialError: GitHub did not take the token.
            AttestationError: it did not take the bundle.
            keelback.errors.TransportError: no answer came.
        """
        body = b'{"bundle":' + bundle + b"}"
        headers = {**_HEADERS, "content-type": "application/json"}
        answer = self._client.send(Request("POST", self._url, auth=self._auth, headers=headers, body=body))
        if not answer.ok:
            _refuse(answer, f"{filename}: GitHub did not take the attestation")
        members = answer.json()
        number = members.get("id") if isinstance(members, dict) else None
        return str(number) if isinstance(number, int | str) else ""

    def read(self, sha256: str) -> list[bytes]:
        """The bundles that GitHub keeps for the file with this hash, a hundred at most; none is no error.

        Raises:
            CredentialError: GitHub did not take the token.
            AttestationError: it answered something else.
            keelback.errors.TransportError: no answer came.
        """
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256 in lower-case hexadecimal")
        url = f"{self._url}/sha256:{sha256}?per_page={_MOST}"
        answer = self._client.get(Request("GET", url, auth=self._auth, headers=_HEADERS, limit=_LARGEST_ANSWER))
        if answer.status == 404:
            return []
        if not answer.ok:
            _refuse(answer, f"GitHub gave no attestations for sha256:{sha256}", _READING_HINTS)
        members: Any = answer.json()
        entries = members.get("attestations") if isinstance(members, dict) else None
        if not isinstance(entries, list):
            raise AttestationError(f"{host_of(answer.url)} answered something else than attestations", code="server")
        bundles = (entry.get("bundle") for entry in entries if isinstance(entry, dict))
        return [json.dumps(bundle).encode() for bundle in bundles if isinstance(bundle, dict)]


def _refuse(answer: Answer, what: str, hints: Mapping[int, str] = _HINTS) -> NoReturn:
    words = servers_words(answer)
    message = f"{what}: HTTP {answer.status}{f': {words}' if words else ''}"
    hint = hints.get(answer.status, "")
    if answer.status == 401:
        raise CredentialError(message, hint=hint, code="credential-refused")
    raise AttestationError(message, hint=hint, code="forbidden" if answer.status == 403 else "server")
