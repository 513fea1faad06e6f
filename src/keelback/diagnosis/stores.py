"""Every store, opened one by one: one that is broken hides none of the others."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from keelback.credentials.lookup import candidates
from keelback.credentials.opening import StoreSource, store_sources
from keelback.errors import CredentialError
from keelback.report import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from keelback.credentials.stores import Store


class State(StrEnum):
    """Whether a store can be looked in."""

    OK = "ok"
    """It can."""
    ABSENT = "absent"
    """There is no such file, or no keychain on this machine, which is nothing unusual."""
    BROKEN = "broken"
    """Its file cannot be read or understood, or was named and is not there: every command stops at it."""
    OFF = "off"
    """The keychain, which is not to be asked."""
    SILENT = "silent"
    """The keychain, which did not answer."""


@dataclass(frozen=True)
class Opened:
    """One store.

    Attributes:
        name: what a person is told.
        state: whether it can be looked in.
        store: the store; ``None`` where it cannot.
        keys: its keys, in its own order.
        why: why the state is what it is; empty where that needs no word.
        problems: what is wrong with the store itself.
        path: its file, where it is one.
    """

    name: str
    state: State
    store: Store | None = None
    keys: Sequence[str] = ()
    why: str = ""
    problems: Sequence[Problem] = field(default_factory=tuple)
    path: Path | None = None


def open_stores(
    auth_file: Path | None, environ: Mapping[str, str], home: Path | None, *, keychain: bool
) -> list[Opened]:
    """All stores in the order in which they are looked in, those that cannot be included.

    Args:
        auth_file: the only store there is, where it is given.
        environ: the variables.
        home: the user's home directory.
        keychain: whether the keychain may be asked.

    Raises:
        UsageError: the variable for the keychain's deadline is not a number.
    """
    return [_opened(source) for source in store_sources(auth_file, environ, home, keychain=keychain)]


def _opened(source: StoreSource) -> Opened:
    if source.off:
        return Opened(source.name, State.OFF, why=source.off, path=source.path)
    with captured_warnings() as said:
        try:
            store = source.open()
            keys = list(store.keys())
        except CredentialError as error:
            return Opened(source.name, State.BROKEN, None, (), error.message, [Problem.of(error)], source.path)
    state = State.ABSENT if store.is_absent else State.SILENT if store.problem else State.OK
    return Opened(store.name, state, store, keys, store.problem or "", _problems(said), source.path)


def places(url: str, stores: Sequence[Opened]) -> Iterator[tuple[str, Opened]]:
    """Every key of every store under which a credential for *url* may be, in the order in which ``find`` looks."""
    by_store = {id(opened.store): opened for opened in stores if opened.store is not None}
    for key, store in candidates(url, [opened.store for opened in stores if opened.store is not None]):
        opened = by_store.get(id(store))
        if opened is not None:  # the store that the URL itself is has no source in a list
            yield key, opened


def _problems(said: Sequence[str]) -> list[Problem]:
    return [Problem("store", text) for text in said]


@contextlib.contextmanager
def captured_warnings(name: str = "keelback.credentials") -> Iterator[list[str]]:
    """What *name* logs as warnings meanwhile, by default the stores, which then goes nowhere else."""
    said: list[str] = []
    handler = _Capturing(said)
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield said
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)


class _Capturing(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())
