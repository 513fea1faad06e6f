"""Options of ``rattler-build upload`` that say where packages go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from keelback.cli.command import Section

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def setting(*names: str, **settings: Any) -> Callable[[F], F]:
    """What :func:`click.option` makes of *names* and *settings*; required where there is no default."""
    return Section.PLAIN.option(*names, required="default" not in settings, **settings)
