"""The model that is to be cut, ready: with the look of its pictures in its graph, samples, and the uncut answers on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Decoding, Grid, Raw, Task, Things
from edgewise.core.errors import ConfigError
from edgewise.core.graph import Graph
from edgewise.graph.count import graph_of
from edgewise.graph.load import load
from edgewise.graph.picture import Look, freed, look_of, pictured, with_options
from edgewise.runtime.session import Session
from edgewise.split.measure import LEAST, Measure, measure_for
from edgewise.split.request import Quick
from edgewise.split.samples import Samples, has_arrays, of_arrays, of_pictures
from edgewise.split.task import OVERLAP, THRESHOLD, task_of
from edgewise.split.trial import Outputs, joined

Advance = Callable[[str, float], None]
# Of what the goal leaves to disagree, so much is kept as a reserve against samples that chose nothing; mAP scatters less.
_MARGIN, _AP_MARGIN = 0.4, 0.25


class Subject(Struct, frozen=True):
    """The model as it is cut: its graph, the samples, the uncut outputs on both parts of them, the measure and the goal."""

    model: Any
    graph: Graph
    look: Look | None
    samples: Samples
    first: Outputs
    second: Outputs
    task: Task
    decoding: Decoding
    measure: Measure
    least: float
    batch: int
    labels: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def goal(self) -> float:
        return self.least + (_AP_MARGIN if self.measure.metric == "mAP" else _MARGIN) * (1 - self.least)


def prepared(config: Quick, advance: Advance) -> Subject:
    """The model with its look, the samples, and the uncut model's outputs on them."""
    if bool(config.device) != bool(config.link):
        raise ConfigError("a device and a link are named together", got=config.device or config.link, allowed="both, or neither")
    if bool(config.width) != bool(config.height):
        raise ConfigError("a picture's size is half said", got=f"{config.width} × {config.height}", allowed="both, or neither")
    model, notes = load(config.model), []
    look = None if has_arrays(config.calibrate) else look_of(model, (config.height, config.width) if config.width else None)
    if look is not None:
        look, told = _look(look, config)
        notes += told
        model = pictured(model, look)
    model, free = freed(model)
    if not free:
        notes.append("The model holds on to a batch of one: a server runs its tail frame by frame.")
    graph = graph_of(model)
    shapes = {o: graph.tensors[o].shape[1:] for o in graph.outputs}
    task, decoding = _task(graph, config.task)
    if look is not None:
        samples = of_pictures(
            config.calibrate, look.picture, config.samples, config.judged, config.most_bad, config.seed, advance
        )
    else:
        shape = graph.tensors[graph.inputs[0]].shape[1:]
        samples = of_arrays(config.calibrate, shape, config.samples, config.judged, config.most_bad, config.seed, advance)
    measure = measure_for(task, decoding, shapes, None if look is None else (look.height, look.width))
    session = Session.load(model.SerializeToString(), config.threads)
    batch = 8 if free else 1
    first, second = (outputs(session, samples.of(rows), batch) for rows in (samples.calibrate, samples.judge))
    least = config.agreement or LEAST.get(measure.metric, 0.99)
    labels = config.labels or (("thing",) if isinstance(decoding, Grid | Things) else ())
    return Subject(model, graph, look, samples, first, second, task, decoding, measure, least, batch, labels, tuple(notes))


def outputs(session: Session, values: NDArray[Any], batch: int) -> Outputs:
    """Every output for these samples."""
    source = session.inputs[0].name
    return joined([session.run({source: values[i : i + batch]}) for i in range(0, len(values), batch)])


def _look(look: Look, config: Quick) -> tuple[Look, list[str]]:
    """The look with the person's options, and what was guessed."""
    guessed = [
        word
        for word, given in (
            ("pixels of 0…255 times 1/255", config.scale is not None),
            ("no mean, no std", config.mean is not None or config.std is not None),
            ("red first", config.bgr),
        )
        if not given
    ]
    if config.layout is not None and config.layout != look.layout:
        raise ConfigError("the model's input has another layout", got=config.layout, allowed=look.layout)
    told = with_options(look, config.scale, config.mean, config.std, config.bgr or None)
    seen = f"{look.width} × {look.height} px, {look.layout}"
    said = f"The model is taken to see pictures of {seen}; {', '.join(guessed)}" if guessed else ""
    return told, [f"{said}: guessed; say otherwise with --scale, --mean, --std, --bgr."] if said else []


def _task(graph: Graph, told: Task | None) -> tuple[Task, Decoding]:
    """Task and decoding from the outputs; what a person says of the task stands, with outputs that no decoding reads left raw."""
    outputs = {o: graph.tensors[o].shape for o in graph.outputs}
    if outputs.keys() == {"score", "box", "occupied"} and len(outputs["occupied"]) == 4 and told in (None, "detection"):
        return "detection", Grid(THRESHOLD, OVERLAP, 0.5, outputs["occupied"][2], outputs["occupied"][3])
    task, decoding = task_of(outputs, told)
    return (told, decoding if task == told else Raw()) if told else (task, decoding)
