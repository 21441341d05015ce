"""Models and machines: plan, calibrate, graph, train, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import tyro

from edgewise.cli.screen import console, write_json


def plan(
    model: tyro.conf.Positional[str],
    device: str = "pi4",
    edge: str = "this",
    link: str = "lte_synthetic",
    budget: str = "",
    objective: Literal["best", "latency", "energy", "device_energy", "bytes_up", "quality"] = "best",
    rate: float = 1.0,
    deadline: float | None = None,
    json: Path | None = None,
    map: Path | None = None,
    plane: Path | None = None,
) -> int:
    """Which part of a model runs where: every placement and operating point, the best one, and why not the others.

    Args:
        model: an ONNX file or a bundle folder (`vehicles` is the one that comes with edgewise).
        device: a device profile by name (pi4, jetson_nano, …), a profile file, or `this` (after `edgewise calibrate`).
        edge: the edge server's profile, likewise.
        link: a link by name (lte_synthetic, wifi_synthetic, …), a trace file (mahimahi .up, time–rate), or `RATE` in Mbit/s.
        budget: bounds such as "p95 latency<=150ms, device_energy<=0.5J, bytes_up<=20KB, quality>=0.8".
        objective: what to make best within the budget; `best` is quality where it is known for all, else latency.
        rate: items a second, for bounds over a second or a day.
        deadline: seconds after which an answer is a miss (default: the budget's latency).
        json: write the report there.
        map: draw the best choice over link rate × device speed there (PNG).
        plane: of a bundle, draw there where split wins over local and picture by latency (PNG).
    """
    from edgewise.plan.map import draw_map, draw_plane
    from edgewise.plan.report import plan_model
    from edgewise.plan.show import show_plan

    screen, chosen = console(), None if objective == "best" else objective
    with screen.status("planning") as status:

        def progress(done: float, text: str) -> None:
            status.update(f"{text} {done:.0%}")

        report = plan_model(_bundle_or_file(model), device, edge, link, budget, chosen, rate, deadline, progress=progress)
    show_plan(report, screen)
    if map is not None:
        draw_map(report, map)
    if plane is not None and report.between:
        star = (report.link_rate, f"this plan: {report.link}, {report.device}")
        draw_plane(report.between[-1], f"{report.model}: who is the fastest", report.device, star, plane)
    write_json(json, report)
    return 0


def calibrate(out: Path | None = None, quick: bool = False) -> int:
    """Measure what operators cost on this machine, so that models that were never run here can be predicted.

    Args:
        out: where the profile goes (default: the user's edgewise folder, where the name `this` finds it).
        quick: 15 seconds instead of about 75, with wider intervals.
    """
    from edgewise.profiles.load import save_device, this_profile
    from edgewise.runtime.calibrate import calibrate as measure

    screen = console()
    with screen.status("measuring operators, one thread") as status:
        device = measure(15.0 if quick else 75.0, lambda done, text: status.update(f"measuring operators {done:.0%}: {text}"))
    path = out or this_profile()
    save_device(device, path)
    screen.print(f"{len(device.operators)} operators measured; written to {path}")
    return 0


def doctor(json: Path | None = None) -> int:
    """What this machine offers: versions, execution providers, kinds of link, energy meters, browser.

    Args:
        json: write it there.
    """
    from rich.table import Table

    from edgewise.apps.vision.doctor import examine

    found = examine()
    table = Table("what", "found", show_header=False, box=None)
    table.add_row("python", f"{found.python} on {found.system}, {found.processor}, {found.cores} cores")
    table.add_row("versions", ", ".join(f"{n} {v}" for n, v in found.versions.items() if v))
    for extra, sentence in found.missing.items():
        table.add_row(f"not here ({extra})", sentence)
    table.add_row("providers", ", ".join(found.providers))
    for kind, sentence in found.links.items():
        table.add_row(f"link {kind}", sentence)
    for kind, sentence in found.meters.items():
        table.add_row(f"meter {kind}", sentence)
    table.add_row("browser", found.browser or "none (only the tests of the page need one)")
    console().print(table)
    write_json(json, found)
    return 0


def graph_show(model: tyro.conf.Positional[str], most: int = 20, json: Path | None = None) -> int:
    """Operators, FLOPs, weights and all valid cuts of a model.

    Args:
        model: an ONNX file.
        most: rows of cuts to print; the JSON has them all.
        json: write it there.
    """
    from rich.table import Table

    from edgewise.graph.load import load
    from edgewise.graph.show import summary

    found, screen = summary(load(model)), console()
    screen.print(
        f"{found.name}: {found.operators} operators, {found.flops / 1e6:,.1f} MFLOP, {found.weight_bytes:,} bytes of weights"
    )
    if found.unknown:
        screen.print(f"not counted, for want of a rule: {', '.join(found.unknown)}")
    kinds = Table("operator", "count", "MFLOP", "weights", "written")
    for k in found.kinds:
        kinds.add_row(
            k.kind,
            str(k.count),
            "unknown" if k.flops is None else f"{k.flops / 1e6:,.2f}",
            f"{k.weight_bytes:,}",
            f"{k.written:,}",
        )
    cuts = Table("cut at", "bytes across", "head MFLOP", title=f"{len(found.cuts)} cuts, fewest bytes first")
    for c in sorted(found.cuts, key=lambda c: (c.bytes, c.head_flops))[:most]:
        cuts.add_row(", ".join(c.tensors), f"{c.bytes:,}", f"{c.head_flops / 1e6:,.2f}")
    screen.print(kinds, cuts)
    write_json(json, found)
    return 0


def graph_cut(
    model: tyro.conf.Positional[str], at: str, check: bool = False, out: Path | None = None, json: Path | None = None
) -> int:
    """Cut a model into head and tail at a tensor.

    Args:
        model: an ONNX file.
        at: the tensor to cut at (`edgewise graph show` lists them); several with commas.
        check: run the whole and the two parts on the same random input and compare.
        out: folder for head.onnx and tail.onnx.
        json: write the comparison there.
    """
    from edgewise.graph import cut
    from edgewise.graph.load import load

    screen, tensors, whole = console(), at.split(","), load(model)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, part in zip(("head", "tail"), cut.split(whole, tensors), strict=True):
            (out / f"{name}.onnx").write_bytes(part.SerializeToString())
            screen.print(f"written: {out / name}.onnx")
    if check or out is None:
        outcome = cut.check(whole, tensors)
        word = "bit-equal" if outcome.bit_equal else "not bit-equal"
        screen.print(f"{', '.join(outcome.tensors)}: {outcome.bytes:,} bytes cross; without graph optimisation {word};")
        screen.print(
            f"with it {outcome.max_abs:.3g} absolute, {outcome.max_rel:.3g} relative at most, over {outcome.outputs} outputs"
        )
        write_json(json, outcome)
    return 0


def train_vehicles(
    out: Path = Path("vehicles"),
    work: Path = Path("build/vehicles"),
    clip: Path | None = None,
    minutes: float | None = None,
    seed: int = 3,
) -> int:
    """Train the shipped vehicle detector from nothing and write its bundle (needs the [train] extra); resumable.

    Args:
        out: the bundle folder.
        work: folder for rendered frames and checkpoints; what is there is taken up.
        clip: opendatacam.tar, to train on the real clip as well.
        minutes: wall time of each of the two trainings; without it, what the shipped bundle had.
        seed: of everything random.
    """
    import logging

    import msgspec

    from edgewise.training.vehicles import Config, make

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    config = Config(out=out, work=work, clip=clip, seed=seed)
    if minutes is not None:
        each = minutes * 60
        config = msgspec.structs.replace(config, split_seconds=each, local_seconds=each)
    manifest = make(config)
    assert manifest is not None  # None only where one net alone was asked for
    console().print(f"{out} holds bundle {manifest.address[:12]}; its operating points:")
    for point in manifest.points:
        console().print(f"  {point.name}: quality {point.worth():.3f}, {point.bytes_up:,.0f} bytes")
    return 0


def _bundle_or_file(model: str) -> str:
    from edgewise.apps.vision.bundles import find

    return model if model.endswith(".onnx") else str(find(model))
