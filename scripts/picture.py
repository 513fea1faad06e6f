"""Makes ``docs/images/publish.svg``: a real run of ``keelback publish``, as a terminal shows it.

    python scripts/picture.py

The run goes to the tests' scripted prefix.dev, which takes its time, in a pseudo-terminal (so not on Windows). The
picture has one moment of it while files are under way, how it ends, and how the same command ends the second time.
The address is replaced, and times are those that the server's pauses make, so that two pictures differ in little more
than how far the bars are.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import making  # noqa: E402 - the tests' own modules are not installed
from leaks import new_secret  # noqa: E402 - see above
from servers.scripted import PrefixServer  # noqa: E402 - see above

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURE: Final = ROOT / "docs" / "images" / "publish.svg"
WIDTH: Final = 100
BYTES_A_SECOND: Final = 24_000_000
MEGABYTES: Final = {"hull": 30, "keel": 36, "mast": 22, "rudder": 4, "sail": 14}
SHOWN: Final = "https://prefix.dev/my-channel"
COMMAND: Final = f"keelback publish --to {SHOWN} output/"

_NEW_FRAME: Final = "\r\x1b[2K"
_CONTROL: Final = re.compile(r"\r|\n|\x1b\[(\d*)([A-HJKSTf])|\x1b\[\?\d+[hl]")
_FONTS: Final = re.compile(r"\s*@font-face \{\{.*?\}\}", re.DOTALL)


class UnhurriedServer(PrefixServer):
    """A prefix.dev at the end of a line that is not the fastest."""

    def respond(self, exchange: Any) -> Any:
        """As ever, with a pause after each piece of the body."""
        chunks = exchange.chunks

        def slowly() -> Iterator[bytes]:
            for chunk in chunks():
                time.sleep(len(chunk) / BYTES_A_SECOND)
                yield chunk

        exchange.chunks = slowly
        return super().respond(exchange)


class Screen:
    """As much of a terminal as rich's progress needs: lines that are written, erased and written again."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = 0

    def write(self, text: str) -> None:
        """Show *text*."""
        at = 0
        for match in _CONTROL.finditer(text):
            self.lines[self._row] += text[at : match.start()]
            at = match.end()
            if match[0] == "\n":
                self._row += 1
                if self._row == len(self.lines):
                    self.lines.append("")
            elif match[2] == "A":
                self._row -= int(match[1] or 1)
            elif match[2] == "K":
                self.lines[self._row] = ""
        self.lines[self._row] += text[at:]


def main() -> None:
    """Run keelback twice, and draw it."""
    token = new_secret("picture")
    with tempfile.TemporaryDirectory() as folder, UnhurriedServer(token) as server:
        home = Path(folder)
        for name, size in MEGABYTES.items():
            making.make_conda(home / "output" / "noarch", name, "1.0", payload=size * 1_000_000)
        address = f"prefix+{server.url}/{server.channel}"
        first, second = (run(home, address, token) for _ in range(2))
    frame = frame_in_the_middle(first)
    text = Text()
    for part in (prompt(), *frame, "", comment("a few seconds later"), *end_of(first), "", prompt(), *end_of(second)):
        text.append_text(part if isinstance(part, Text) else Text.from_ansi(as_shown(part, server.url)))
        text.append("\n")
    draw(text)


def run(home: Path, address: str, token: str) -> str:
    """Everything that ``keelback publish`` writes to a terminal."""
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor",
        "LANG": "C.UTF-8", "PREFIX_API_KEY": token,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "keelback", "publish", "--to", address, "output/"],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    written = bytearray()
    while piece := _read(outside):
        written += piece
    os.close(outside)
    if process.wait():
        raise SystemExit(f"keelback ended with {process.returncode}:\n{written.decode()}")
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that the last program has left the terminal
        return b""


def frame_in_the_middle(written: str) -> list[str]:
    """The lines of the frame in which about half of the bytes are out, and several files are under way."""
    screen = Screen()
    frames: list[list[str]] = []
    for piece in re.split(f"(?={re.escape(_NEW_FRAME)})", written):
        screen.write(piece.replace("\r\n", "\n"))
        if "/s" in piece:
            frames.append([line for line in screen.lines if line.strip()])
    total = sum(MEGABYTES.values())

    def distance(frame: list[str]) -> float:
        done = re.search(r"(\d+\.\d)/\d+\.\d MB", re.sub(r"\x1b\[[0-9;]*m", "", frame[0]))
        return abs(float(done[1]) / total - 0.55) if done and len(frame) > 2 else 1.0

    return min(frames, key=distance)


def end_of(written: str) -> list[str]:
    """The lines that stay, ordered by name and without the chance of their times."""
    screen = Screen()
    screen.write(written.replace("\r\n", "\n"))
    *outcomes, summary = [line for line in screen.lines if re.sub(r"\x1b\[[0-9;]*m", "", line).strip()]
    return [*sorted(outcomes, key=lambda line: line.partition("noarch/")[2]), summary]


def as_shown(line: str, url: str) -> str:
    """*line* with prefix.dev's address, and with the time that the server's pauses make, whatever the machine added."""
    address = f"{url}/my-channel"
    line = line.replace(address, SHOWN + (" " * (len(address) - len(SHOWN)) if "/s" in line else ""))
    size = re.search(r"(\d+)\.0 MB in ", line)
    seconds = int(size[1]) * 1_000_000 / BYTES_A_SECOND if size else 0
    return re.sub(r" in \d+\.\d s", f" in {seconds:.1f} s", line)


def prompt() -> Text:
    """The command, as it was typed."""
    return Text.assemble(("$ ", "bold green"), COMMAND)


def comment(text: str) -> Text:
    """What the person says who shows it."""
    return Text(f"# {text}", style="dim italic")


def draw(text: Text) -> None:
    """Write the picture; its fonts are those of whoever looks at it."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(text, end="", no_wrap=True, overflow="crop", highlight=False)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(
        title="keelback publish",
        code_format=_FONTS.sub("", CONSOLE_SVG_FORMAT),
        unique_id="keelback",
        font_aspect_ratio=0.61,
    )
    svg = svg.replace("Fira Code, monospace", "Fira Code, ui-monospace, Menlo, Consolas, monospace")
    PICTURE.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: {len(svg)} characters")


if __name__ == "__main__":
    main()
