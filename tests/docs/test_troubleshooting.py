"""The messages that pages explain are those that keelback prints, and about trusted publishing none is left out."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from docs.pages import DOCS, ROOT, codes_in, first_cells, sections_of

PAGE = DOCS / "how-to" / "troubleshoot-trusted-publishing.md"
SOURCE = ROOT / "src" / "keelback"
CODES = "An attestation does not verify"
BUCKETS = [DOCS / "how-to" / f"{name}.md" for name in ("s3", "google-cloud-storage", "azure-blob-storage")]
REFUSED = "When something is refused"


@cache
def messages() -> str:
    """Every text in the source, one a line, with ``...`` for what is put into it."""
    texts = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(" ".join(text.split()) for text in texts)


def shown() -> list[str]:
    """The messages that the pages show, in the tables; of the page about trusted publishing, in the text as well."""
    found = [code for page in BUCKETS for cell in first_cells(sections_of(page)[REFUSED]) for code in codes_in(cell)]
    for heading, text in sections_of(PAGE).items():
        if heading != CODES:
            found += [code for cell in first_cells(text) for code in codes_in(cell)[:1] if " " in code]
            found += [code for code in codes_in(re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)) if "..." in code]
    return found


@pytest.mark.parametrize("message", shown())
def test_a_message_of_the_page_is_one_that_is_printed(message: str) -> None:
    """What is fixed in it stands in the source in that order; ``...`` is anything."""
    words = [re.escape(part.strip()) for part in message.split("...") if part.strip()]
    assert re.search(".*".join(words), messages()), message


def test_every_reason_for_which_an_attestation_is_refused_is_explained() -> None:
    """By its code, which ``--json`` has."""
    known = set(re.findall(r"^(?=.*-)(?:[a-z]+-)*attestations?(?:-[a-z-]+)?$", messages(), re.MULTILINE))
    explained = {code for cell in first_cells(sections_of(PAGE)[CODES]) for code in codes_in(cell)}
    assert {code for code in known if f"--{code}" not in messages().splitlines()} == explained
