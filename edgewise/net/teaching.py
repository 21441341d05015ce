"""Flags in a frame's header that have to do with learning; a side that does not know them does not look at them.

    HELLO   bit 0   the device understands what a server wants to learn from, and is told; others are not
    DATA    bit 0   the picture may be learned from as well: it need not go up again
            bit 1   it was drawn blindly (an audit)
            bit 2   the filter had left it out
            8 to 15 the doubt of the device's own answer: 0 where it has none, else 1 + 254 · doubt

So a frame of the cascade, which is answered and learned from, costs no byte for the second.
"""

from __future__ import annotations

import math

from edgewise.core.learning import AUDIT, CARRIED, DROPPED

LEARNS = 1
CODED = "jpeg"  # what pictures to learn from are coded with
_TEACHES, _AUDIT, _DROPPED = 1, 2, 4
_STEPS = 254


def told(audit: bool = False, dropped: bool = False, doubt: float | None = None) -> int:
    """Flags of a DATA frame whose picture may be learned from.

    >>> told(), learned(told(audit=True, doubt=1.0))
    (1, (5, 1.0))
    """
    code = 0 if doubt is None or not math.isfinite(doubt) else 1 + round(_STEPS * min(max(doubt, 0.0), 1.0))
    return _TEACHES | _AUDIT * audit | _DROPPED * dropped | code << 8


def learned(flags: int) -> tuple[int, float | None] | None:
    """Flags and doubt of a Sample whose picture came as a DATA frame; None where it is not to be learned from."""
    if not flags & _TEACHES:
        return None
    code = flags >> 8
    of_sample = CARRIED | AUDIT * bool(flags & _AUDIT) | DROPPED * bool(flags & _DROPPED)
    return of_sample, (code - 1) / _STEPS if code else None
