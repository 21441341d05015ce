"""What a session tells the rim around it. A rim drains `events()` after every call into a session.

Every frame that a device offers ends in exactly one of Answered, Dropped and Failed. All the others are news, not ends.
Times are those that the rim gave (s).
"""

from __future__ import annotations

from msgspec import Struct

from edgewise.core.learning import Learning, Sample
from edgewise.net.items import Item
from edgewise.net.messages import Hello, Reply, Stream, Welcome


class Opened(Struct, frozen=True):
    """Both sides know each other: frames may flow."""

    hello: Hello
    welcome: Welcome


class Renewed(Struct, frozen=True):
    """The streams of `hello` stand, those that it had before as well, until the renewal after this one."""

    hello: Hello
    welcome: Welcome


class Closed(Struct, frozen=True):
    """The session is over; on a device, `connected` begins the next one."""

    reason: str


class Pong(Struct, frozen=True):
    """A round trip of an empty frame (s)."""

    rtt: float


# On a device ---------------------------------------------------------------------------------------------------------


class Answered(Struct, frozen=True):
    """End: the answer came within the deadline. Bytes are whole frames, with their headers."""

    frame: int
    reply: Reply
    sent_at: float
    bytes_up: int
    bytes_down: int
    now: float


class Dropped(Struct, frozen=True):
    """End: it never left the device: `superseded` by a newer frame, or `expired` while it waited."""

    frame: int
    reason: str


class Failed(Struct, frozen=True):
    """End: `deadline`, `connection lost`, `not connected`, or `refused: …` with the other side's sentence."""

    frame: int
    reason: str
    bytes_up: int = 0


class Late(Struct, frozen=True):
    """The server's last word on a frame that had failed already (`reply` is None where it was cancelled in time).

    Not an end: the frame's fate was told. It says how long the link took, which a policy wants to know above all when
    nothing comes in time.
    """

    frame: int
    reply: Reply | None
    sent_at: float
    bytes_up: int
    bytes_down: int
    now: float


class Warned(Struct, frozen=True):
    """The other side refused something that belongs to no frame, or a stream; its sentence is for a person."""

    sentence: str


class Acked(Struct, frozen=True):
    """The server has all items up to number `seq` durably."""

    seq: int


class News(Struct, frozen=True):
    """What the site has to tell this node: signed documents, opaque here."""

    payload: bytes


class Wanted(Struct, frozen=True):
    """What the server wants to learn from, from now on: told after Opened, and when it changes. None: nothing."""

    learning: Learning | None


class Uploaded(Struct, frozen=True):
    """The server has all of sample `number`, which was offered; `lost` where it was given up."""

    number: int
    lost: str = ""


# On an edge server -----------------------------------------------------------------------------------------------------


class Arrived(Struct, frozen=True):
    """A frame to answer: `deadline_by` (absolute, s) leaves time for the way back; infinite where there is no deadline.

    `payload` is a view of the bytes that came in. `stream` is what HELLO said of it. `edge.answer` or `edge.refuse` is owed,
    unless Cancelled comes first. `flags` are the header's (`edgewise.net.teaching`).
    """

    frame: int
    stream: Stream
    payload: memoryview
    deadline_by: float
    now: float
    flags: int = 0


class Cancelled(Struct, frozen=True):
    """The device gave this frame up; an answer would come too late."""

    frame: int


class Posted(Struct, frozen=True):
    """An item came, perhaps not for the first time; `ack` is owed when its effect is durable."""

    item: Item


class Sampled(Struct, frozen=True):
    """A sample came, to be learned from."""

    sample: Sample


Event = (
    Opened
    | Renewed
    | Closed
    | Answered
    | Dropped
    | Failed
    | Late
    | Warned
    | Pong
    | Acked
    | News
    | Wanted
    | Uploaded
    | Arrived
    | Cancelled
    | Posted
    | Sampled
)
