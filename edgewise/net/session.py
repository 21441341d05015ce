"""Sessions between a device and an edge server, without I/O: bytes in, bytes and events out, time is an argument.

    device                                    edge
    connected  ── HELLO (streams) ──────────▶ admits streams, or BYE with a sentence
    Opened     ◀────────── WELCOME (window) ─ Opened
    offer ─ slot ─ DATA ─────────────────────▶ Arrived ─ … ─ answer | refuse
    Answered | Failed ◀───── ANSWER | REFUSE ─
    Failed("deadline") ─ CANCEL ─────────────▶ Cancelled
    Late       ◀───────────────────── CANCEL ─
    outbox ─ ITEM ───────────────────────────▶ Posted ─ … effect and watermark committed ─ ack
    Acked      ◀──────────────────────── ACK ─
    News       ◀─────────────────────── NEWS ─ news
    Wanted     ◀────── WELCOME, later LEARN ─ learn
    sample ─ queue ─ SAMPLE (a piece) ───────▶ … Sampled
    Uploaded   ◀───────────── SAMPLE (taken) ─
    renew      ── HELLO (other streams) ─────▶ Renewed
    Renewed    ◀───────────────────── WELCOME

The rules: one waiting slot, newest wins; frames in flight ≤ the server's window; a frame keeps its place in the window until
the server's last word on it; an answer after the deadline is no answer; each side sends a PING a second; every offered frame
ends once; items go when no frame waits, are sent until they are acknowledged, and count once; samples go, piece by piece, when
nothing else does.

A rim (asyncio, or a test in virtual time) does the same after each call: put `outgoing()` on the wire, act on `events()`, and
call `tick` at `next_wake()`. The same rim fits both sides. Bytes and limits: docs/protocol.md.
"""

from edgewise.net.device_session import DeviceSession
from edgewise.net.edge_session import EdgeSession, Limits
from edgewise.net.events import (
    Acked,
    Answered,
    Arrived,
    Cancelled,
    Closed,
    Dropped,
    Event,
    Failed,
    Late,
    News,
    Opened,
    Pong,
    Posted,
    Renewed,
    Sampled,
    Uploaded,
    Wanted,
    Warned,
)

__all__ = [
    "Acked",
    "Answered",
    "Arrived",
    "Cancelled",
    "Closed",
    "DeviceSession",
    "Dropped",
    "EdgeSession",
    "Event",
    "Failed",
    "Late",
    "Limits",
    "News",
    "Opened",
    "Pong",
    "Posted",
    "Renewed",
    "Sampled",
    "Uploaded",
    "Wanted",
    "Warned",
]
