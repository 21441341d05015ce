"""Every way to place a model, or to answer with a bundle: candidates for the choice, each with what is known of its answers.

For a model: all on the device; all on the edge, with the picture raw or as a JPEG; and every valid cut, its tensors raw in
float32 or as one byte a value. What crosses in float32 gives the very answers of the whole model (`answer` says so), even where
nobody knows their quality; a JPEG or a code of one byte gives others, whose quality is unknown until it is measured.

For a bundle: its operating points, with the bytes and qualities that its makers measured, and times estimated for these
machines: of the filter before it, of head and coder (affine codes, or rans by the symbol), of decoder and tail, or of `full`.

Times come from a Machine: an estimator for one device, with an interval. Weights and the peak of activations are counted as
memory; what a runtime needs beside them is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from edgewise.core.artifact import Manifest
from edgewise.core.cost import Site
from edgewise.core.device import Device
from edgewise.core.graph import Graph
from edgewise.core.measurement import Measurement
from edgewise.core.placement import CROSSING, Mode, OperatingPoint, Part, Placement
from edgewise.graph.cut import Cut
from edgewise.plan import coding

Kind = Literal["local", "raw", "image", "split", "drop"]
WHOLE = "the whole model's answer"
_KINDS: dict[Mode, Kind] = {"local": "local", "split": "split", "image": "image", "drop": "drop", "exit": "split"}
_REAL = ("float32", "float16", "float64", "bfloat16")
CAMERA = (640, 360)  # what the shipped sources give; a bundle does not say what camera it will see
ANSWER = 2000.0  # bytes of a decoded answer at most; raw outputs of a detector can be a thousand times that


class Timed(Struct, frozen=True):
    """A graph on one machine: seconds with their upper bound, and bytes of memory."""

    time: float | None
    high: float | None
    memory: float


class Machine(Struct, frozen=True):
    """A device and its estimator: seconds of a graph with their interval, or None; `slowness` scales the coders' seconds."""

    device: Device
    time: Callable[[Graph], Measurement | None]
    slowness: float | None = 1.0

    def timed(self, graph: Graph) -> Timed:
        """The graph on this machine; its memory is that of weights and of the activations at their peak."""
        found = self.time(graph)
        memory = float(graph.weight_bytes + graph.peak())
        if found is None:
            return Timed(None, None, memory)
        return Timed(found.value, None if found.high is None else max(found.high, found.value), memory)

    def part(self, name: str, site: Site, work: Timed, coding_seconds: float = 0.0) -> Part:
        """The work as a Part at `site`, together with a coder that takes so long on the reference machine."""
        if work.time is None or (self.slowness is None and coding_seconds > 0):
            return Part(name, site, None, None, work.memory)
        coder = coding_seconds * (self.slowness or 1.0)
        return Part(name, site, work.time + coder, None if work.high is None else work.high + coder * coding.UNSURE, work.memory)


class Candidate(Struct, frozen=True, forbid_unknown_fields=True):
    """A placement with its kind, what its answers are alike to, their quality where it is known, and a note."""

    placement: Placement
    kind: Kind
    answer: str = ""
    quality: float | None = None
    note: str = ""

    @property
    def name(self) -> str:
        return self.placement.name


def of_model(
    graph: Graph, cuts: Sequence[Cut], here: Machine, there: Machine, answer_bytes: float = ANSWER
) -> tuple[Candidate, ...]:
    """All placements of a model between the device (`here`) and the edge (`there`)."""
    local = here.part("model", "device", here.timed(graph))
    found = [Candidate(Placement("all local", (local,), (0.0,)), "local", WHOLE)]
    back = min(float(graph.bytes(graph.outputs)), answer_bytes)
    found += _whole_on_the_edge(graph, here, there, back)
    for cut in cuts:
        behind = [o for o in graph.outputs if o not in cut.early]
        found += _cut(graph, cut, here, there, min(float(graph.bytes(behind)), answer_bytes))
    return tuple(found)


def of_bundle(manifest: Manifest, graphs: Mapping[str, Graph], here: Machine, there: Machine) -> tuple[Candidate, ...]:
    """The operating points of a bundle; `graphs` holds its parts by name. The camera is taken to give 640 × 360 pixels.

    A filter runs on the device before every point, and a frame is one that it lets go: what it drops costs no byte, and how
    much that is depends on what the camera sees.
    """
    ways = _Ways(manifest, graphs, here, there)
    found = []
    for point in manifest.points:
        made, quality = ways.parts(point), point.quality.get("all")
        crossing = tuple(
            0.0 if one.site == other else point.frame_up if one.site == "device" else point.frame_down
            for one, other in zip(made, [*(p.site for p in made[1:]), "device"])
        )
        placement = Placement(point.name, made, crossing)
        note = "for a frame that the filter lets go" if manifest.filter is not None and point.mode != "drop" else ""
        note = (
            f"{1 - point.sent:.0%} of the frames end at the exit; seconds are of those that go" if point.mode == "exit" else note
        )
        found.append(Candidate(placement, _KINDS[point.mode], point.name, None if quality is None else quality.value, note))
    return tuple(found)


def uncut_here(manifest: Manifest, graphs: Mapping[str, Graph], here: Machine) -> Candidate | None:
    """The uncut model on the device, which a bundle without a part `local` does not offer: what computing there would take.

    Its quality is taken to be that of the bundle's best point. None where there is a local part, or nothing to run.
    """
    whole = ("full",) if "full" in graphs else tuple(n for n in ("filter", "exit", "head", "tail") if n in graphs)
    if "local" in graphs or not whole:
        return None
    fit = coding.FIT * CAMERA[0] * CAMERA[1] if manifest.pictures else 0.0
    parts = tuple(here.part(n, "device", here.timed(graphs[n]), fit if n == whole[0] else 0.0) for n in whole)
    known = [q.value for p in manifest.points if (q := p.quality.get("all")) is not None]
    placement = Placement("uncut on the device", parts, (0.0,) * len(parts))
    return Candidate(placement, "local", WHOLE, max(known, default=None))


class _Ways:
    """The parts of a bundle on two machines, and the seconds of what codes between them."""

    def __init__(self, manifest: Manifest, graphs: Mapping[str, Graph], here: Machine, there: Machine) -> None:
        self._manifest, self._graphs = manifest, graphs
        self._machines: dict[Site, Machine] = {"device": here, "edge": there}
        self._pixels = float(CAMERA[0] * CAMERA[1]) if manifest.pictures else 0.0

    def parts(self, point: OperatingPoint) -> tuple[Part, ...]:
        """What runs, in order."""
        if point.mode == "drop":
            return (Part("drop", "device", point.device_time, point.device_time),)
        chain: list[Part] = []
        if self._manifest.filter is not None:
            chain.append(self._part("filter", "device", "filter", self._fit("filter")))
        if point.mode == "local":
            return (*chain, self._part("local", "device", "local", self._fit("local")))
        if self._manifest.first == "exit" and point.mode in CROSSING:
            chain.append(self._part("exit", "device", "exit", self._fit("exit")))
        if point.mode in CROSSING:
            encode, decode = self._coder(point)
            head = self._part("head and code", "device", "head", self._fit("head") + encode)
            return (*chain, head, self._part("code and tail", "edge", "tail", decode))
        encoder = self._machines["device"]
        chain.append(encoder.part(point.codec, "device", _nothing(3 * self._pixels), coding.ENCODE * self._pixels))
        eyes = ("full",) if "full" in self._graphs else tuple(n for n in ("filter", "exit", "head", "tail") if n in self._graphs)
        seen = (coding.DECODE + coding.FIT) * self._pixels
        return (*chain, *(self._part(eye, "edge", eye, seen if eye == eyes[0] else 0.0) for eye in eyes))

    def _part(self, name: str, site: Site, graph: str, coding_seconds: float) -> Part:
        machine = self._machines[site]
        return machine.part(name, site, machine.timed(self._graphs[graph]), coding_seconds)

    def _fit(self, part: str) -> float:
        """Seconds to scale the camera's picture for a part; a part that goes on from another takes none."""
        return coding.FIT * self._pixels if part in self._manifest.pictures else 0.0

    def _coder(self, point: OperatingPoint) -> tuple[float, float]:
        """Seconds of the coder on the reference machine, to bytes and back."""
        shape = self._manifest.crossing.shape
        values = float(math.prod(shape))
        if point.codec != "rans":
            return coding.QUANTISE * values, coding.RESTORE * values
        sent = values * self._manifest.codings[point.name].sent / self._manifest.crossing.channels
        return coding.rans_seconds(values, sent)


def picture_of(graph: Graph) -> tuple[int, int] | None:
    """Width and height of the colour picture that the model takes; None where its first input is none."""
    if not graph.inputs:
        return None
    shape = graph.tensors[graph.inputs[0]].shape
    if len(shape) == 4 and shape[1] == 3:
        return shape[3], shape[2]
    return (shape[2], shape[1]) if len(shape) == 4 and shape[3] == 3 else None


def _whole_on_the_edge(graph: Graph, here: Machine, there: Machine, back: float) -> list[Candidate]:
    model, size = there.timed(graph), picture_of(graph)
    pixels = 0.0 if size is None else float(size[0] * size[1])
    raw, what = (float(graph.bytes(graph.inputs)), "input") if size is None else (3 * pixels, "picture")
    parts = (here.part(what, "device", _nothing(raw)), there.part("model", "edge", model))
    found = [Candidate(Placement(f"all edge, raw {what}", parts, (raw, back)), "raw", WHOLE)]
    for quality in coding.JPEG_LEVELS if size is not None else ():
        name = f"all edge, JPEG {quality}"
        encode = here.part("JPEG", "device", _nothing(raw), coding.ENCODE * pixels)
        parts = (encode, there.part("JPEG and model", "edge", model, coding.DECODE * pixels))
        placement = Placement(name, parts, (coding.jpeg_bytes(*size, quality) if size else raw, back))
        found.append(Candidate(placement, "image", name, note="bytes of a median photograph, modelled"))
    return found


def _cut(graph: Graph, cut: Cut, here: Machine, there: Machine, back: float) -> list[Candidate]:
    head, tail = here.timed(graph.part(cut.head, "head")), there.timed(graph.part(cut.tail, "tail"))
    note = f"answers of the head: {', '.join(cut.early)}" if cut.early else ""
    parts = (here.part("head", "device", head), there.part("tail", "edge", tail))
    found = [Candidate(Placement(f"cut at {cut.name}, float32", parts, (float(cut.bytes), back)), "split", WHOLE, note=note)]
    sent = [graph.tensors[t] for t in cut.tensors]
    if all(t.dtype in _REAL for t in sent):
        values = float(sum(t.count for t in sent))
        name = f"cut at {cut.name}, uint8"
        parts = (
            here.part("head and code", "device", head, coding.QUANTISE * values),
            there.part("code and tail", "edge", tail, coding.RESTORE * values),
        )
        found.append(Candidate(Placement(name, parts, (values, back)), "split", name, note=note))
    return found


def _nothing(memory: float) -> Timed:
    return Timed(0.0, 0.0, memory)
