"""JSON as the commands print it."""

from __future__ import annotations

import json


def json_text(document: object) -> str:
    r"""*document* as JSON that no CI system takes for one of its commands, ``##[...]`` or ``##vso[...]``.

    Both begin with two number signs, which stand in strings only, where one of them can be written as ``\u0023``.
    """
    return json.dumps(document, indent=2).replace("##", "#\\u0023")
