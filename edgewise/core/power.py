"""Joules of a device as one small formula, shared by the planner, the meters and the policy on the device.

    E = P_idle · T + (P_active − P_idle) · t_busy + radio
    radio = α_up · bits_up + α_down · bits_down + β · t_on_air

The radio follows Huang et al. (MobiSys 2012), P = α_up · rate_up + α_down · rate_down + β, integrated over the transfer:
α times rate times time is α times bits, so that only β needs the time. Their phones are of 2012 and the digits were
not checked against the paper: use them for ratios between ways to send, not as the joules of a modern modem.

What it does not know: the tail in which an LTE radio stays awake after a transfer (about 11.6 s there). A stream of
frames never lets it sleep, so the tail is a cost of the stream and is charged to no frame. Frames that overlap in time
are each charged their own idle power.

    symbol      name            unit
    P_idle      idle            W
    P_active    active          W
    T           latency         s
    t_busy      busy            s
    α           up, down        J/bit
    β           base            W
"""

from __future__ import annotations

from msgspec import Struct


class Radio(Struct, frozen=True, forbid_unknown_fields=True):
    """What sending takes: `up` and `down` in J/bit, `base` in W while on air, and the `tail` (s) that no frame is charged."""

    name: str
    up: float
    down: float
    base: float
    tail: float = 0.0

    def energy(self, bits_up: float, bits_down: float, on_air: float) -> float:
        """Joules of a transfer that keeps the radio on air for `on_air` seconds."""
        awake = self.base * on_air if self.base > 0 else 0.0  # also where a dead link keeps it on air for ever
        return self.up * bits_up + self.down * bits_down + awake


HUANG = "Huang et al., MobiSys 2012 (digits unverified, phones of 2012)"
RADIOS: dict[str, Radio] = {  # their mW per Mbit/s is 1e-9 J/bit
    "": Radio("", 0.0, 0.0, 0.0),
    "lte": Radio("lte", 438.39e-9, 51.97e-9, 1.288, tail=11.6),
    "wifi": Radio("wifi", 283.17e-9, 137.01e-9, 0.13286),
    "3g": Radio("3g", 868.98e-9, 122.12e-9, 0.81788),
}


def computing_energy(idle: float, active: float, latency: float, busy: float) -> float:
    """Joules of a device that is busy for `busy` of `latency` seconds; a figure of active power below idle counts as idle."""
    resting = idle * max(latency, busy) if idle > 0 else 0.0
    return resting + max(active - idle, 0.0) * busy
