"""Makes the environments of the programs that keelback is tested against, in `.peers/`.

    python scripts/peers.py

Quetz is a real server whose dependencies are too old to share an environment with anything else; SeaweedFS is an S3
server that comes as a wheel, with boto3 as a client of it, and moto another; the identity server is oidc-provider,
which needs Node.js, as do Azurite, the emulator of Azure Blob Storage, and s3rver, an S3 server that ignores
conditions. There is an emulator of Google Cloud Storage, and Cloudsmith's own client, which keelback is compared with.
The public bundles are attestations that others made, in the source distributions that carry them; CycloneDX's tool
makes a bill of materials.
What cannot be made is said, with the reason, and its tests are skipped; with
``KEELBACK_REQUIRE_PEERS`` set it is a failure.
nginx is not made here: it comes from the system (see CONTRIBUTING.md).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "tests" / "peers"
PEERS = ROOT / ".peers"


def make_environment(name: str, *options: str) -> str:
    """Make `.peers/NAME` out of NAME-requirements.txt with these *options* of pip, unless it is there and up to date.

    Returns:
        Why that failed, or an empty string.
    """
    home = PEERS / name
    requirements = REQUIREMENTS / f"{name}-requirements.txt"
    stamp = home / "ready"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return ""
    shutil.rmtree(home, ignore_errors=True)
    print(f"{name}: making .peers/{name} (a minute, once)", flush=True)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    log = PEERS / f"{name}.log"
    PEERS.mkdir(exist_ok=True)
    with log.open("wb") as output:
        for command in (
            [sys.executable, "-m", "venv", home],
            # Wheels only: compiling old pins would take a toolchain that nobody was promised to need.
            [python, "-m", "pip", "install", *options, "--only-binary", ":all:", "--requirement", requirements],
        ):
            done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
            if done.returncode != 0:
                return _last_line(log)
    stamp.write_text(wanted, encoding="ascii")
    return ""


def make_node_package(name: str) -> str:
    """Make `.peers/NAME` out of the folder NAME, unless it is there and up to date; returns as above."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "Node.js with npm is not installed"
    sources = sorted(path for path in (REQUIREMENTS / name).iterdir() if path.suffix in (".json", ".mjs"))
    home = PEERS / name
    stamp = home / "ready"
    wanted = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return ""
    shutil.rmtree(home, ignore_errors=True)
    print(f"{name}: making .peers/{name} (seconds, once)", flush=True)
    home.mkdir(parents=True)
    for source in sources:
        shutil.copy(source, home)
    log = PEERS / f"{name}.log"
    with log.open("wb") as output:
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=home, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        return _last_line(log)
    stamp.write_text(wanted, encoding="ascii")
    return ""


def get_public_bundles() -> str:
    """Get the source distributions of `.peers/public-bundles`, unless they are there; returns why that failed."""
    requirements = REQUIREMENTS / "public-bundles-requirements.txt"
    home = PEERS / "public-bundles"
    stamp = home / "ready"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return ""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    log = PEERS / "public-bundles.log"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--dest", home]
    command += ["--no-binary", "conda-sigstore,pypi-attestations", "--requirement", requirements]
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        return _last_line(log)
    stamp.write_text(wanted, encoding="ascii")
    return ""


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    told = [line.strip() for line in lines if line.startswith("ERROR")] or [
        line.strip() for line in lines if line.strip()
    ]
    return f"{told[-1] if told else 'it said nothing'} (all of it in {log.relative_to(ROOT)})"


def main() -> int:
    """Make every peer; returns 1 where one is missing and none may be."""
    made = {
        "quetz": make_environment("quetz"),
        "seaweedfs": make_environment("seaweedfs"),
        "cyclonedx": make_environment("cyclonedx"),
        "moto": make_environment("moto"),
        "gcs-emulator": make_environment("gcs-emulator"),
        "cloudsmith": make_environment("cloudsmith", "--no-deps"),
        "identity-server": make_node_package("identity-server"),
        "azurite": make_node_package("azurite"),
        "s3rver": make_node_package("s3rver"),
        "public-bundles": get_public_bundles(),
    }
    missing = {name: why_not for name, why_not in made.items() if why_not}
    for name, why_not in missing.items():
        print(f"{name}: not available, its tests will be skipped: {why_not}", file=sys.stderr)
    return 1 if missing and os.environ.get("KEELBACK_REQUIRE_PEERS") else 0


if __name__ == "__main__":
    raise SystemExit(main())
