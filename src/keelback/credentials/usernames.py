"""User names that are secrets: some servers take a token in the place of the name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keelback.secret import MASK, remember

if TYPE_CHECKING:
    from keelback.credentials.kinds import BasicHTTP

_TOKEN: Final = re.compile(r"gh[opsur]_|github_pat_|glpat-|pfx_|pypi-|AKCp[0-9]|cmVmd|eyJ|hf_|sk-|xox[a-z]-")
"""How tokens of well-known services begin, and JSON Web Tokens."""
_NO_PASSWORDS: Final = frozenset({"", "x-oauth-basic"})
"""Passwords that stand beside a token; the second is GitHub's."""


def shown_username(credential: BasicHTTP) -> str:
    """The user name of *credential*; masked, and from now on known to redaction, where it is the secret itself."""
    name = credential.username
    if name and (_TOKEN.match(name) or credential.password.reveal() in _NO_PASSWORDS):
        remember(name)
        return MASK
    return name
