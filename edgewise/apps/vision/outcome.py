"""What a run of a device came to, and how a person is shown it."""

from __future__ import annotations

from msgspec import Struct
from rich.table import Table as Grid

from edgewise.core.measurement import Measurement
from edgewise.core.placement import Mode
from edgewise.node.ledger import ModeRow


class RunOutcome(Struct, frozen=True):
    """What a run came to: the ledger, and how the device fared. Times in s, memory in bytes."""

    node: str
    sent: int
    answered: int
    dropped: dict[str, int]
    failed: dict[str, int]
    modes: dict[Mode, ModeRow]
    balanced: bool
    link_kind: str
    first_frame: float | None
    memory: float
    skipped: dict[str, int]
    warnings: tuple[str, ...]
    torch_imported: bool
    broken: bool
    bytes_frames: float
    """Bytes up of all frames, those that failed included."""
    bytes_up: int
    """Everything that went up: frames, telemetry, heartbeats, before TLS. `bytes_reports` (status, previews) come on top."""
    bytes_down: int
    bytes_reports: int
    reports_failed: int
    tried: int
    missed: int
    """Frames that went up although the filter saw nothing and were answered; those in which something was found."""
    cut: int
    guarded: int
    """Frames that went with fewer layers than they had: for the link's sake, and by the byte guard."""
    samples: int
    sample_bytes: float
    asked: int
    taught: int
    """Samples that went up to be learned from, their bytes; frames answered here that asked for a better answer and got one."""
    energy: float
    energy_source: str
    """Modelled joules of all frames and of work in vain, and by what model."""
    measured: Measurement | None
    """What an instrument of this machine says of the whole run, where it has one."""

    @property
    def well(self) -> bool:
        """The sum holds, something was answered, and neither the source nor a part of the device failed."""
        return self.balanced and self.answered > 0 and not self.broken


def ledger_table(outcomes: dict[str, RunOutcome]) -> Grid:
    """The closing table by device and mode, with its sum."""
    grid = Grid(
        "device", "mode", "frames", "late", "p50", "p95", "bytes a frame", "J a frame", title="sent = answered + dropped + failed"
    )
    for name, o in outcomes.items():
        for mode, row in o.modes.items():
            grid.add_row(
                name,
                mode,
                str(row.n),
                str(row.late),
                f"{row.latency_p50 * 1e3:.0f} ms",
                f"{row.latency_p95 * 1e3:.0f} ms",
                f"{row.bytes:,.0f}",
                f"{row.energy:.3f} {row.provenance}",
            )
        for fate, reasons in (("dropped", o.dropped), ("failed", o.failed)):
            for reason, n in reasons.items():
                grid.add_row(name, f"{fate}: {reason}", str(n))
        if o.tried:
            grid.add_row(name, f"filter missed {o.missed} of {o.tried} tried", "")
        for what, n in (("cut for the link", o.cut), ("cut by the byte guard", o.guarded)):
            if n:
                grid.add_row(name, what, str(n))
        if o.samples:
            grid.add_row(name, "samples to learn from", str(o.samples), "", "", "", f"{o.sample_bytes:,.0f} in all")
        if o.asked:
            grid.add_row(name, f"taught {o.taught} of {o.asked} asked", "")
        lost = sum(o.dropped.values()), sum(o.failed.values())
        grid.add_row(name, "all that went up", "", "", "", "", f"{o.bytes_up:,} in all", f"{o.energy:.1f} J in all")
        verdict = "[green]balanced[/]" if o.balanced else "[red]does not add up[/]"
        grid.add_row(name, "all", f"{o.sent} = {o.answered} + {lost[0]} + {lost[1]}", "", "", "", "", verdict, end_section=True)
    return grid
