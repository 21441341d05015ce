"""What must never stand in a log: private keys, bearer tokens, Authorization headers. `scrub` takes them out of a line.

No code of ours logs one. This is the second fence: for exceptions of libraries, headers in a debug line, and mistakes to come.
It knows the forms that our secrets have (PEM blocks and tokens that begin with `ew1_`), not every secret that there may be.
"""

from __future__ import annotations

import logging
import re

HIDDEN = "[hidden]"
_FORMS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\bew1_[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
)


def scrub(text: str) -> str:
    """The text without what looks like a secret.

    >>> scrub("Authorization: Bearer abcdefghij, and ew1_0123456789")
    'Authorization: Bearer [hidden], and [hidden]'
    """
    for form in _FORMS:
        text = form.sub(HIDDEN, text)
    return text


class Scrubbed(logging.Formatter):
    """Another formatter's lines, scrubbed: message, extra fields and traces alike."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return scrub(self._inner.format(record))
