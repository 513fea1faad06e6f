"""A Secret Service that nobody here wrote: GNOME Keyring, on a session bus of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROGRAMS = ("dbus-daemon", "gnome-keyring-daemon")
_MISSING = [program for program in _PROGRAMS if shutil.which(program) is None]
WHY_NOT = f"{' and '.join(_MISSING)} not installed" if _MISSING else ""

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_SERVICE = "org.freedesktop.secrets"

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


@dataclass(frozen=True)
class Desktop:
    """A session bus with a keyring on it.

    Attributes:
        address: the bus.
        keyring: the process of the keyring, to stop and to continue.
    """

    address: str
    keyring: subprocess.Popen[bytes]

    @property
    def variables(self) -> dict[str, str]:
        """What a program needs in its environment to find the bus."""
        return {"DBUS_SESSION_BUS_ADDRESS": self.address}


@contextlib.contextmanager
def session_bus(folder: Path) -> Iterator[str]:
    """Run a session bus without any service until the block ends; its address."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bus-") as short:  # a socket's path has 108 bytes, and pytest's are long
        path = Path(short, "socket")
        config = folder / "bus.conf"
        config.write_text(_BUS.format(socket=path), encoding="utf-8")
        command = ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}"]
        log = folder / "bus.log"
        with _process(command, log, {"PATH": os.environ["PATH"]}) as bus:
            _wait(bus, lambda: _accepts(path), log)
            yield f"unix:path={path}"


@contextlib.contextmanager
def desktop(folder: Path, *, password: str | None = "login") -> Iterator[Desktop]:  # noqa: S107 - protects nothing
    """Run a session bus and GNOME Keyring until the block ends.

    Args:
        folder: room for the keyring's files; one that was used before has the entries of then.
        password: with what to unlock the default collection; without it, it stays locked.
    """
    with session_bus(folder) as address, tempfile.TemporaryDirectory(prefix="run-") as run:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_RUNTIME_DIR": run,
            "DBUS_SESSION_BUS_ADDRESS": address,
        }
        command = ["gnome-keyring-daemon", "--foreground", "--components=secrets", f"--control-directory={run}"]
        if password is not None:
            command.append("--unlock")
        log = folder / "keyring.log"
        with _process(command, log, env) as keyring:
            assert keyring.stdin is not None
            keyring.stdin.write((password or "").encode())
            keyring.stdin.close()
            _wait(keyring, lambda: _has_owner(address), log)
            yield Desktop(address, keyring)


@contextlib.contextmanager
def deaf_prompter(desktop: Desktop) -> Iterator[None]:
    """Be the program that asks the user for a password, and do not react to anything."""
    from jeepney.bus_messages import message_bus  # noqa: PLC0415 - with secretstorage, which other systems do not have
    from jeepney.io.blocking import Proxy, open_dbus_connection  # noqa: PLC0415 - as above

    with contextlib.closing(open_dbus_connection(desktop.address)) as connection:
        assert Proxy(message_bus, connection).RequestName("org.gnome.keyring.SystemPrompter") == (1,)
        yield


def _accepts(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return True
    return False


def _has_owner(address: str) -> bool:
    from jeepney.bus_messages import message_bus  # noqa: PLC0415 - with secretstorage, which other systems do not have
    from jeepney.io.blocking import Proxy, open_dbus_connection  # noqa: PLC0415 - as above

    with contextlib.closing(open_dbus_connection(address)) as connection:
        return bool(Proxy(message_bus, connection).NameHasOwner(_SERVICE)[0])


@contextlib.contextmanager
def _process(command: list[str], log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    """Wait until *ready* says yes."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and not ready():
        # Its end is what cuts this short; being alive and not yet ready is a reason to look again.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
            break
    if process.poll() is not None or not ready():
        end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{process.args!r} did not start (exit status {process.returncode}):\n{end}")
