"""What the browser is told: frozen views made by pure functions from records, statuses and the page's books.

Every word that comes from a device is cut to a length and freed of control characters here; the browser then puts it into
the document as text, never as HTML. A hostile answer (a lying grid, ten thousand boxes, NaN) becomes a small, honest view.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from edgewise.apps.vision.books import Accounts
from edgewise.apps.vision.status import ModelVersion, NodeStatus, ServerStatus
from edgewise.core.answer import Answer, Box, FrameRecord
from edgewise.core.measurement import Provenance, joint
from edgewise.web.recent import Figures

NAME, SENTENCE = 64, 400  # characters that are shown
MOST_BOXES = 200
MOST_CELLS = 65_536


class NodeView(Struct, frozen=True):
    """A camera's card. `heard` is the age (s) of the last word from the device; `frames` are (latency, fate) for the chart."""

    node: str
    slot: int
    connected: bool | None
    heard: float
    link_kind: str
    link_rate: float | None
    round_trip: float | None
    mode: str
    point: str
    why: str
    quality: float | None
    condition: str
    deadline: float | None
    camera_fps: float | None
    model: str
    source: str
    figures: Figures
    accounts: Accounts
    frames: tuple[tuple[float, int], ...]
    rates: tuple[float | None, ...]


class PictureView(Struct, frozen=True):
    """A preview picture with what was answered for it; `version` makes its address new. `cells` travel as base64."""

    node: str
    slot: int
    version: int
    address: str
    frame: int | None
    fate: str = ""
    mode: str = ""
    reason: str = ""
    boxes: tuple[Box, ...] = ()
    more: int = 0
    rows: int = 0
    columns: int = 0
    cells: bytes = b""


class ServerView(Struct, frozen=True):
    """The server, and everything that is summed over the devices; `started` (time of day) tells one run from the next."""

    started: float
    devices: int
    connected: int
    figures: Figures
    accounts: Accounts
    link_kinds: tuple[str, ...]
    unshown: int
    previews_refused: int
    address: str
    status: ServerStatus | None


def plain(text: str, most: int = NAME) -> str:
    """A device's word, fit to be shown: no control or direction characters, at most `most` long.

    >>> plain("north\\u202e\\x00", 64)
    'north'
    """
    kept = "".join(c for c in text[: 4 * most] if c in " \u200d" or unicodedata.category(c)[0] != "C")
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def node_view(
    node: str,
    slot: int,
    last: FrameRecord | None,
    status: NodeStatus | None,
    heard: float,
    figures: Figures,
    books: Accounts,
    frames: tuple[tuple[float, int], ...],
    rates: tuple[float | None, ...],
) -> NodeView:
    """A card from the device's own status where it gave one, else from its last record."""
    said = status or NodeStatus(node=node, connected=False)
    mode = said.mode or (last.mode if last else "")
    return NodeView(
        node=plain(node),
        slot=slot,
        connected=status.connected if status else None,
        heard=heard,
        link_kind=plain(said.link_kind),
        link_rate=positive(said.link_rate if said.link_rate is not None else last.link_rate if last else None),
        round_trip=positive(said.round_trip),
        mode=mode,
        point=plain(said.point or (last.point if last else "") + layered(last)),
        why=plain(said.why or (last.why if last else ""), SENTENCE),
        quality=said.quality,
        condition=plain(said.condition),
        deadline=positive(said.deadline if said.deadline is not None else last.deadline if last else None),
        camera_fps=positive(said.fps),
        model=plain(said.model),
        source=plain(said.source),
        figures=replace(figures, parts={plain(step, 24): time for step, time in figures.parts.items()}),
        accounts=cleaned(books),
        frames=frames,
        rates=rates,
    )


def layered(record: FrameRecord | None) -> str:
    """How much of a frame in layers went, to be put behind its point; "" for any other.

    >>> layered(FrameRecord("n", 1, 0.0, "answered", "split", "p", "", layers=3, cut=2))
    ', 3 of 5 layers'
    """
    whole = record.layers + record.cut + record.guarded if record else 0
    return f", {record.layers} of {whole} layers" if record and whole else ""


def picture_view(node: str, slot: int, version: int, frame: int | None, record: FrameRecord | None) -> PictureView:
    address = f"/preview/{quote(node, safe='')}.jpg?v={version}"
    if record is None:
        return PictureView(plain(node), slot, version, address, frame)
    answer = record.answer
    boxes = [b for b in answer.boxes if all(map(math.isfinite, (b.x0, b.y0, b.x1, b.y1, b.score)))]
    rows, columns, cells = grid(answer)
    return PictureView(
        node=plain(node),
        slot=slot,
        version=version,
        address=address,
        frame=record.frame,
        fate=record.outcome,
        mode=record.mode,
        reason=plain(record.reason, SENTENCE),
        boxes=tuple(Box(b.x0, b.y0, b.x1, b.y1, b.score, plain(b.label, 24)) for b in boxes[:MOST_BOXES]),
        more=len(answer.boxes) - min(len(boxes), MOST_BOXES),
        rows=rows,
        columns=columns,
        cells=cells,
    )


def grid(answer: Answer) -> tuple[int, int, bytes]:
    """The grid of an answer where its bits are as many as it says; an empty one where it lies."""
    count = answer.rows * answer.columns
    honest = answer.rows > 0 and 0 < count <= MOST_CELLS and len(answer.cells) == (count + 7) // 8
    return (answer.rows, answer.columns, answer.cells) if honest else (0, 0, b"")


def server_view(
    started: float,
    views: Sequence[NodeView],
    overall: Figures,
    books: Accounts,
    unshown: int,
    refused: int,
    address: str,
    status: ServerStatus | None,
) -> ServerView:
    return ServerView(
        started=started,
        devices=len(views),
        connected=sum(view.connected is True for view in views),
        figures=overall,
        accounts=books,
        link_kinds=tuple(sorted({view.link_kind for view in views if view.link_kind})),
        unshown=unshown,
        previews_refused=refused,
        address=address,
        status=status and _cleaned(status),
    )


def together(parts: Iterable[Figures]) -> Figures:
    """Rates and powers of all devices as one; latencies are not summed but looked up elsewhere."""
    parts = list(parts)
    frames = sum(f.frames_second for f in parts)
    bytes_second, power = sum(f.bytes_second for f in parts), sum(f.power for f in parts)
    kinds: set[Provenance] = {f.provenance for f in parts if f.energy_frame is not None}
    return Figures(
        frames_second=frames,
        bytes_second=bytes_second,
        power=power,
        bytes_frame=bytes_second / frames if frames > 0 else None,
        energy_frame=power / frames if frames > 0 else None,
        provenance=joint(kinds),
    )


def positive(value: float | None) -> float | None:
    """A figure that is known, finite and above 0; a device that has no figure yet says 0."""
    return value if value is not None and math.isfinite(value) and value > 0 else None


def cleaned(books: Accounts) -> Accounts:
    """The books with the devices' reasons fit to be shown."""
    counts = books.counts
    return replace(books, counts=replace(counts, dropped=_reasons(counts.dropped), failed=_reasons(counts.failed)))


def _reasons(counts: Mapping[str, int]) -> dict[str, int]:
    """Reasons as shown; two that read alike once they are cut are counted together, so that the sum stays whole."""
    shown: dict[str, int] = {}
    for reason, n in sorted(counts.items(), key=lambda item: -item[1]):
        word = plain(reason)
        shown[word] = shown.get(word, 0) + n
    return shown


def _cleaned(status: ServerStatus) -> ServerStatus:
    models = tuple(ModelVersion(plain(m.name), plain(m.address), m.streams, m.answered) for m in status.models)
    return ServerStatus(
        status.queue,
        status.batch_mean,
        status.batch_most,
        status.wait,
        status.tail,
        status.busy,
        status.cpu,
        status.memory,
        models,
        _reasons(status.refused),
        status.uptime,
        plain(status.version),
    )
