"""nginx with WebDAV and basic auth: stands in for Artifactory, which takes packages by ``PUT`` under basic auth too.

What it does not have: checksum deploy, Artifactory's JSON, and an index that makes itself.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
from typing import TYPE_CHECKING

from peers.process import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin")
WHY_NOT = "" if PROGRAM else "nginx is not installed"

_CONFIG = """
daemon off;
master_process off;
pid nginx.pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        root www;
        auth_basic "packages";
        auth_basic_user_file htpasswd;
        location / {{
            dav_methods PUT;
            create_full_put_path on;
        }}
    }}
}}
"""


class Nginx:
    """A running nginx.

    Attributes:
        url: where it is, without a slash at the end.
        www: the folder that it reads from and writes to.
    """

    def __init__(self, url: str, www: Path) -> None:
        self.url = url
        self.www = www


@contextlib.contextmanager
def serving(folder: Path, *, username: str, password: str) -> Iterator[Nginx]:
    """Run nginx out of *folder*, for one user, until the block ends."""
    assert PROGRAM, WHY_NOT
    (folder / "www").mkdir(parents=True)
    (folder / "temp").mkdir()
    digest = base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()
    (folder / "htpasswd").write_text(f"{username}:{{SHA}}{digest}\n", encoding="utf-8")

    def command(port: int) -> list[str | Path]:
        (folder / "nginx.conf").write_text(_CONFIG.format(port=port), encoding="utf-8")
        return [PROGRAM, "-p", folder, "-c", "nginx.conf", "-e", "error.log"]

    with listening(command, cwd=folder, log=folder / "output.log") as port:
        yield Nginx(f"http://127.0.0.1:{port}", folder / "www")
