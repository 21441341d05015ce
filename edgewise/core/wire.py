"""What a frame weighs in bytes, without a socket: what plans, simulations, reports of a split and benchmarks count with.

    frame  = payload + 24 of frame header, which is what sessions, records and bounds on bytes count
    socket = frame + header and mask of a WebSocket (RFC 6455, 5.2) + TLS 1.3 records (RFC 8446, 5.2)

A device's message and its WebSocket header leave in one write, so records are cut from both together. A test holds this
arithmetic against what a real socket carried. TCP and IP below are not in it, nor heartbeats and telemetry beside the frame.
"""

from __future__ import annotations

FRAME_HEADER = 24  # bytes before the payload of every frame (`edgewise.net.frame`)
RECORD = 22  # bytes that TLS 1.3 adds to a record: header, content type, tag
RECORD_HOLDS = 16_384  # bytes of content


def socket_bytes(payload: int) -> int:
    """Bytes on the device's socket for a frame whose payload has so many.

    >>> socket_bytes(1_000) - 1_000, socket_bytes(30_000) - 30_000
    (54, 76)
    """
    message = payload + FRAME_HEADER
    written = message + websocket_header(message)
    return written + RECORD * -(-written // RECORD_HOLDS)


def websocket_header(message: int) -> int:
    """Bytes of the header and mask that a client puts before a message of so many bytes.

    >>> websocket_header(125), websocket_header(126), websocket_header(70_000)
    (6, 8, 14)
    """
    return 6 if message < 126 else 8 if message < 1 << 16 else 14
