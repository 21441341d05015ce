"""What adaptation would do on recorded pictures: the bundle, the weather, the teacher and the methods that a person named, and
what the outcome says in sentences.

The replay is `edgewise.adapt.training.replayed`; here its words are read, and its figures are put into words. The first question
is what statistics do, which cost no byte; the second what a teacher could add (head-room); the third what of that was won, by
answers and by learning, at what price. It does not know whether the recorded pictures are like those to come.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from edgewise.adapt.recipe import Recipe
from edgewise.adapt.replay import OURS, STATISTICS, TEACHER, Paired, Replayed
from edgewise.adapt.teacher import Teacher
from edgewise.apps.vision.adapting_engaged import taught_by
from edgewise.apps.vision.adapting_options import budget, read_recipe
from edgewise.apps.vision.bundles import find
from edgewise.core.errors import ConfigError
from edgewise.data.streams import Order, parse
from edgewise.runtime.bundle import read_manifest

Advance = Callable[[str, float], None]
ALONE = ("none", "batch statistics", STATISTICS)  # what there is without a teacher
USUAL = ("none", STATISTICS, "cascade", "random uploads", OURS, TEACHER)
SHORT = 2000  # pictures of a domain before learning shows (adapt notes, long runs)
LITTLE = 0.02  # of head-room
COSTS = 0.01  # that statistics may cost on clean pictures
CASCADE = 0.25


class ReplayConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """As the verb has it; `upload` in words (`20KB/s`), `methods` empty: the usual ones, `all`: every one there is."""

    bundle: str
    stream: str
    shift: str
    teacher: str = ""
    methods: tuple[str, ...] = ()
    upload: str = "20KB/s"
    order: Order = "iid"
    each: int | None = None
    limit: int | None = None
    rate: float = 10.0
    recipe: str = ""
    home: str = ""
    delay: int = 1
    seed: int = 0
    threads: int = 1


class Shown(Struct, frozen=True, eq=False):
    """What was `found`, and what it says in `sentences`."""

    found: Replayed
    sentences: tuple[str, ...]

    def summary(self) -> dict[str, object]:
        return {**self.found.summary(), "sentences": list(self.sentences)}


def run_replay(config: ReplayConfig, advance: Advance = lambda what, share: None) -> Shown:
    """Replay it; ConfigError, ModelError or SourceError say what does not go together. Needs torch."""
    from edgewise.adapt.training.methods.table import METHODS
    from edgewise.adapt.training.replayed import Course, replay

    parse(config.shift)
    place = find(config.bundle)
    recipe = read_recipe(Path(config.recipe)) if config.recipe else Recipe(samples=1e6, cascade=CASCADE)
    methods = tuple(METHODS) if config.methods == ("all",) else config.methods or (USUAL if config.teacher else ALONE)
    found = replay(
        place,
        config.stream,
        config.shift,
        methods,
        _teacher(config, place, methods),
        budget(config.upload),
        config.seed,
        advance,
        order=config.order,
        each=config.each,
        limit=config.limit,
        recipe=recipe,
        course=Course(rate=config.rate, level=recipe.level),
        delay=config.delay,
        home=config.home or None,
        threads=config.threads,
    )
    if not config.teacher:
        found = replace(found, told=(*found.told, "without a teacher: what the device does by itself"))
    return Shown(found, sentences(found))


def _teacher(config: ReplayConfig, place: Path, methods: tuple[str, ...]) -> Teacher:
    """The teacher that was named; without one the bundle itself, which says what it would have said in good weather."""
    manifest = read_manifest(place)
    if config.teacher:
        return taught_by(config.teacher, manifest, config.threads)
    alone = {*ALONE, "LAME", "Tent", "EATA", "SAR", "CoTTA"}
    asking = [m for m in methods if m not in alone]
    if asking:
        raise ConfigError(
            "these methods need a teacher",
            got=", ".join(asking),
            allowed=f"without one: {', '.join(sorted(alone))}",
            hint="Say --teacher big.onnx, a bundle's folder, or torch:MODULE:CALLABLE.",
        )
    return taught_by(str(place), manifest, config.threads)


def sentences(found: Replayed) -> tuple[str, ...]:
    """What a table of figures says, in the order in which one decides."""
    said = [*_statistics(found), *_headroom(found), *_won(found), *_length(found)]
    return tuple(said)


def _statistics(found: Replayed) -> list[str]:
    if not {"none", STATISTICS} <= set(found.trails):
        return []
    gain = found.gain(STATISTICS, "none")
    said = [f"Statistics that follow the stream, which send no byte, are worth {points(gain)}."]
    for number, domain in enumerate(found.domains):
        if domain == "clean" and (lost := -found.gain(STATISTICS, "none", found.rows(number)).gain) > COSTS:
            said.append(f"On clean pictures they cost {100 * lost:.1f} points; they should cost nothing there.")
    return said


def _headroom(found: Replayed) -> list[str]:
    if not found.headroom:
        return []
    rooms = ", ".join(f"{domain} {100 * room:+.1f}" for domain, room in zip(found.domains, found.headroom, strict=True))
    said = [f"Head-room, the teacher's accuracy less that of statistics: {rooms} points. No upload wins more than that."]
    if max(found.headroom) < LITTLE:
        said.append("There is next to nothing to win from this teacher here; a server would fall back to audits alone.")
    return said


def _won(found: Replayed) -> list[str]:
    """What each way with uploads won, and what an extra right answer cost."""
    said: list[str] = []
    if STATISTICS not in found.trails:
        return said
    for name in ("cascade", "random uploads", OURS, TEACHER):
        if name not in found.trails:
            continue
        tally, price = found.trails[name].tally, found.bytes_per_extra(name)
        cost = "no extra right answer" if price is None else f"{price:,.0f} bytes for each extra right answer"
        gain = points(found.gain(name, STATISTICS))
        said.append(f"{_called(name)} {gain} over statistics with {tally.uploaded_share:.0%} of the frames sent: {cost}.")
    return said


def _called(name: str) -> str:
    return {
        "cascade": "The teacher's answer on the most doubtful frames, without learning, gives",
        "random uploads": "Learning alone gives",
        OURS: "Both together give",
        TEACHER: "The teacher on every frame gives",
    }[name]


def _length(found: Replayed) -> list[str]:
    least = min(len(found.rows(d)) for d in range(len(found.domains)))
    learning = [n for n in found.trails if n == OURS or n.endswith("uploads")]
    if learning and least < SHORT:
        return [f"Learning shows after some {SHORT:,} frames of a domain; here are {least:,}, so its part is not to be judged."]
    return []


def points(gain: Paired) -> str:
    """A gain with its interval, in points.

    >>> points(Paired(0.105, 0.01, 0.085, 0.125, 500))
    '+10.5 points (+8.5 to +12.5)'
    """
    return f"{100 * gain.gain:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
