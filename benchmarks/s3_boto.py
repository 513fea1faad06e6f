"""What benchmarks do in a bucket that is not measured, and one thing that is: the upload with boto3.

It runs in the environment that has boto3, which is not the one of the benchmarks; keys and region are in ``AWS_*``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

THREADS: Final = 8
INDEX: Final = "noarch/repodata.json"
_ROOM: Final = "room"
_CONTENT: Final = b"an archive that nobody reads"


class Channel:
    """A place in a bucket.

    Args:
        endpoint: URL of the service.
        url: ``BUCKET/PREFIX``.
    """

    def __init__(self, endpoint: str, url: str) -> None:
        self.bucket, _, prefix = url.partition("/")
        self.prefix = f"{prefix}/"
        config = Config(s3={"addressing_style": "path"}, max_pool_connections=2 * THREADS)
        self.s3: Any = boto3.client("s3", endpoint_url=endpoint, config=config)

    def there(self) -> dict[str, tuple[str, int]]:
        """From all keys below the prefix, to ETag and size."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        return {
            each["Key"].removeprefix(self.prefix): (each["ETag"], each["Size"])
            for page in pages
            for each in page.get("Contents", ())
        }

    def read(self, key: str) -> bytes:
        """The content under *key*."""
        content = self.s3.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()
        assert isinstance(content, bytes)
        return content

    def write(self, key: str, content: bytes) -> None:
        """Put *content* under *key*."""
        self.s3.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content)

    def delete(self, key: str) -> None:
        """Have nothing under *key*."""
        self.s3.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    # --- what is asked for ------------------------------------------------------------------------------------------

    def make(self) -> None:
        """Make the bucket, with something in it, so that the server has room for it."""
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_object(Bucket=self.bucket, Key=_ROOM, Body=_CONTENT)

    def remove(self) -> None:
        """Remove all that is below the prefix, and the bucket, so that the server gives back what room it took."""
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self.delete, self.there()))
        self.s3.delete_object(Bucket=self.bucket, Key=_ROOM)
        self.s3.delete_bucket(Bucket=self.bucket)

    def upload(self, *files: str) -> None:
        """Upload *files*, eight at once, as ``aws s3 cp --recursive`` would."""
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(
                lambda file: self.s3.upload_file(file, self.bucket, f"{self.prefix}noarch/{Path(file).name}"), files
            ):
                pass

    def fill(self, repodata: str) -> None:
        """Put the index in the file *repodata* here, and before it a small object for each of its records."""
        index = json.loads(Path(repodata).read_bytes())
        for record in index["packages.conda"].values():
            record |= {"subdir": "noarch", "size": len(_CONTENT)}
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(lambda name: self.write(f"noarch/{name}", _CONTENT), index["packages.conda"]):
                pass
        index["info"]["subdir"] = "noarch"
        self.write(INDEX, json.dumps(index).encode())

    def save(self, folder: str) -> None:
        """Keep in *folder* what is here; of archives only that they are."""
        shutil.rmtree(folder, ignore_errors=True)
        there = self.there()
        workdir = Path(folder)
        workdir.mkdir()
        (workdir / "there.json").write_text(json.dumps(there))
        kept = [key for key in there if not key.endswith(".conda")]
        with ThreadPoolExecutor(THREADS) as pool:
            for key, content in zip(kept, pool.map(self.read, kept), strict=True):
                (workdir / key.replace("/", "\\")).write_bytes(content)

    def restore(self, folder: str) -> None:
        """Have here what *folder* keeps, and nothing else."""
        workdir = Path(folder)
        kept = {key: tuple(told) for key, told in json.loads((workdir / "there.json").read_text()).items()}
        there = self.there()

        def bring(key: str) -> None:
            if key not in kept:
                self.delete(key)
            elif there.get(key) != kept[key]:
                self.write(key, (workdir / key.replace("/", "\\")).read_bytes())

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(bring, kept.keys() | there.keys()))

    def count(self) -> None:
        """Print what there is of archives and records."""
        sizes = [size for key, (_, size) in self.there().items() if key.endswith(".conda")]
        index = json.loads(self.read(INDEX))
        print(json.dumps({
            "archives": len(sizes),
            "bytes": sum(sizes),
            "records": sum(len(index[kind]) for kind in ("packages", "packages.conda")),
        }))  # fmt: skip


def main() -> None:
    """Do what the command line says: the name of a method of :class:`Channel`, and its arguments."""
    parser = argparse.ArgumentParser(description="do something in a bucket")
    parser.add_argument("task", choices=("make", "remove", "upload", "fill", "save", "restore", "count"))
    parser.add_argument("endpoint")
    parser.add_argument("channel", metavar="BUCKET/PREFIX")
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    getattr(Channel(options.endpoint, options.channel), options.task)(*options.arguments)


if __name__ == "__main__":
    main()
