"""One camera as the page knows it: its books, its last seconds, its history, and the picture that goes with an answer.

A preview picture and the record of its frame come by different ways, in either order. The picture is held until the record
is there, so that boxes are drawn on the frame that they were found in; after `PATIENCE` it is shown without.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from edgewise.apps.vision.books import Books
from edgewise.apps.vision.fleet import NodeRow
from edgewise.apps.vision.status import NodeStatus
from edgewise.apps.vision.views import NodeView, PictureView, node_view, picture_view, positive
from edgewise.core.answer import FrameRecord
from edgewise.core.errors import ImageError
from edgewise.web.history import History
from edgewise.web.recent import Figures, Recent, figures

MOST_PICTURE = 1 << 20  # bytes of one preview picture
KEPT = 4  # pictures that a browser may still ask for, so that it gets the one its boxes belong to
HELD = 16  # pictures that wait for their record
REMEMBERED = 64  # records that wait for their picture
PATIENCE = 2.0  # s
SILENT = 10.0  # s without a word after which a node counts as away
STALE = 10.0  # s for which a view is good enough for the nodes view
FRESH = 1.0  # s for which the last record says better than a status what the device does
RATES = 60  # s of link estimates in the little chart


class Camera:
    """What is known of `node`; `slot` is its number on the page, by which the browser tells cameras apart."""

    def __init__(self, node: str, slot: int, now: float) -> None:
        self.node, self.slot = node, slot
        self.books, self.recent, self.history = Books(node), Recent(), History()
        self.status: NodeStatus | None = None
        self.certificate: tuple[str, float | None] = ("device", None)
        self.last: FrameRecord | None = None
        self._jpegs: OrderedDict[int, bytes] = OrderedDict()
        self._heard = self._recorded = self._said = now
        self._shown: tuple[int | None, FrameRecord | None] = (None, None)
        self._view: NodeView | None = None
        self.viewed = 0.0
        self._version = 0
        self._answers: OrderedDict[int, FrameRecord] = OrderedDict()
        self._pictures: OrderedDict[int, tuple[bytes, float]] = OrderedDict()

    def record(self, record: FrameRecord, now: float) -> bool:
        """Enter a frame's fate; true when it was what a held picture waited for."""
        self._heard = self._recorded = now
        self.last = record
        self.books.add(record)
        self.recent.add(record)
        self.history.add(record, now)
        self._answers[record.frame] = record
        self._answers.move_to_end(record.frame)
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        held = self._pictures.get(record.frame)
        if held is not None:
            self._show(held[0], record.frame, record)
        return held is not None

    def preview(self, jpeg: bytes, frame: int | None, now: float) -> bool:
        """Take a picture; true when it can be shown at once. Without a frame number it goes with the last record."""
        if not jpeg.startswith(b"\xff\xd8\xff") or len(jpeg) > MOST_PICTURE:
            got = f"{len(jpeg)} bytes that begin with {jpeg[:3].hex() or 'nothing'}"
            raise ImageError("a preview picture is none", got=got, allowed=f"a JPEG of at most {MOST_PICTURE} bytes")
        self._heard = now
        record = self.last if frame is None else self._answers.get(frame)
        if frame is not None and record is None:
            self._pictures[frame] = (jpeg, now)
            if len(self._pictures) > HELD:
                self._pictures.popitem(last=False)
            return False
        self._show(jpeg, frame, record)
        return True

    def overdue(self, now: float) -> bool:
        """Show a picture whose record has not come; true when there was one."""
        late = [frame for frame, (_, at) in self._pictures.items() if now - at > PATIENCE]
        if late:
            self._show(self._pictures[late[-1]][0], late[-1], None)
        return bool(late)

    def said(self, status: NodeStatus, now: float) -> None:
        self._heard = self._said = now
        self.status = status
        self.books.said(status, now)

    def figures(self, now: float) -> Figures:
        return figures(self.recent.frames, now - self._recorded)

    def view(self, now: float) -> NodeView:
        rates = tuple(second.link_rate for second in list(self.history.seconds)[-RATES:])
        if self.last is not None:
            rates = (*rates, positive(self.last.link_rate))
        status, last = self.status, self.last
        if status is not None and last is not None and (now - self._recorded < FRESH or self._said < self._recorded):
            # The mode goes with the picture and the bars, which are of the last record.
            quality = status.quality if status.point == last.point else None
            status = replace(status, mode=None, point="", why="", quality=quality)
        self.viewed = now
        self._view = node_view(
            self.node,
            self.slot,
            last,
            status,
            now - self._heard,
            self.figures(now),
            self.books.accounts(now),
            self.recent.strip(),
            rates,
        )
        return self._view

    def row(self, now: float, epoch: float) -> NodeRow:
        """Its row in the nodes view; `epoch` turns the page's clock into the time of day."""
        status, counts = self.status, self.books.tally.counts()
        role, ends = self.certificate
        dropped, failed = sum(counts.dropped.values()), sum(counts.failed.values())
        return NodeRow(
            node=self.node,
            role=role,
            expires=ends,
            heard=self._heard + epoch,
            connected=status is not None and status.connected and now - self._heard < SILENT,
            link_kind=status.link_kind if status else "",
            link_rate=positive(status.link_rate) if status else None,
            outbox=status.outbox if status else None,
            outbox_bytes=status.outbox_bytes if status else None,
            budget=status.budget if status else "",
            frames=counts.answered + dropped + failed,
            failed=failed,
            p95=self.latest(now, STALE + self.slot % 8).figures.latency_p95,
        )

    def latest(self, now: float, age: float = 1.0) -> NodeView:
        """The last view where it is no older than `age`, since a new one costs a tenth of a millisecond."""
        return self._view if self._view is not None and now - self.viewed < age else self.view(now)

    def jpeg(self, version: int | None) -> bytes | None:
        """The picture of that version while it is kept, or the newest; None where there is none."""
        return self._jpegs.get(self._version if version is None else version)

    def picture(self) -> PictureView | None:
        return picture_view(self.node, self.slot, self._version, *self._shown) if self._version else None

    def _show(self, jpeg: bytes, frame: int | None, record: FrameRecord | None) -> None:
        self._version += 1
        self._shown = (frame, record)
        self._jpegs[self._version] = jpeg
        if len(self._jpegs) > KEPT:
            self._jpegs.popitem(last=False)
        for earlier in list(self._pictures):  # what waited longer is out of date now
            del self._pictures[earlier]
            if earlier == frame:
                break
