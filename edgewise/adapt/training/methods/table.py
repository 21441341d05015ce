"""All methods by name, and what each is made of: one Setting for a replay, so that everybody begins from the same source.

| name | adapts | goes up |
|---|---|---|
| none, batch statistics, moving statistics, LAME | nothing that learns | nothing |
| Tent, EATA, SAR, CoTTA | weights, by backward passes on the device | nothing |
| upload all | nothing | everything, answered by the teacher |
| cascade | statistics | the most doubtful frames, answered by the teacher |
| random, entropy, window uploads | statistics, and φ by the teacher | samples chosen so, within the budget |
| CEMA as published, as shipped | φ, μ, σ² by the teacher | what its exclusions leave |
| ours | all that the Recipe says | within the budget |

Methods in the last two groups of ours share one Recipe, so their uploads have one budget of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from edgewise.adapt.inputs import Prepare
from edgewise.adapt.method import Inputs, TestTimeMethod
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.replay import OURS, STATISTICS, TEACHER
from edgewise.adapt.teacher import Teacher
from edgewise.adapt.training.methods.cema import PAPER, SHIPPED, Cema, Published
from edgewise.adapt.training.methods.cotta import Cotta
from edgewise.adapt.training.methods.entropy import Eata, Sar, Tent
from edgewise.adapt.training.methods.moving import MovingStatistics
from edgewise.adapt.training.methods.ours import Ours
from edgewise.adapt.training.methods.sent import UploadAll
from edgewise.adapt.training.methods.still import BatchStatistics, Lame, Unchanged
from edgewise.adapt.training.methods.subject import Subject, subject
from edgewise.adapt.training.student import Student
from edgewise.adapt.uplink import Crossing, Uplink
from edgewise.adapt.upload import Calibration
from edgewise.core.errors import ConfigError
from edgewise.runtime.follow import PLAIN, Rules

CASCADED = 0.3  # share of a cascade where the recipe has none
BATCH = 50


class Setting(Struct, frozen=True, eq=False):
    """What methods of one replay share. `student()` gives a new Student of the source each time; `prepare` makes inputs of
    pictures; `recipe` bounds what ours may send, `delay` (batches) is how late a shipment is there.

    `base` is the address of the version at the beginning. `sure` is a teacher that may learn, for CEMA alone.
    """

    student: Callable[[], Student]
    labels: tuple[str, ...]
    prepare: Prepare
    teacher: Teacher
    crossing: Crossing
    recipe: Recipe = Recipe()
    calibration: Calibration | None = None
    delay: int = 1
    rules: Rules = PLAIN
    base: str = "0" * 64
    sure: Callable[[], Teacher] | None = None

    @property
    def subject(self) -> Subject:
        return subject(self.student(), self.labels)

    @property
    def uplink(self) -> Uplink:
        return Uplink(self.crossing, self.labels)

    def home(self, batch: int = BATCH) -> list[Inputs]:
        """Inputs of the source's own domain, in batches; none where there is no calibration set."""
        pictures = self.calibration.pictures if self.calibration is not None else ()
        return [self.prepare(pictures[i : i + batch]) for i in range(0, len(pictures), batch)]


def _ours(name: str, **changes: object) -> Callable[[Setting], TestTimeMethod]:
    def made(s: Setting) -> TestTimeMethod:
        recipe = replace(s.recipe, **changes)
        if not recipe.learn and not recipe.cascade:
            recipe = replace(recipe, cascade=CASCADED)
        return Ours(s.subject, s.student(), s.uplink, s.teacher, s.prepare, recipe, s.calibration, s.delay, s.rules, name, s.base)

    return made


def _cema(name: str, published: Published) -> Callable[[Setting], TestTimeMethod]:
    def made(s: Setting) -> TestTimeMethod:
        learns = s.sure() if s.sure is not None else None
        return Cema(s.subject, s.uplink, s.prepare, s.recipe.seed, published, learns, name)

    return made


METHODS: Mapping[str, Callable[[Setting], TestTimeMethod]] = {
    "none": lambda s: Unchanged(s.subject),
    "batch statistics": lambda s: BatchStatistics(s.subject),
    STATISTICS: lambda s: MovingStatistics(s.subject, s.rules),
    "LAME": lambda s: Lame(s.subject),
    "Tent": lambda s: Tent(s.subject),
    "EATA": lambda s: Eata(s.subject, s.home()),
    "SAR": lambda s: Sar(s.subject),
    "CoTTA": lambda s: Cotta(s.subject, s.recipe.seed),
    TEACHER: lambda s: UploadAll(s.subject, s.uplink),
    "cascade": _ours("cascade", learn=False),
    "random uploads": _ours("random uploads", cascade=0.0, selection="random"),
    "entropy uploads": _ours("entropy uploads", cascade=0.0, selection="entropy"),
    "window uploads": _ours("window uploads", cascade=0.0, selection="window"),
    "CEMA as published": _cema("CEMA as published", PAPER),
    "CEMA as shipped": _cema("CEMA as shipped", SHIPPED),
    OURS: _ours(OURS),
}


def made(names: Sequence[str], setting: Setting) -> dict[str, TestTimeMethod]:
    """Methods by name; ConfigError for a name that is none."""
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ConfigError("there is no such method", got=", ".join(unknown), allowed=", ".join(METHODS))
    return {name: METHODS[name](setting) for name in dict.fromkeys(names)}
