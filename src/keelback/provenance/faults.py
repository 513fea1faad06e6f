"""What is wrong with a document of Sigstore's, in one line and without the words of the library that read it."""

from __future__ import annotations

from keelback.findings import printable

_LONGEST = 300


def fault_in(error: BaseException | None) -> str | None:
    """The first member of a document with which *error* finds fault, and which fault; ``None``: it is no such error.

    Args:
        error: what was raised; those of pydantic, which reads documents for ``sigstore``, say where they are.
    """
    details = getattr(error, "errors", None)
    if not callable(details):
        return None
    first = details()[0]
    member = printable(".".join(map(str, first["loc"])), 200)
    match first["type"]:
        case "json_invalid":
            return "it is not JSON"
        case "missing":
            return f"{member} is missing"
        case "extra_forbidden":
            return f"{member} has no place in it"
    return f"{member or 'it'} is not what it has to be: {words_of(first['msg'])}"


def words_of(error: BaseException | str) -> str:
    """What *error* says, in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
