"""Where the commands of a page run: a folder with packages, a home, and a scripted server for each host in the text.

A page speaks of prefix.dev, anaconda.org, quetz.example.com and example.com/artifactory. :meth:`Stage.cast` puts the
address of a scripted server in their place before a command runs, and :meth:`Stage.as_shown` puts them back into what
it prints; home and working folder are treated likewise. Whatever a page calls a token is the token of its server.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, Final, Self

import making
from leaks import holds_secrets, new_secret
from servers.scripted import AnacondaServer, ArtifactoryServer, PrefixServer, QuetzServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.scripted import ScriptedServer

CHANNEL: Final = "my-channel"
OWNER: Final = "my-org"
REPOSITORY: Final = "conda-local"
USER: Final = "ann"

HOME: Final = "/home/ann"
PROJECT: Final = "/home/ann/project"


class Stage:
    """The world of one page; a context.

    Args:
        folder: an empty one.

    Attributes:
        home: the home folder of the commands.
        project: the folder in which they run.
        variables: what each variable that holds a secret really holds here.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        make_packages(self.project)
        self.variables = {
            "PREFIX_API_KEY": new_secret("docs-prefix"),
            "ANACONDA_API_KEY": new_secret("docs-anaconda"),
            "QUETZ_API_KEY": new_secret("docs-quetz"),
            "ARTIFACTORY_TOKEN": new_secret("docs-artifactory-token"),
            "ARTIFACTORY_PASSWORD": new_secret("docs-artifactory-password"),
        }
        secret = self.variables
        self._prefix = PrefixServer(secret["PREFIX_API_KEY"], channel=CHANNEL)
        self._anaconda = AnacondaServer(secret["ANACONDA_API_KEY"], owner=OWNER)
        self._quetz = QuetzServer(secret["QUETZ_API_KEY"], channel=CHANNEL)
        self._artifactory = ArtifactoryServer(
            secret["ARTIFACTORY_TOKEN"], username=USER, password=secret["ARTIFACTORY_PASSWORD"], repo=REPOSITORY
        )
        self._running = contextlib.ExitStack()

    @property
    def servers(self) -> list[ScriptedServer]:
        """All servers."""
        return [self._prefix, self._anaconda, self._quetz, self._artifactory]

    def __enter__(self) -> Self:
        for server in self.servers:
            self._running.enter_context(server)
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.close()

    def set_scene(self, name: str) -> None:
        """Change the packages as the page presumes; *name* is a key of :data:`SCENES`."""
        SCENES[name](self.project)

    # --- there and back ---------------------------------------------------------------------------------------------

    def cast(self, text: str) -> str:
        """*text* with the addresses of the scripted servers in place of those that it names."""
        prefix, anaconda, quetz, artifactory = (server.url for server in self.servers)
        for pattern, address in (
            (r"https://prefix\.dev(?=/)", f"prefix+{prefix}"),
            (rf"https://anaconda\.org/{OWNER}/(?=\w)", f"anaconda+{anaconda}/{OWNER}/label/"),
            (r"https://anaconda\.org(?=/)", f"anaconda+{anaconda}"),
            (r"(?<=quetz\+)https://quetz\.example\.com", quetz),
            (r"(?<=-u )https://quetz\.example\.com|(?<==)https://quetz\.example\.com", quetz),
            (r"https://quetz\.example\.com", f"quetz+{quetz}"),
            (r"(?<=artifactory\+)https://example\.com", artifactory),
            (r"(?<=-u )https://example\.com(?=/artifactory)", artifactory),
            (r"(?<==)https://example\.com(?=/artifactory)", artifactory),
            (r"https://example\.com(?=/artifactory)", f"artifactory+{artifactory}"),
        ):
            text = re.sub(pattern, address, text)
        return text

    def default_url(self, arguments: list[str]) -> list[str]:
        """The options that send ``keelback upload prefix`` and ``anaconda`` to the scripted server."""
        servers = {"prefix": self._prefix, "anaconda": self._anaconda}
        if arguments[:1] != ["upload"] or arguments[1:2] == [] or arguments[1] not in servers:
            return []
        return [] if {"-u", "--url"} & set(arguments) else ["--url", servers[arguments[1]].url]

    def as_shown(self, text: str) -> str:
        """What a command printed, as the page shows it."""
        names = ("prefix.dev", "conda.anaconda.org", "quetz.example.com", "example.com")
        for server, name in zip(self.servers, names, strict=True):
            text = text.replace(server.url, f"https://{name}").replace(server.url.removeprefix("http://"), name)
        return text.replace(str(self.project), PROJECT).replace(str(self.home), HOME)

    # --- files ------------------------------------------------------------------------------------------------------

    def write(self, shown: str, content: str) -> None:
        """Write the file that a page calls *shown*; the keys and tokens of an auth file become those of the servers."""
        path = self.home / shown[2:] if shown.startswith("~/") else self.project / shown
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            content = json.dumps(self._auth_file(json.loads(content)))
        else:
            content = self._with_secrets(content)
        holds_secrets(path).write_text(content, encoding="utf-8")
        path.chmod(0o600)

    def _auth_file(self, shown: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """All servers are on one host here, so of the keys shown the last one whose server takes tokens counts."""
        found: dict[str, dict[str, Any]] = {}
        for key, entry in shown.items():
            ((kind, payload),) = entry.items()
            if kind == "BasicHTTP":
                payload = {"username": USER, "password": self.variables["ARTIFACTORY_PASSWORD"]}
            else:
                payload = self.variables[_variable_of(key)]
            found["127.0.0.1"] = {kind: payload}
        return found

    def _with_secrets(self, content: str) -> str:
        for name, value in self.variables.items():
            content = content.replace(f"your-{name.lower().replace('_', '-')}", value)
        return content


def _variable_of(key: str) -> str:
    for word, variable in (("prefix", "PREFIX"), ("anaconda", "ANACONDA"), ("quetz", "QUETZ")):
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


SCENES: Final[dict[str, Callable[[Path], None]]] = {
    "other-bytes": _other_bytes,
    "cut-short": _cut_short,
    "as-before": _as_before,
    "new-version": _new_version,
}
"""What a page may presume to have happened."""


@contextlib.contextmanager
def stage_in(folder: Path) -> Iterator[Stage]:
    """A stage in *folder*; at its end every server has to be content with what it was sent."""
    with Stage(folder) as stage:
        yield stage
    for server in stage.servers:
        server.assert_clean()
