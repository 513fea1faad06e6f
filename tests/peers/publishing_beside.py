"""keelback and py-rattler-build, each publishing with trusted publishing in the same scene, and what was seen of it.

py-rattler-build is what rattler-build uploads with, without its command line: it prints no warnings, whatever
``RUST_LOG`` says. It finds its way by the same variables as keelback (``HTTPS_PROXY``, ``SSL_CERT_FILE``), so that both
go to prefix.dev by its name.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import leaks
from cli_runner import run_keelback
from keelback.provenance.packages import attest
from making import make_conda
from servers.scripted import Trap
from servers.scripted.publishing_world import CHANNEL, PublishingWorld
from servers.scripted.sigstore_world import SigstoreWorld

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_UPLOAD = """
import json, os, sys
import rattler_build
options = json.load(sys.stdin)
try:
    rattler_build.upload_package_to_prefix(options.pop("files"), **options)
except BaseException as error:
    print(type(error).__name__, error)
    sys.stdout.flush()
    os._exit(1)
os._exit(0)  # its threads may crash the interpreter's orderly end
"""


class Scene:
    """A job of GitHub Actions with a few packages, and the servers it may meet; a context.

    Attributes:
        world: the CI system, prefix.dev and those that look like it.
        sigstore: what keelback is told to sign with.
        trap: a server that belongs to somebody else.
        api_key: a key that prefix.dev takes.
        folder: room for files.
        files: the packages, ``demo0-1.0-h0_0.conda`` and so on.
        server: where they go.
        env: the variables of the job.
        options: what both programs are told, in the words of ``upload_package_to_prefix``.
    """

    def __init__(self, folder: Path) -> None:
        self.api_key = leaks.new_secret("api-key")
        self.folder = folder
        self.world = PublishingWorld(folder, keys={self.api_key: "the key"})
        self.sigstore = SigstoreWorld(self.world.github_issuer)
        self.trap = Trap()
        self.files: list[Path] = []
        self.server = "https://prefix.dev"
        self.env: dict[str, str] = {}
        self.options: dict[str, Any] = {}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        for part in (self.world, self.sigstore, self.trap):
            self._running.enter_context(part)
        self.env = self.world.github()
        self.packages(3)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def packages(self, count: int) -> None:
        """Have *count* packages."""
        self.files = [make_conda(self.folder / "dist", f"demo{number}") for number in range(count)]

    def without(self, prefix: str) -> None:
        """Take the variables that begin with *prefix* out of the job."""
        self.env = {name: value for name, value in self.env.items() if not name.startswith(prefix)}

    def store(self) -> None:
        """Put the key into the auth file that the job has."""
        path = leaks.holds_secrets(self.folder / "auth.json")
        path.write_text(json.dumps({"*.prefix.dev": {"BearerToken": self.api_key}}))
        self.env["RATTLER_AUTH_FILE"] = str(path)

    def attest(self, *files: Path) -> list[Path]:
        """Attestations of *files* that were made elsewhere."""
        kept = self.folder / "attestations"
        channel = f"https://prefix.dev/{CHANNEL}"
        options = {"oidc_token": self.sigstore.identity(), "trust_config": self.sigstore.trust_config}
        attest(files, channel=channel, attestation_dir=kept, **options)
        return [kept / f"{file.name}.sigstore.json" for file in files]


class Finished(NamedTuple):
    """How a program ended, and what it printed."""

    went_well: bool
    output: str


def keelback(scene: Scene) -> Finished:
    """``keelback publish``, with a shorter wait between attempts; all else is as it is by default."""
    options, key = dict(scene.options), None
    arguments = ["publish", "--to", f"prefix+{scene.server}/{CHANNEL}", "--retry-delay", "0.01"]
    if "api_key" in options:
        key = options.pop("api_key")
        arguments += ["--api-key", "-"]
    if options.pop("generate_attestation", False):
        arguments += ["--attest"]
    if "attestation_file" in options:
        arguments += ["--attestation", options.pop("attestation_file")]
    assert not options
    env = {**scene.env, "KEELBACK_TRUST_CONFIG": str(scene.sigstore.trust_config)}
    done = run_keelback([*arguments, *map(str, scene.files)], env=env, input=key)
    return Finished(done.returncode == 0, done.stdout + done.stderr)


def rattler_build(scene: Scene) -> Finished:
    """py-rattler-build's ``upload_package_to_prefix``, in a process of its own."""
    home = scene.folder / "home"
    home.mkdir()
    asked = {"files": [str(file) for file in scene.files], "url": scene.server, "channels": CHANNEL, **scene.options}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _UPLOAD],
        input=json.dumps(asked),
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **scene.env},
        cwd=home,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return Finished(done.returncode == 0, done.stdout + done.stderr)


@dataclass(frozen=True)
class Seen:
    """What a run came to. It holds no secret, only the labels of those that were where they do not belong.

    Attributes:
        went_well: what the program said of itself.
        uploaded: how many packages prefix.dev has.
        identities: for whom the job asked for identities, in order.
        exchanges: how many tokens prefix.dev gave for them.
        used: what the uploads came with.
        attested: how many packages have an attestation that is theirs.
        misattested: how many have something else in its place, such as that of another package.
        told: secrets that another server heard.
        shown: secrets in what the program printed.
        says: what it printed, or some of that.
    """

    went_well: bool
    uploaded: int = 0
    identities: Sequence[str] = ()
    exchanges: int = 0
    used: Sequence[str] = ()
    attested: int = 0
    misattested: int = 0
    told: Sequence[str] = ()
    shown: Sequence[str] = ()
    says: str = field(default="", compare=False)


def seen(scene: Scene, finished: Finished) -> Seen:
    """What there is to see of a run that has ended."""
    prefix = scene.world.prefix
    bundles = {path: bundle for path, (bundle, *_) in prefix.attestations.items()}
    own = sum(_is_of(path.rpartition("/")[2], bundle) for path, bundle in bundles.items())
    return Seen(
        went_well=finished.went_well,
        uploaded=len(prefix.files),
        identities=tuple(scene.world.audiences),
        exchanges=prefix.minted,
        used=tuple(dict.fromkeys(prefix.used)),
        attested=own,
        misattested=len(bundles) - own,
        told=tuple(leaks.find(scene.trap.heard() + scene.world.elsewhere.heard())),
        shown=tuple(leaks.find(finished.output)),
        says=leaks.masked(finished.output),
    )


def _is_of(filename: str, bundle: dict[str, Any] | list[Any]) -> bool:
    if isinstance(bundle, list):
        return False
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return [subject["name"] for subject in statement["subject"]] == [filename]
