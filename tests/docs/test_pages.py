"""Everything that a reader can copy from the documentation does what the page says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from docs.pages import ROOT, all_pages, blocks_of, codes_in, page_id
from docs.shell import NOT_RUN, Shell, commands_in, compare
from docs.stage import stage_in
from docs.test_reference import commands, options_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("page", all_pages(), ids=page_id)
def test_every_command_of_a_page_works_as_shown(page: Path, tmp_path: Path) -> None:
    """Commands run in the order of the page, and print what it shows."""
    blocks = blocks_of(page)
    with stage_in(tmp_path, clouds=any(names_bucket(block.text) for block in blocks)) as stage:
        shell = Shell(stage)
        for block in blocks:
            try:
                shell.run(block)
            except AssertionError as error:
                error.add_note(f"in the block at {page_id(page)}:{block.line}")
                raise


def names_bucket(text: str) -> bool:
    """Whether *text* has the URL of a bucket in it."""
    return re.search(r"\b(?:s3|gs|gcs|az|azure)(?:\+https)?://", text) is not None


@pytest.mark.parametrize("page", all_pages(), ids=page_id)
def test_options_in_the_text_are_options(page: Path) -> None:
    """What is set in code and looks like an option of keelback's is one, of whatever command."""
    known = {option for command in commands().values() for option in options_of(command)} | {"--help", "-h"}
    shown = {word for code in codes_in(page.read_text(encoding="utf-8")) for word in _options_in(code)}
    assert shown - known == set()


def _options_in(code: str) -> list[str]:
    """The long options in *code*, unless it names another program that they are for."""
    if re.match(r"(?!keelback\b)[a-z-]+ [a-z-]*", code):
        return []
    return re.findall(r"(?<!\S)--[a-z][a-z-]+", code)


def test_commands_that_are_not_run_are_shown_somewhere() -> None:
    """The list of exceptions has no entry that no page needs."""
    shown = [
        command.text
        for page in all_pages()
        for block in blocks_of(page)
        if block.language in {"sh", "console"}
        for command in commands_in(block)
    ]
    assert [words for words in NOT_RUN if not any(text.startswith(words) for text in shown)] == []


def test_the_targets_of_make_that_pages_name_are_there() -> None:
    """``make demo`` and the like are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {name for page in all_pages() for name in re.findall(r"\bmake ([a-z]+)$", page.read_text(), re.MULTILINE)}
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_an_output_that_differs_is_found() -> None:
    """The comparison sees a line too few, a line too many and a word that is another."""
    printed = ["uploaded       noarch/a-1-0.conda  1.0 kB in 0.1 s", "here: 1 uploaded"]
    compare(["uploaded       noarch/a-1-0.conda  2 bytes in 9.9 s", "here: 1 uploaded"], printed)
    compare(["...", "here: 1 uploaded"], printed)
    for wrong in (printed[:1], [*printed, "more"], [printed[0], "here: 1 identical"]):
        with pytest.raises(AssertionError):
            compare(wrong, printed)
