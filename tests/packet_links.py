"""What tests of packet links share: where root is not at hand they skip with the link's own sentence."""

from __future__ import annotations

import os

import pytest

from edgewise.net.links import tun


def need_tun() -> None:
    """Skip where there can be no TUN link; fail where CI is set and root is at hand, for then there must be one."""
    sentence = tun.probe()
    if sentence is None:
        return
    if os.environ.get("CI") and os.geteuid() == 0:
        pytest.fail(sentence)
    pytest.skip(sentence)
