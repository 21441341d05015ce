"""The words that a decoder reads, as stacks: the one written last comes first, and lanes that end give theirs back.

Below the bottom of a stack lie zeros, for an encoder may have opened a lane before there was a word for it. One payload has a
simpler stack than many, because this is the inner loop of a decoder. Lanes are numbered on through the payloads of a batch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import TensorError

Wide = NDArray[np.uint64]
Places = NDArray[np.intp]


class Single:
    """The stack of one payload, with room for `lanes` words more than it holds."""

    def __init__(self, words: Wide, lanes: int) -> None:
        self._words, self._top = np.concatenate((words, np.zeros(lanes, np.uint64))), words.size

    def take(self, where: Places) -> Wide:
        """The words for the lanes `where`, in ascending order; TensorError where there are no more."""
        end = self._top
        self._top -= where.size
        if self._top < 0:
            raise damaged(0)
        return self._words[self._top : end]

    def give(self, words: Wide) -> None:
        """Words (1, lanes) of lanes that end."""
        self._words[self._top : self._top + words.size] = words
        self._top += words.size

    def close(self) -> None:
        """TensorError unless nothing but the zeros below the bottom is left."""
        if self._words[: self._top].any():
            raise damaged(0)


class Many:
    """The stacks of several payloads, each of `lanes` lanes at first."""

    def __init__(self, words: Sequence[Wide], lanes: int) -> None:
        sizes = np.array([w.size for w in words], np.intp)
        width = int(sizes.max()) + lanes
        self._words, self._lanes = np.zeros(len(words) * width, np.uint64), lanes
        self._bottom = np.arange(len(words)) * width
        self._top = self._bottom + sizes
        for own, bottom in zip(words, self._bottom, strict=True):
            self._words[bottom : bottom + own.size] = own

    def take(self, where: Places) -> Wide:
        owner = where // self._lanes
        counts = np.bincount(owner, minlength=self._top.size)
        self._top -= counts
        if (self._top < self._bottom).any():
            raise damaged(int((self._top < self._bottom).argmax()))
        shift = self._top - np.cumsum(counts) + counts
        return self._words.take(np.arange(where.size) + shift.take(owner))

    def give(self, words: Wide) -> None:
        self._lanes -= words.shape[1]
        self._words[self._top[:, None] + np.arange(words.shape[1])] = words
        self._top += words.shape[1]

    def close(self) -> None:
        for i, (bottom, top) in enumerate(zip(self._bottom, self._top, strict=True)):
            if self._words[bottom:top].any():
                raise damaged(i)


def indices(words: Wide, kind: type[np.integer[Any]] = np.intp) -> Places:
    """The memory of words (…, n) below 2^31 seen as indices: where these are shorter than a word, as the lower part of each.

    (NumPy looks up nothing by an integer that is longer than the machine's own.)
    """
    parts = words.itemsize // np.dtype(kind).itemsize
    found: Places = words.view(kind)[..., parts - 1 if sys.byteorder == "big" else 0 :: parts]
    return found


def damaged(which: int) -> TensorError:
    """The error of payload number `which` of a batch."""
    return TensorError("coded symbols are truncated, overlong or damaged", got=f"payload {which} of its batch")
