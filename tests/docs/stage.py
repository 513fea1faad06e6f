"""Where the commands of a page run: a folder with packages, a home, and the hosts that the page names.

Home and working folder go by other names on a page: :meth:`Stage.cast` puts the real ones in their place before a
command runs, :meth:`Stage.as_shown` puts those of the page back into what it prints. Whatever a page calls a token is
the token of its server.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Final, Self

import making
from docs.network import Network
from leaks import holds_secrets
from servers.scripted.conda_forge import make_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOME: Final = "/home/ann"
PROJECT: Final = "/home/ann/project"

SHOWN: Final = {
    "PREFIX_API_KEY": "pfx_your_token",
    "ANACONDA_API_KEY": "your-token",
    "QUETZ_API_KEY": "your-key",
    "ARTIFACTORY_TOKEN": "your-token",
    "ARTIFACTORY_PASSWORD": "your-password",
    "TOKEN_ONE": "token-of-one",
    "TOKEN_TWO": "token-of-two",
    "CLOUDSMITH_API_KEY": "your-api-key",
}
"""What pages write in the place of each secret."""


STORES: Final = ("credentials.json", "build-auth.json")
"""Files in which logins are kept, so that there are secrets in them."""


PLAIN: Final = ("patch_instructions.json",)
"""Files of JSON that are none with logins."""


class Stage:
    """The world of one page; a context.

    Args:
        folder: an empty one.
        clouds: whether there are buckets.

    Attributes:
        home: the home folder of the commands.
        project: the folder in which they run.
        network: what they can reach.
        secrets: what each variable that holds a secret really holds here.
    """

    def __init__(self, folder: Path, *, clouds: bool = False) -> None:
        self.home = folder / "home"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        make_packages(self.project)
        self.network = Network(folder, sorted((self.project / "dist").iterdir()), clouds=clouds)
        self.secrets = self.network.secrets | {"TOKEN": self.network.secrets["PREFIX_API_KEY"]}

    def __enter__(self) -> Self:
        self.network.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        for path in self.home.rglob("*.json"):
            if path.name in STORES:
                holds_secrets(path)
        self.network.__exit__(*exception)

    @property
    def variables(self) -> dict[str, str]:
        """What every command finds in its environment."""
        return self.network.variables

    def set_scene(self, name: str) -> None:
        """Have it as the page presumes: *name* is a key of :data:`SCENES`, or ``gcloud-login``."""
        if name == "gcloud-login":
            self._log_in_with_gcloud()
        else:
            SCENES[name](self.project)

    def _log_in_with_gcloud(self) -> None:
        """Leave what ``gcloud auth application-default login`` does."""
        clouds = self.network.clouds
        assert clouds is not None, "the page names no bucket"
        folder = self.home / ("AppData" if os.name == "nt" else ".config") / "gcloud"
        folder.mkdir(parents=True)
        path = holds_secrets(folder / "application_default_credentials.json")
        path.write_text(json.dumps(clouds.google_login), encoding="utf-8")

    # --- there and back ---------------------------------------------------------------------------------------------

    def cast(self, text: str) -> str:
        """*text* with the real folders in place of those that it names."""
        return text.replace(PROJECT, str(self.project)).replace(HOME, str(self.home))

    def as_shown(self, text: str) -> str:
        """What a command printed, as the page shows it."""
        return text.replace(str(self.project), PROJECT).replace(str(self.home), HOME)

    def without_secrets(self, text: str) -> str:
        """*text*, which a command is meant to print, with the page's word for each secret."""
        for name, word in SHOWN.items():
            text = text.replace(self.secrets[name], word)
        return text

    # --- files ------------------------------------------------------------------------------------------------------

    def write(self, shown: str, content: str) -> None:
        """Write the file that a page calls *shown*; what it has for tokens become those of the servers."""
        path = self.home / shown[2:] if shown.startswith("~/") else self.project / shown
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json" and path.name not in PLAIN:
            content = json.dumps(self._auth_file(json.loads(content)))
        else:
            content = self._with_secrets(content)
        holds_secrets(path).write_text(content, encoding="utf-8")
        path.chmod(0o600)

    def _auth_file(self, shown: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {key: self._entry(key, entry) for key, entry in shown.items()}

    def _entry(self, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        ((kind, payload),) = entry.items()
        if kind == "BasicHTTP":
            variable = "CLOUDSMITH_API_KEY" if "cloudsmith" in key else "ARTIFACTORY_PASSWORD"
            return {kind: {"username": payload["username"], "password": self.secrets[variable]}}
        return {kind: self.secrets[_variable_of(key)] if isinstance(payload, str) else payload}

    def _with_secrets(self, content: str) -> str:
        for name, value in self.secrets.items():
            content = content.replace(f"your-{name.lower().replace('_', '-')}", value)
        return content.replace(SHOWN["PREFIX_API_KEY"], self.secrets["PREFIX_API_KEY"])


def _variable_of(key: str) -> str:
    services = (("prefix", "PREFIX"), ("anaconda", "ANACONDA"), ("quetz", "QUETZ"), ("cloudsmith", "CLOUDSMITH"))
    for word, variable in services:
        if word in key:
            return f"{variable}_API_KEY"
    return "ARTIFACTORY_TOKEN"


def make_packages(project: Path, text: str = "afloat") -> None:
    """Put the packages that every page presumes into ``dist/`` and, as rattler-build does, ``output/``."""
    content = {"share/hull/plank.txt": f"{text}\n".encode()}
    for noarch, linux in (("dist", "dist"), ("output/noarch", "output/linux-64")):
        making.make_conda(project / noarch, "hull", "1.0", payload=content)
        making.make_conda(project / noarch, "ahoy", "1.0", depends=["hull >=1.0"])
        making.make_tar_bz2(project / linux, "anchor", "2.1", subdir="linux-64")


def _other_bytes(project: Path) -> None:
    """``hull`` was built again, with another result."""
    make_packages(project, text="afloat once more")


def _cut_short(project: Path) -> None:
    """A download or a full disk has cut ``ahoy`` short."""
    archive = project / "dist" / "ahoy-1.0-h0_0.conda"
    archive.write_bytes(archive.read_bytes()[:400])


def _as_before(project: Path) -> None:
    """All packages are as they were at first."""
    make_packages(project)


def _new_version(project: Path) -> None:
    """There is a new version of ``hull``."""
    making.make_conda(project / "dist", "hull", "1.1")


def _stray(project: Path) -> None:
    """The feedstock of ``hull`` builds ``ahoy``, too, which is somebody else's."""
    make_output(project / "output" / "noarch", "ahoy")


def _feedstock(project: Path) -> None:
    """``hull`` is built in a feedstock of conda-forge, and says for which label it is."""
    make_output(project / "output" / "noarch", "hull")
    for path in (*(project / "output").rglob("ahoy*"), *(project / "output").rglob("anchor*")):
        path.unlink()


SCENES: Final[dict[str, Callable[[Path], None]]] = {
    "other-bytes": _other_bytes,
    "cut-short": _cut_short,
    "as-before": _as_before,
    "new-version": _new_version,
    "feedstock": _feedstock,
    "stray": _stray,
}
"""What a page may presume to have happened."""


@contextlib.contextmanager
def stage_in(folder: Path, *, clouds: bool = False) -> Iterator[Stage]:
    """A stage in *folder*, with buckets or without; at its end every server has to be content with what it was sent."""
    with Stage(folder, clouds=clouds) as stage:
        yield stage
    for server in stage.network.servers:
        server.assert_clean()
