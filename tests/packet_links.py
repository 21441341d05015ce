"""What tests of packet links share: where root is not at hand they skip with the link's own sentence."""

from __future__ import annotations

import pytest

from edgewise.net.links import tun


def need_tun() -> None:
    """Skip where there can be no TUN link: a kernel without it is nothing that could be installed, in CI or elsewhere."""
    sentence = tun.probe()
    if sentence is not None:
        pytest.skip(sentence)
