"""The pages of the documentation, taken apart: fenced blocks, headings, tables, links.

Three HTML comments, which readers do not see, say what a page needs and its text does not show:

- ``<!-- scene: NAME -->`` changes the packages before what follows is run; see ``stage.SCENES``.
- ``<!-- file: PATH -->`` has the block behind it written to PATH, with ``~`` as the home folder.
- ``<!-- job: NAME -->`` has what follows run as a job of a CI system, see ``ci.JOBS``; ``none`` ends that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"

_FENCE: Final = re.compile(r"(?P<indent> *)(?P<ticks>```+)(?P<language>[a-z]*)\s*")
_DIRECTIVE: Final = re.compile(r"\s*<!-- (?P<word>scene|file|job): (?P<value>\S+) -->\s*")
_LINK: Final = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_CODE: Final = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands behind the fence.
        lines: what stands in it.
        line: where it begins in the page, from 1.
        scenes: the scenes that are set before it.
        file: the file that it is the content of, or ``None``.
        job: the CI system in a job of which it is run, or ``none``.
    """

    language: str
    lines: list[str]
    line: int
    scenes: list[str]
    file: str | None
    job: str

    @property
    def text(self) -> str:
        """Its lines as one text."""
        return "".join(f"{line}\n" for line in self.lines)


def all_pages() -> list[Path]:
    """Every page: the README and all below ``docs``."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def page_id(page: Path) -> str:
    """What a test calls *page*."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of *page*, in order."""
    found: list[Block] = []
    scenes: list[str] = []
    file: str | None = None
    job = "none"
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        if directive := _DIRECTIVE.fullmatch(line):
            if directive["word"] == "scene":
                scenes.append(directive["value"])
            elif directive["word"] == "job":
                job = directive["value"]
            else:
                file = directive["value"]
        elif fence := _FENCE.fullmatch(line):
            content = []
            for _, inner in lines:
                if inner.strip() == fence["ticks"]:
                    break
                content.append(inner.removeprefix(fence["indent"]))
            else:
                raise AssertionError(f"{page_id(page)}:{number}: this block has no end")
            found.append(Block(fence["language"], content, number, scenes, file, job))
            scenes, file = [], None
    return found


def sections_of(page: Path) -> dict[str, str]:
    """The text below each heading of *page* of level two, up to the next one, by the heading."""
    parts = re.split(r"^## +(.+?)\s*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(text: str) -> list[str]:
    """The first cell of every row of the tables in *text*, without their heads."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", row)[1].strip() for row in rows]
    heads = {index - 1 for index, cell in enumerate(cells) if set(cell) <= {"-", ":"}}
    return [cell for index, cell in enumerate(cells) if index not in heads and not set(cell) <= {"-", ":"}]


def codes_in(text: str) -> list[str]:
    """What is set in code in *text*."""
    return _CODE.findall(text)


def links_in(page: Path) -> list[str]:
    """The targets of the links and pictures of *page*, those in fenced blocks left out."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return _LINK.findall(text)


def anchors_of(page: Path) -> set[str]:
    """The anchors that a reader of Markdown gives to the headings of *page*."""
    headings = re.findall(r"^#+ +(.+?)\s*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
