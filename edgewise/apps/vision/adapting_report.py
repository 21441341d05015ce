"""`edgewise adapt report`: the log of an adaptation as a table and a picture.

    adapting.png   over time: agreement with the teacher (the version in use, the source), uploads as a share of frames,
                   bytes up and down, versions; a mark where one was taken back

A log may hold several runs of a server; counts begin anew with each, and are joined here so that they only grow. Agreement is
that on audits alone, which were drawn blindly: of what was selected it would say too much (adapt notes, long runs §4). It does
not know the truth: a teacher is not always right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from rich.table import Table

from edgewise.apps.vision.adapting_log import Begun, Line, Noted, Published, Staged, Stood, thinned
from edgewise.core.errors import ConfigError
from edgewise.plan.map import COLOURS

SUMS = ("frames", "uploads", "audits", "bytes_up", "bytes_down", "steps", "accepted", "rejected", "reverts")
PICTURE = "adapting.png"


class Reported(Struct, frozen=True):
    """A log as figures: `course` with counts over all runs, versions published, stages of their rollouts, what else happened."""

    model: str
    teacher: str
    course: tuple[Stood, ...]
    versions: tuple[Published, ...]
    stages: tuple[Staged, ...]
    happened: tuple[Noted, ...]

    @property
    def last(self) -> Stood | None:
        return self.course[-1] if self.course else None

    @property
    def uploaded_share(self) -> float | None:
        """Uploads of all frames; None before there is one."""
        return self.last.uploads / self.last.frames if self.last is not None and self.last.frames else None

    @property
    def back(self) -> tuple[Staged, ...]:
        """Versions that were taken back."""
        return tuple(s for s in self.stages if s.stage == "reverted")


def reported(lines: Sequence[Line]) -> Reported:
    """What a log says; ConfigError where it holds no beginning."""
    begun = [line for line in lines if isinstance(line, Begun)]
    if not begun:
        allowed = "the log of a server with --adapt"
        raise ConfigError("a log of adaptation has no beginning", got=f"{len(lines)} lines", allowed=allowed)
    course: list[Stood] = []
    base: dict[str, int] = dict.fromkeys(SUMS, 0)
    for line in lines:
        if isinstance(line, Begun) and course:
            base = {name: getattr(course[-1], name) for name in SUMS}
        if isinstance(line, Stood):
            course.append(replace(line, **{name: getattr(line, name) + n for name, n in base.items()}))
    return Reported(
        begun[-1].model,
        begun[-1].teacher,
        tuple(course),
        tuple(line for line in lines if isinstance(line, Published)),
        tuple(line for line in lines if isinstance(line, Staged)),
        tuple(line for line in lines if isinstance(line, Noted)),
    )


def table(of: Reported, most: int = 12) -> Table:
    """The course in at most so many rows, evenly apart, the last among them."""
    shown = Table(title=f"{of.model}, taught by {of.teacher}", title_justify="left")
    for name in ("after", "state", "frames", "uploads", "share", "up", "down", "version", "back", "agrees", "source", "gain"):
        shown.add_column(name, justify="left" if name == "state" else "right")
    for one in thinned(of.course, most):
        shown.add_row(
            _span(one.at - of.course[0].at),
            one.state,
            f"{one.frames:,}",
            f"{one.uploads:,}",
            f"{one.uploads / one.frames:.1%}" if one.frames else "–",
            _bytes(one.bytes_up),
            _bytes(one.bytes_down),
            str(one.version or "–"),
            str(one.reverts),
            *(_share(v) for v in (one.agreement, one.source)),
            "–" if one.agreement is None or one.source is None else f"{100 * (one.agreement - one.source):+.1f}",
        )
    return shown


def draw(of: Reported, file: Path) -> Path:
    """The course as a picture; ConfigError where there is none yet."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if len(of.course) < 2:
        raise ConfigError("there is nothing to draw yet", got=f"{len(of.course)} lines of how it stood", allowed="2 or more")
    figure = Figure(figsize=(10, 11), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    start = of.course[0].at
    minutes = [(one.at - start) / 60 for one in of.course]
    panels = figure.subplots(4, sharex=True)
    for axes, fill in zip(panels, (_agreement, _uploads, _bytes_over_time, _versions), strict=True):
        fill(axes, of, minutes)
        axes.grid(True, alpha=0.3)
        axes.legend(fontsize=9, loc="upper left")
        for back in of.back:
            axes.axvline((back.at - start) / 60, color=COLOURS[5], linestyle=":", linewidth=1)
    panels[-1].set_xlabel("minutes")
    panels[0].set_title(f"{of.model}, taught by {of.teacher} (dotted: a version was taken back)", loc="left", fontsize=13)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format=file.suffix[1:] or "png")
    return file


def _agreement(axes: Any, of: Reported, minutes: Sequence[float]) -> None:
    axes.plot(minutes, [_percent(o.agreement) for o in of.course], color=COLOURS[4], label="in use")
    axes.plot(minutes, [_percent(o.source) for o in of.course], color=COLOURS[1], ls="--", label="source")
    axes.set_ylabel("agrees with the teacher (%)")


def _percent(share: float | None) -> float:
    return float("nan") if share is None else 100 * share


def _uploads(axes: Any, of: Reported, minutes: Sequence[float]) -> None:
    shares = [100 * (b.uploads - a.uploads) / max(1, b.frames - a.frames) for a, b in zip(of.course, of.course[1:], strict=False)]
    axes.step(minutes[1:], shares, color=COLOURS[2], label="uploads, share of frames")
    axes.set_ylabel("uploaded (%)")
    axes.set_ylim(bottom=0)


def _bytes_over_time(axes: Any, of: Reported, minutes: Sequence[float]) -> None:
    axes.plot(minutes, [o.bytes_up / 1e3 for o in of.course], color=COLOURS[4], label="up: samples")
    axes.plot(minutes, [o.bytes_down / 1e3 for o in of.course], color=COLOURS[1], ls="--", label="down: versions")
    axes.set_ylabel("KB since the beginning")


def _versions(axes: Any, of: Reported, minutes: Sequence[float]) -> None:
    axes.step(minutes, [o.version for o in of.course], where="post", color=COLOURS[4], label="version in use")
    axes.step(minutes, [o.reverts for o in of.course], where="post", color=COLOURS[5], ls="--", label="taken back")
    axes.set_ylabel("number")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _bytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.1f} KB" if value >= 1e3 else f"{value:.0f} B"


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
