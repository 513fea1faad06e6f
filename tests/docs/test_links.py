"""The documentation hangs together, and names nothing of the machine that it was written on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from docs.pages import DOCS, ROOT, all_pages, anchors_of, links_in, page_id

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = (
    *("prefix.dev", "anaconda.org", "github.com", "gitlab.com", "cloudsmith.io", "conda-forge.herokuapp.com"),
    *("amazonaws.com", "r2.cloudflarestorage.com", "googleapis.com", "core.windows.net"),
    "token.actions.githubusercontent.com",
)
BESIDE = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md")]
"""Pages with links that are not part of the documentation, and whose commands are not run."""

EXAMPLES = ("example.com", "example", "host", "localhost", "127.0.0.1", "10.0.0.1")
"""What commands and URLs may name beside the services: examples (RFC 2606), and what leads nowhere."""


@pytest.mark.parametrize("page", [*all_pages(), *BESIDE], ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    """A link within the documentation leads to a file that is there, and its anchor to a heading."""
    for link in links_in(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors_of(target), f"{link}: no such heading"


def test_every_page_can_be_found_from_the_index() -> None:
    """Each page below ``docs`` has a link in ``docs/index.md``."""
    index = DOCS / "index.md"
    linked = {(DOCS / link).resolve() for link in links_in(index)}
    assert {page for page in all_pages() if page not in linked} == {index, ROOT / "README.md"}


@pytest.mark.parametrize("page", [*all_pages(), *BESIDE], ids=page_id)
def test_only_example_hosts_and_paths_are_named(page: Path) -> None:
    """No URL that is not a link names somebody's host, and no path is that of a real machine."""
    text = page.read_text(encoding="utf-8")
    links = {link for link in links_in(page) if link.startswith("https://")}
    for link in links:
        text = text.replace(f"]({link})", "]")
    hosts = {f".{host.lower()}" for host in re.findall(r"https?://(?:[^\s/]*@)?([\w.-]+)", text)}
    assert {host for host in hosts if not host.endswith(tuple(f".{name}" for name in SERVICES + EXAMPLES))} == set()
    assert not re.search(r"/root\b|/tmp/|/home/(?!ann\b)|/Users/(?!ann\b)", text)
