"""JSON from an archive, read as strictly as the strictest reader of packages does."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from keelback.archive.findings import Unreadable, quoted

MAX_ELEMENTS: Final = 100_000
"""Members of objects and of lists, for each of which Python takes some hundred bytes; more than ten thousand are not
known."""
MAX_DEPTH: Final = 100
"""Nesting; rattler's reader (serde_json) ends at 128, and Python's own at a depth that differs from place to place."""


def parse_object(raw: bytes, name: str) -> dict[str, Any]:
    """The JSON object *raw*.

    Besides what is no JSON at all, these are refused because readers disagree on them or cannot write them again:
    a byte order mark, a key that is there twice, ``NaN`` and ``Infinity``, numbers beyond 64 bits, half of a surrogate
    pair, deep nesting, and more elements than any package has.

    Args:
        raw: the file's bytes; how many is for the caller to bound.
        name: the file's name, for messages.

    Raises:
        Unreadable: it is no such object; the message says where.
    """
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_ELEMENTS:  # those in strings, too
        raise _bad(name, f"has more than {MAX_ELEMENTS} elements")
    try:
        text = raw.decode()
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_in_64_bits,
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise _bad(name, f"is not UTF-8 ({error.reason if isinstance(error, UnicodeDecodeError) else error})") from None
    except json.JSONDecodeError as error:
        raise _bad(name, f"is not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _bad(name, f"is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise _bad(name, f"is not usable JSON: {error}") from None
    if not isinstance(value, dict):
        raise _bad(name, "is not a JSON object")
    if not _is_shallow(value):
        raise _bad(name, f"is nested deeper than {MAX_DEPTH} levels")
    return value


def _bad(name: str, why: str) -> Unreadable:
    return Unreadable("bad-json", f"{name} {why}", field=name, hint="Correct the recipe or the tool that wrote it.")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {quoted(key)} is there twice")
            seen.add(key)
    return result


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {quoted(text)} is too large")
    return value


def _in_64_bits(text: str) -> int:
    if len(text) > len(str(-(2**63))) or not -(2**63) <= (value := int(text)) < 2**64:
        raise ValueError(f"the number {quoted(text)} does not fit into 64 bits")
    return value


def _is_shallow(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return True
    return False
