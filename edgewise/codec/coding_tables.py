"""The tables that a coding carries: whether they are its own, and how much memory who decodes by them takes.

A manifest comes from elsewhere, so its tables are read as such: one for each channel that is sent (or for each context of it), no
code beyond a channel's levels, no more slots in all codings of a bundle than a decoder should hold. It does not know what they
are worth (`edgewise.codec.fitted`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from edgewise.codec import tables
from edgewise.core.coding import Coding
from edgewise.core.errors import ModelError

MOST_SLOTS = 1 << 24  # of all codings of a bundle together: 320 MiB for who decodes them all


def checked_tables(coding: Coding) -> tables.Tables:
    """The tables of a coding; ModelError where they are none, or belong to other channels, contexts or levels."""
    found = _unpacked(coding.tables)
    each = coding.context.count if coding.context else 1
    if len(found) != coding.sent * each:
        raise ModelError(
            "a coding has not one table for each channel that it sends"
            if each == 1
            else f"a coding has not {each} tables for each channel that it sends",
            got=len(found),
            allowed=coding.sent * each,
        )
    for i, (first, frequencies) in enumerate(zip(found.offsets, found.frequencies, strict=True)):
        channel = coding.order[i // each]
        letters, levels = len(frequencies) - 1, coding.levels[channel]
        if first < 0 or first + letters > levels:
            raise ModelError(
                f"the table of channel {channel} has codes that the channel has not",
                got=f"{first} to {first + letters - 1}",
                allowed=f"0 to {levels - 1}",
                hint="The tables belong to another quantiser; fit them again.",
            )
    return found


def slots(coding: Coding, found: tables.Tables) -> int:
    """What a decoder holds of the tables, in slots: with contexts it looks up letters alone, some five slots of memory each."""
    return 5 * sum(map(len, found.frequencies)) if coding.context else found.size


def check_codings(codings: Mapping[str, Coding]) -> None:
    """ModelError where the tables of a bundle's codings cannot be used, or would take too much memory together."""
    together = 0
    for coding in codings.values():
        together += slots(coding, checked_tables(coding))
        if together > MOST_SLOTS:
            raise ModelError(
                "the coder tables of a bundle are too large together",
                got=f"more than {MOST_SLOTS} slots in {len(codings)} codings",
                allowed=f"{MOST_SLOTS} slots, which are {tables.SLOT * MOST_SLOTS >> 20} MiB for a decoder",
                hint="Offer fewer rates, or fit their tables to a lower precision.",
            )


@lru_cache(maxsize=4)
def _unpacked(packed: bytes) -> tables.Tables:
    """Kept, because who opens a bundle asks once more when the codec is made, and 2,048 tables take a second."""
    return tables.unpack(packed)
