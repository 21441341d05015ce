"""By what the answers of a report are judged: labels where they speak of what the bundle answers, else the uncut model.

The uncut model is the part `full` where the bundle has one, else filter, head and tail in one process with the features as the
head gives them: float32, no codec. Its answers are computed for every sample, so that a labelled report says what the cut
itself costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.apps.vision.split_outcome import Of
from edgewise.apps.vision.split_wire import Crossing
from edgewise.core.answer import Answer, Box
from edgewise.core.artifact import Classes, Grid, Manifest, PartName, Raw, Regions, Things
from edgewise.core.coherent import EARLY
from edgewise.data import scoring
from edgewise.data.dataset import Dataset, Entry, Example
from edgewise.data.decoding import answers, raw
from edgewise.data.scoring import Scored, Truth
from edgewise.node.parts import Parts
from edgewise.runtime.bundle import Bundle
from edgewise.split.boxes import Boxed, form_of

BOXES = 0.3  # score from which a box of the uncut model counts where its decoding has no threshold
CURVE = 0.05


class Judge:
    """Sees each sample once (`see`), then scores what was answered. `told` are sentences about labels that were not used."""

    def __init__(self, bundle: Bundle, data: Dataset, same: Mapping[str, str], threads: int, of: Of, told: Sequence[str]) -> None:
        self.of, self.told = of, tuple(told)
        self._bundle, self._parts, self._same = bundle, Parts(bundle, threads), dict(same)
        self._labels = bundle.manifest.labels
        self._truths: list[Truth] = []
        self.whole: list[Crossing] = []  # the uncut model's answers, as if the device gave them
        self._uncut: list[Answer] = []
        self._one_class = len(self._labels) == 1
        self._form = form(bundle.manifest)
        self.curve = isinstance(bundle.manifest.decoding, (Grid, Things))
        self.sentence = _sentence(bundle.manifest, data, of)

    def see(self, example: Example) -> None:
        """Note what is true of a sample, and what the uncut model says of it."""
        entry = example.entry
        boxes, ignored = (tuple(b for x in those if (b := self._named(x)) is not None) for those in (entry.boxes, entry.ignored))
        self._truths.append(Truth(boxes, ignored, self._same.get(entry.label, entry.label), example.mask))
        begun = perf_counter()
        said = uncut(self._parts, example.values, CURVE if self.curve else None)
        self.whole.append(Crossing(said, device={"uncut": perf_counter() - begun}))
        self._uncut.append(self._read(said))

    def score(self, crossings: Mapping[str, Sequence[Crossing]], blocks: Sequence[int]) -> dict[str, Scored]:
        """The quality of every point."""
        return {name: self._scored([self._read(c.answer) for c in found], blocks) for name, found in crossings.items()}

    def uncut(self, blocks: Sequence[int]) -> float | None:
        """The uncut model's own quality by the labels; None where there are none."""
        return self._scored(self._uncut, blocks).value if self.of == "labels" else None

    def recall(self, crossings: Mapping[str, Sequence[Crossing]]) -> tuple[float | None, int]:
        """Of the samples with something to find, the share that the filter let go, and how many there were."""
        found = next((f for f in crossings.values() if any(c.dropped for c in f)), None)
        if found is None or self._bundle.manifest.filter is None:
            return None, 0
        threshold = self._threshold
        there = (
            [bool(t.boxes) for t in self._truths]
            if self.of == "labels" and any(t.boxes for t in self._truths)
            else [any(b.score >= threshold for b in a.boxes) for a in self._uncut]
        )
        positives = sum(there)
        kept = sum(t and not c.dropped for t, c in zip(there, found, strict=True))
        return (kept / positives if positives else None), positives

    @property
    def _threshold(self) -> float:
        if self._form is not None:
            return self._form.threshold
        return float(getattr(self._bundle.manifest.decoding, "threshold", BOXES))

    def _read(self, answer: Answer) -> Answer:
        """An answer of raw outputs whose form is known, as boxes."""
        if self._form is None or not answer.raw:
            return answer
        (found,) = self._form.answers({name: value[None] for name, value in raw.outputs(answer).items()})
        names = self._labels
        return Answer(tuple(replace(b, label=names[i] if (i := int(b.label)) < len(names) else b.label) for b in found.boxes))

    def _scored(self, said: Sequence[Answer], blocks: Sequence[int]) -> Scored:
        if self.of == "the uncut model":
            return scoring.agreement(said, self._uncut, blocks, self._threshold)
        decoding = self._bundle.manifest.decoding
        if isinstance(decoding, Classes):
            return scoring.of_classes(said, self._truths, blocks)
        if isinstance(decoding, Regions):
            return scoring.of_regions(said, self._truths, blocks)
        return scoring.of_boxes(said, self._truths, blocks, one_class=self._one_class)

    def _named(self, box: Box) -> Box | None:
        """The box under the bundle's word for it; None where the bundle has none."""
        label = self._same.get(box.label, box.label)
        if self._one_class and not self._same:
            label = self._labels[0]
        return replace(box, label=label) if label in self._labels else None


def form(manifest: Manifest) -> Boxed | None:
    """How the raw outputs of a detector become boxes, as far as their shapes tell; None where they do not, or need not."""
    eye = manifest.parts.get("full") or manifest.parts.get("tail") or manifest.parts.get("local")
    look = next(iter(manifest.pictures.values()), None)
    if not isinstance(manifest.decoding, Raw) or manifest.task != "detection" or eye is None or look is None:
        return None
    shapes = {t.name: tuple(d or 0 for d in t.shape[1:]) for t in eye.outputs}
    return form_of(shapes, (look.height, look.width))


def judge_for(bundle: Bundle, data: Dataset, same: Mapping[str, str], threads: int = 1) -> Judge:
    """A Judge by labels, where the data's speak of what the bundle answers; `same` translates the data's words into the
    bundle's.
    """
    manifest = bundle.manifest
    of, told = _by_labels(manifest, data, same)
    return Judge(bundle, data, same, threads, of, told)


def uncut(parts: Parts, values: NDArray[Any], threshold: float | None = None) -> Answer:
    """What the model says where nothing is coded and nothing sent; boxes from `threshold` on where it is below the decoding's."""
    manifest = parts.manifest
    decoding = manifest.decoding
    if threshold is not None and isinstance(decoding, (Grid, Things)):
        decoding = replace(decoding, threshold=min(threshold, decoding.threshold))
    held = manifest.parts
    whole: PartName = "full" if "full" in held else manifest.first if "head" in held else "local"
    outputs = parts.run(whole, parts.sample(whole, values))
    if whole == "filter":
        outputs = parts.run("head", outputs[EARLY])
    if whole in ("filter", "head"):
        outputs = parts.run("tail", outputs[held["head"].outputs[0].name])
    return answers(outputs, decoding, manifest.labels)[0]


def _by_labels(manifest: Manifest, data: Dataset, same: Mapping[str, str]) -> tuple[Of, list[str]]:
    decoding = manifest.decoding
    if not data.labelled or (isinstance(decoding, Raw) and form(manifest) is None):
        return "the uncut model", []
    if isinstance(decoding, Regions):
        if data.kind == "masks":
            return "labels", []
        return "the uncut model", [f"The labels ({data.kind}) say nothing of regions, and are not used."]
    if isinstance(decoding, Classes) != (data.kind == "classes") or data.kind == "masks":
        return "the uncut model", [f"The labels ({data.kind}) say nothing of {manifest.task}, and are not used."]
    words = sorted({same.get(w, w) for e in data.entries for w in _words(e)})
    known = [w for w in words if w in manifest.labels]
    unknown = [w for w in words if w not in manifest.labels]
    held = _few(words)
    if not known and len(manifest.labels) == 1 and words and not isinstance(decoding, Classes):
        only = manifest.labels[0]
        return "labels", [f"Every label of the data ({held}) is taken for {only}, the bundle's only one; --same says otherwise."]
    if not known:
        ours = _few(manifest.labels)
        return "the uncut model", [f"No label of the data ({held}) is one of the bundle's ({ours}); --same can translate."]
    return "labels", [f"Labels that the bundle does not know are left out: {_few(unknown)}."] if unknown else []


def _words(entry: Entry) -> set[str]:
    return {entry.label} if entry.label else {b.label for b in entry.boxes}


def _sentence(manifest: Manifest, data: Dataset, of: Of) -> str:
    if of == "labels":
        return f"Quality is judged by the labels of the data ({data.kind})."
    name = (
        "the part `full`"
        if "full" in manifest.parts
        else "head and tail with float features"
        if "head" in manifest.parts
        else "local"
    )
    return f"There are no labels to judge by: quality is agreement with the uncut model ({name}), and says nothing of the truth."


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:6]) + (f" and {len(words) - 6} more" if len(words) > 6 else "")
