"""A real SeaweedFS with its S3 interface, and its security token service or keys of its own; boto3 as a client of it.

Both come out of the environment that ``scripts/peers.py`` makes in ``.peers/seaweedfs``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import leaks
from peers.process import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.credentials.kinds import S3Credentials

HOME = Path(__file__).resolve().parents[2] / ".peers" / "seaweedfs"
BIN = HOME / ("Scripts" if os.name == "nt" else "bin")
WHY_NOT = "" if (HOME / "ready").is_file() else "there is no .peers/seaweedfs: `make peers` says why"

ROLE = "arn:aws:iam::role/Uploader"
"""May be assumed with identities of the issuer, and do everything in S3."""

_CLIENT = """
import json, sys
import boto3
from botocore.exceptions import ClientError
said = json.load(sys.stdin)
s3 = boto3.client("s3", region_name="us-east-1", **said["client"])
try:
    s3.create_bucket(Bucket=said["bucket"])
    s3.put_object(Bucket=said["bucket"], Key="noarch/repodata.json", Body=said["content"].encode())
    print(s3.get_object(Bucket=said["bucket"], Key="noarch/repodata.json")["Body"].read().decode(), end="")
except ClientError as error:
    print(error.response["Error"]["Code"], end="")
"""


class SeaweedFS:
    """A running server.

    Attributes:
        url: of S3, and of the security token service.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def stores(self, keys: S3Credentials, bucket: str, content: str) -> str:
        """What is read back after boto3 has made *bucket* and stored *content* in it with *keys*; or the error."""
        client = {
            "endpoint_url": self.url,
            "aws_access_key_id": keys.access_key_id,
            "aws_secret_access_key": keys.secret_access_key.reveal(),
            "aws_session_token": None if keys.session_token is None else keys.session_token.reveal(),
        }
        done = subprocess.run(
            [BIN / "python", "-c", _CLIENT],
            input=json.dumps({"client": client, "bucket": bucket, "content": content}),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout


@contextlib.contextmanager
def serving(folder: Path, *, issuer: str, audience: str) -> Iterator[SeaweedFS]:
    """Run the server with its security token service out of *folder*, which is made, until the block ends.

    Args:
        folder: where its files go.
        issuer: whose identities it takes; its keys are fetched from there.
        audience: for whom they have to be made.
    """
    with _running(folder, "s3.iam.config", _iam(issuer, audience)) as server:
        yield server


@contextlib.contextmanager
def serving_keys(folder: Path, *, admin: tuple[str, str], reader: tuple[str, str]) -> Iterator[SeaweedFS]:
    """Run the server out of *folder*, which is made, until the block ends.

    Args:
        folder: where its files go.
        admin: access key id and secret of who may do everything.
        reader: those of who may only read and list.
    """
    with _running(folder, "s3.config", _identities(admin, reader)) as server:
        yield server


@contextlib.contextmanager
def _running(folder: Path, option: str, content: dict[str, object]) -> Iterator[SeaweedFS]:
    """Run the server with *content* in the file that *option* names."""
    (folder / "data").mkdir(parents=True)
    config = folder / "config.json"
    config.write_text(json.dumps(content), encoding="utf-8")
    leaks.holds_secrets(config)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    ports: list[int] = []

    def command(port: int) -> list[str | Path]:
        names = ("master.port", "volume.port", "filer.port")
        ports[:] = _free_ports(7)
        listeners = dict(zip([*names, *(f"{name}.grpc" for name in names), "s3.port.grpc"], ports, strict=True))
        options = {
            "dir": folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
            "iam": "false",
            "filer": "true",
            "s3": "true",
            "s3.port": port,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": "s3.sock",
            "filer.localSocket": "filer.sock",
            option: config,
            **listeners,
        }
        return [BIN / "weed", "-logtostderr", "server", *(f"-{name}={value}" for name, value in options.items())]

    try:
        with listening(command, cwd=folder, log=folder / "output.log", env=env) as port:
            yield SeaweedFS(f"http://127.0.0.1:{port}")
    finally:
        shutil.rmtree(folder / "data", ignore_errors=True)  # nobody looks at it any more, least of all byte by byte
        for left in Path("/tmp").glob("seaweedfs-*-grpc-*.sock"):  # no option puts these elsewhere
            if left.stem.rpartition("-")[2] in map(str, ports):
                left.unlink()


def _identities(admin: tuple[str, str], reader: tuple[str, str]) -> dict[str, object]:
    """Who has which keys (SeaweedFS wiki, "Amazon S3 API", "Authentication")."""
    rights = {"admin": (admin, ["Admin", "Read", "List", "Tagging", "Write"]), "reader": (reader, ["Read", "List"])}
    identities = [
        {"name": name, "credentials": [{"accessKey": key_id, "secretKey": secret}], "actions": actions}
        for name, ((key_id, secret), actions) in rights.items()
    ]
    return {"identities": identities}


def _iam(issuer: str, audience: str) -> dict[str, object]:
    """Who may assume the role (SeaweedFS wiki, "OIDC Integration")."""
    trusted = {"Effect": "Allow", "Principal": {"Federated": "ci"}, "Action": ["sts:AssumeRoleWithWebIdentity"]}
    allowed = {"Effect": "Allow", "Action": ["s3:*", "sts:ValidateSession"], "Resource": ["*"]}
    provider = {"issuer": issuer, "clientId": audience, "jwksUri": f"{issuer}/jwks.json", "scopes": ["openid"]}
    role = {
        "roleName": "Uploader",
        "roleArn": ROLE,
        "trustPolicy": {"Version": "2012-10-17", "Statement": [trusted]},
        "attachedPolicies": ["Everything"],
    }
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "seaweedfs", "signingKey": key},
        "providers": [{"name": "ci", "type": "oidc", "enabled": True, "config": provider}],
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "roles": [role],
        "policies": [{"name": "Everything", "document": {"Version": "2012-10-17", "Statement": [allowed]}}],
    }


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        return [probes.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]
