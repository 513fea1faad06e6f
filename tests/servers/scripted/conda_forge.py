"""conda-forge: a staging area on anaconda.org, what is in production there, and the service that copies between them.

(conda-forge-webservices, ``webapp.py``: ``OutputsCopyHandler``.) The two halves get a token each, and must not see the
other's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from making import conda_entries, info_members, tar, write_zip

from .anaconda import AnacondaServer, _dist_object
from .engine import route
from .exchange import Exchange, json_answer
from .shelf import Body, Stored

if TYPE_CHECKING:
    from pathlib import Path

    from .wire import Answer

STAGING = "cf-staging"
PRODUCTION = "conda-forge"
_COPY = r"/feedstock-outputs/copy"
_DIST = rf"/dist/{PRODUCTION}/(?P<name>[^/]+)/(?P<version>[^/]+)/(?P<subdir>[^/]+)/(?P<filename>[^/]+)"
_MEMBERS = {"feedstock", "outputs", "channel", "comment_on_error", "hash_type", "provider"}


class CondaForgeServer(AnacondaServer):
    """conda-forge with one feedstock.

    Args:
        token: of the staging area.
        feedstock_token: of the feedstock.
        feedstock: its name.
        refused: names of packages that the feedstock may not have.
        options: what :class:`AnacondaServer` takes.
    """

    def __init__(
        self,
        token: str,
        feedstock_token: str,
        *,
        feedstock: str = "demo-feedstock",
        refused: frozenset[str] = frozenset(),
        **options: Any,
    ) -> None:
        super().__init__(token, owner=STAGING, **options)
        self.production: dict[str, Stored] = {}
        """What conda-forge has, by ``subdir/filename``."""
        self._feedstock_token = feedstock_token
        self._feedstock = feedstock
        self._refused = refused

    @property
    def endpoint(self) -> str:
        """What ``--validation-endpoint`` is given."""
        return f"{self.url}/feedstock-outputs/copy"

    def put_in_production(self, path: str, content: bytes, label: str = "main") -> None:
        """Have *content* in production already."""
        self.production[path] = Stored(Body.receive([content]), labels={label})

    def respond(self, exchange: Exchange) -> Answer:
        """The answer, after a look at which token came here."""
        request = exchange.recorded
        copies = request.step == "copy"
        other = request.header("authorization" if copies else "FEEDSTOCK_TOKEN")
        self.expect(exchange, other is None, "the token of the other half of conda-forge was sent here")
        return super().respond(exchange)

    @route("GET", _DIST, step="dist")
    def production_dist(self, exchange: Exchange, name: str, version: str, subdir: str, filename: str) -> Answer:
        """A file in production."""
        stored = self.production.get(f"{subdir}/{filename}")
        if stored is None or (stored.body.index or {}).get("name") != name:
            return self.refusal(404, f"{filename} not found")
        return json_answer(200, _dist_object(f"{subdir}/{filename}", version, stored, lying=exchange.lying))

    @route("POST", _COPY, step="copy")
    def copy(self, exchange: Exchange) -> Answer:
        """Copy what is valid to production, and remove it from the staging area."""
        asked = json.loads(exchange.read())
        self._check_copy(exchange, asked)
        if (
            exchange.recorded.header("FEEDSTOCK_TOKEN") != self._feedstock_token
            or asked["feedstock"] != self._feedstock
        ):
            return json_answer(400, {"error": {"message": "invalid feedstock token"}})
        with self.lock:
            errors: list[str] = []
            valid = {path: self._is_valid(path, hashed, asked, errors) for path, hashed in asked["outputs"].items()}
            for path in asked["outputs"]:
                if valid[path]:
                    self.production.setdefault(path, self.files[path])
                    self.shelf.remove(path)
        verdict = {"feedstock_exists": True, "errors": errors, "valid": valid, "copied": valid, "run_time": 0.1}
        return json_answer(200 if all(valid.values()) else 400, verdict)

    def _is_valid(self, path: str, hashed: str, asked: dict[str, Any], errors: list[str]) -> bool:
        staged = self.files.get(path)
        if staged is None or staged.sha256 != hashed or staged.labels != {asked["channel"]}:
            errors.append(f"output {path} does not have a valid checksum or correct label on {STAGING}")
            return False
        if (staged.body.index or {})["name"] in self._refused:
            errors.append(f"output {path} not allowed for conda-forge/{self._feedstock}")
            return False
        return True

    def _check_copy(self, exchange: Exchange, asked: dict[str, Any]) -> None:
        self.expect(exchange, set(asked) - {"git_sha"} == _MEMBERS, "the request has other members than it should")
        self.expect(exchange, asked["hash_type"] == "sha256", "hash_type is not sha256")
        self.expect(exchange, isinstance(asked["comment_on_error"], bool), "comment_on_error is not a boolean")
        self.expect(exchange, bool(asked["outputs"]), "nothing is to be copied")


def make_output(
    folder: Path,
    name: str = "demo",
    *,
    targets: str | None = "conda-forge main",
    config: str | None = None,
    text: str = "hello\n",
) -> Path:
    """A ``.conda`` as rattler-build makes it in a feedstock.

    Args:
        folder: where it goes.
        name: of the package.
        targets: its ``channel_targets``; ``None`` for a variant configuration without.
        config: the whole variant configuration, instead.
        text: what is in the one file that it installs.
    """
    files = {f"share/{name}.txt": text.encode()}
    info = info_members(name, files=files)
    if config is None:
        config = "target_platform: noarch\n" + ("" if targets is None else f"channel_targets: {targets}\n")
    info["info/recipe/variant_config.yaml"] = config.encode()
    stem = f"{name}-1.0-h0_0"
    folder.mkdir(parents=True, exist_ok=True)
    return write_zip(folder / f"{stem}.conda", conda_entries(stem, tar(info), tar(files)))
