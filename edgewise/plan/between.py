"""The region between local and edge computing: where on the plane of link rate × device speed a split wins, and how much of it.

Paper 2 (claim 2.3) calls split "the effective intermediate option" between computing on the device, which wins where the link
is bad or the device quick, and sending the picture, which wins where the link is good. Here that is a statement about cells of
a map: in each the option of least latency is taken, among those whose quality is at least a floor, and the cells are named by
its kind. The plane is taken in ratios (each decade counts the same), so a share of it is a share of the drawn picture, not of
anybody's links.

It does not know which cells a person's devices are in: the star of the map says that of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.cost import Bound, Budget
from edgewise.plan.break_even import spoken
from edgewise.plan.candidates import Candidate
from edgewise.plan.region import NOTHING, RATES, SPEEDS, Region, Scene, region

KINDS = {"local": "local", "split": "split", "image": "picture", "raw": "picture", "drop": "drop"}


WITHIN = 0.01  # of the best split's quality that counts as that quality


class Between(Struct, frozen=True, forbid_unknown_fields=True):
    """`map` names kinds (local, split, picture); `share` is what each takes of the plane; `rates` (bit/s) and `speeds` are the
    ends of the cells in which split wins, None where there are none. `floor` is the quality asked for (None: none).
    """

    map: Region
    share: dict[str, float]
    rates: tuple[float, float] | None
    speeds: tuple[float, float] | None
    floor: float | None

    def __str__(self) -> str:
        """The region in words."""
        asked = "" if self.floor is None else f" among ways with a quality of {self.floor:.3f} or more"
        if self.rates is None or self.speeds is None:
            return f"No cell of the plane is split's{asked}: local or the picture is faster everywhere."
        others = ", ".join(f"{kind} {share:.0%}" for kind, share in self.share.items() if kind != "split")
        (slow, fast), (weak, strong) = self.rates, self.speeds
        return (
            f"Split is the effective intermediate option in {self.share['split']:.0%} of the plane{asked} ({others}): at uplinks "
            f"from {spoken(slow)} to {spoken(fast)}, device speeds from {weak:.2g} to {strong:.3g} times."
        )


def floor(candidates: Sequence[Candidate], within: float = WITHIN) -> float | None:
    """The quality of the best split, less `within`; None where no split has a known one."""
    known = [c.quality for c in candidates if c.kind == "split" and c.quality is not None]
    return max(max(known) - within, 0.0) if known else None


def between(
    candidates: Sequence[Candidate],
    scene: Scene,
    floor: float | None = None,
    rates: Sequence[float] = RATES,
    speeds: Sequence[float] = SPEEDS,
) -> Between:
    """Who wins by latency among the candidates with a quality of `floor` or more; drops answer nothing and stay out."""
    asked = Budget() if floor is None else Budget((Bound("quality", floor),))
    kinds = {c.name: KINDS[c.kind] for c in candidates}
    ways = [c for c in candidates if c.kind != "drop"]
    found = region(ways, replace(scene, budget=asked, objective="latency"), rates, speeds)
    named = tuple(dict.fromkeys(kinds.get(n, NOTHING) for n in found.names))
    cells = tuple(tuple(named.index(kinds.get(found.names[k], NOTHING)) for k in row) for row in found.best)
    total = len(rates) * len(speeds)
    counted = {name: sum(row.count(i) for row in cells) / total for i, name in enumerate(named)}
    places = [(i, j) for i, row in enumerate(cells) for j, k in enumerate(row) if named[k] == "split"]
    return Between(
        Region(found.rates, found.speeds, named, cells),
        dict(sorted(counted.items(), key=lambda item: (item[0] == NOTHING, -item[1]))),
        (rates[min(j for _, j in places)], rates[max(j for _, j in places)]) if places else None,
        (speeds[min(i for i, _ in places)], speeds[max(i for i, _ in places)]) if places else None,
        floor,
    )
