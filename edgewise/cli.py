"""The edgewise command: one verb a job. A verb imports its room when it is called, so that `--help` is quick.

A verb reads its options, calls one function and shows what that returns; nothing is decided here. Errors of ours end as one
sentence on standard error and exit status 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from edgewise.core.errors import EdgewiseError

if TYPE_CHECKING:
    from rich.console import Console

KEYS = Path("edgewise-keys")


def demo(
    seconds: float | None = None,
    headless: bool = False,
    json: Path | None = None,
    link: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "step",
    devices: int = 2,
    port: int = 8770,
) -> int:
    """Two cameras at a rendered junction, an edge server and a shaped link on this machine, with a page to look at.

    Args:
        seconds: end by itself after so long (s); without it, Ctrl-C ends it.
        headless: no page, no previews; what a test or a script wants.
        json: write the closing table there as well.
        link: how the first device's uplink behaves: a link of ours (`edgewise plan --help` lists them) or a trace file.
        devices: how many cameras.
        port: the page's port on 127.0.0.1; the next free one is taken where it is in use.
    """
    from edgewise.apps.vision.demo import DemoConfig, run_demo

    outcome = run_demo(DemoConfig(seconds, headless, link, devices, port), _console())
    _json(json, outcome)
    return 0 if outcome.well else 1


def serve(
    bundles: tyro.conf.Positional[list[str]] = ["vehicles"],  # noqa: B006 (read, never changed)
    keys: Path = KEYS,
    host: str = "0.0.0.0",
    port: int = 8765,
    page_port: int = 8770,
    headless: bool = False,
    names: Annotated[list[str], tyro.conf.arg(metavar="HOST")] = [],  # noqa: B006
    threads: int = 1,
    largest_batch: int = 8,
    log: Literal["text", "json"] = "text",
    announce: Path | None = None,
) -> int:
    """The edge server: completes what devices send, in batches over all of them, and shows it on a page.

    On its first start it makes an authority and certificates in KEYS. To add a device: `edgewise keys issue NAME`, copy the
    folder that it prints to the device, and call `edgewise run` there.

    Args:
        bundles: bundle folders to serve; `vehicles` is the one that comes with edgewise.
        keys: folder of the authority and its certificates.
        host: address to listen on for devices.
        port: port for devices (TLS, client certificates required).
        page_port: port of the page on 127.0.0.1 without TLS; the next free one is taken where it is in use.
        headless: no page.
        names: further host names or addresses under which devices reach this server, for its certificate.
        threads: threads of the inference worker.
        largest_batch: frames that share one run of the tail, at most.
        log: how log lines look.
        announce: write the ports there (JSON) once the server listens, for scripts.
    """
    from edgewise.apps.vision.serve import ServeConfig, run_server

    config = ServeConfig(
        tuple(bundles), str(keys), host, port, None if headless else page_port, tuple(names), threads, largest_batch, log
    )
    return run_server(config, _console(), announce)


def run(
    source: str,
    server: Annotated[str | None, tyro.conf.arg(metavar="HOST[:PORT]")] = None,
    bundle: str = "vehicles",
    keys: Path | None = None,
    name: str | None = None,
    rate: float | None = None,
    loop: bool = False,
    deadline: float = 0.2,
    condition: str | None = None,
    budget: str = "",
    only: list[str] = [],  # noqa: B006
    profile: str = "pi4",
    radio: Literal["", "lte", "wifi", "3g"] = "",
    preview: float = 0.0,
    seconds: float | None = None,
    frames: int | None = None,
    threads: int = 1,
    json: Path | None = None,
    records: Path | None = None,
    log: Literal["text", "json"] = "text",
    report: str | None = None,
    link_kind: str = "real",
    quiet: bool = False,
) -> int:
    """The device agent: answers a camera's frames by itself, by features or by pictures, whichever is best now.

    Args:
        source: a folder or .tar of pictures, a picture, a video file, /dev/videoN, rtsp://HOST/PATH or junction:SEED[:CONDITION].
        server: the edge server; without it the device answers alone.
        bundle: the bundle folder; `vehicles` is the one that comes with edgewise.
        keys: folder with this device's certificate, as made by `edgewise keys issue NAME` on the server.
        name: this node's name; must be the one on its certificate (default).
        rate: frames a second (default: the source's own, or 10 for pictures).
        loop: begin again when the source ends.
        deadline: seconds from capture within which an answer counts.
        condition: the weather, if you know it (clear, haze, fog, rain, low_light, night); picks the right validation figures.
        budget: bounds that the device keeps to, such as "bytes_up<=50KB/s, device_energy<=1J/s".
        only: operating points to choose from, such as `--only jpeg-75`; without the local one among them nothing stands by.
        profile: device profile that turns busy seconds into (modelled) joules.
        radio: count the (modelled) joules of this radio as well.
        preview: pictures a second that the server's page may show; they share the link.
        seconds: stop after so long.
        frames: stop after so many frames.
        threads: threads of the inference worker.
        json: write the closing table there.
        records: write one JSON line a frame there.
        log: how log lines look.
        report: https://HOST:PORT that status and previews go to, where that is another way than the frames'.
        link_kind: what the page and the table call this link.
        quiet: no table.
    """
    from edgewise.apps.vision.run import RunConfig, run_device

    config = RunConfig(
        source=source,
        server=server,
        bundle=bundle,
        keys=str(keys) if keys else None,
        name=name,
        rate=rate,
        loop=loop,
        deadline=deadline,
        condition=condition,
        budget=budget,
        only=tuple(only),
        profile=profile,
        radio=radio,
        preview=preview,
        seconds=seconds,
        frames=frames,
        threads=threads,
        records=str(records) if records else None,
        log=log,
        report=report,
        link_kind=link_kind,
    )
    outcome = run_device(config, _console(quiet))
    _json(json, outcome)
    return 0 if outcome.balanced else 1


def plan(
    model: tyro.conf.Positional[str],
    device: str = "pi4",
    edge: str = "this",
    link: str = "lte_synthetic",
    budget: str = "",
    json: Path | None = None,
    map: Path | None = None,
) -> int:
    """Which part of a model runs where: every placement and operating point, the best one, and why not the others.

    Args:
        model: an ONNX file or a bundle folder (`vehicles` is the one that comes with edgewise).
        device: a device profile by name (pi4, jetson_nano, …), a profile file, or `this` (after `edgewise calibrate`).
        edge: the edge server's profile, likewise.
        link: a link by name (lte_synthetic, wifi_synthetic, …), a trace file (mahimahi .up, time–rate), or `RATE` in Mbit/s.
        budget: bounds such as "p95 latency<=150ms, device_energy<=0.5J, bytes_up<=20KB, quality>=0.8".
        json: write the report there.
        map: draw the best choice over link rate × device speed there (PNG).
    """
    from edgewise.plan.report import draw_map, plan_model, show_plan

    report = plan_model(_bundle_or_file(model), device, edge, link, budget)
    show_plan(report, _console())
    if map is not None:
        draw_map(report, map)
    _json(json, report)
    return 0


def calibrate(out: Path | None = None, quick: bool = False) -> int:
    """Measure what operators cost on this machine, so that models that were never run here can be predicted.

    Args:
        out: where the profile goes (default: the user's edgewise folder, where the name `this` finds it).
        quick: 15 seconds instead of about 75, with wider intervals.
    """
    from edgewise.profiles.load import save_device, this_profile
    from edgewise.runtime.calibrate import calibrate as measure

    console = _console()
    with console.status("measuring operators, one thread") as status:
        device = measure(15.0 if quick else 75.0, lambda done, text: status.update(f"measuring operators {done:.0%}: {text}"))
    path = out or this_profile()
    save_device(device, path)
    console.print(f"{len(device.operators)} operators measured; written to {path}")
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
    _console().print(table)
    _json(json, found)
    return 0


def graph_cut(
    model: tyro.conf.Positional[str], at: str, check: bool = False, out: Path | None = None, json: Path | None = None
) -> int:
    """Cut a model into head and tail at a tensor.

    Args:
        model: an ONNX file.
        at: the tensor to cut at (`edgewise graph show` lists them); several with commas.
        check: run the whole and the parts on random input and compare.
        out: folder for head.onnx and tail.onnx.
        json: write the comparison there.
    """
    from edgewise.graph import cut

    tensors = tuple(at.split(","))
    console = _console()
    if out is not None:
        for path in cut.write_parts(model, tensors, out):
            console.print(f"written: {path}")
    if check or out is None:
        outcome = cut.check(model, tensors)
        console.print(outcome)
        _json(json, outcome)
    return 0


def graph_show(model: tyro.conf.Positional[str], json: Path | None = None) -> int:
    """Operators, FLOPs, weights and all valid cuts of a model.

    Args:
        model: an ONNX file.
        json: write it there.
    """
    from edgewise.graph.show import describe, show

    description = describe(model)
    show(description, _console())
    _json(json, description)
    return 0


def keys_init(keys: Path = KEYS, names: list[str] = []) -> int:  # noqa: B006
    """Make an authority and the edge server's certificate.

    Args:
        keys: folder for them; keep it on the server.
        names: further host names or addresses of the server.
    """
    from edgewise.apps.vision.keys import init

    _console().print(init(keys, tuple(names)))
    return 0


def keys_issue(name: tyro.conf.Positional[str], keys: Path = KEYS) -> int:
    """Make a device's certificate.

    Args:
        name: the device's name, as the page will show it.
        keys: folder of the authority.
    """
    from edgewise.apps.vision.keys import issue_device

    _console().print(issue_device(keys, name))
    return 0


def train_vehicles(out: Path = Path("vehicles"), seconds: float = 3600.0, data: Path | None = None, seed: int = 0) -> int:
    """Train the shipped vehicle detector from nothing and write its bundle (needs the [train] extra).

    Args:
        out: the bundle folder.
        seconds: wall time for the training; resumable.
        data: folder with opendatacam.tar, to train on the real clip as well.
        seed: of everything random.
    """
    from edgewise.training.vehicles import train

    _console().print(train(out, seconds=seconds, data=data, seed=seed))
    return 0


VERBS: dict[str, Callable[..., int]] = {
    "demo": demo,
    "serve": serve,
    "run": run,
    "plan": plan,
    "calibrate": calibrate,
    "doctor": doctor,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., int]]]] = {
    "graph": ("Look into a model and cut it.", {"show": graph_show, "cut": graph_cut}),
    "keys": ("Certificates of the server and its devices.", {"init": keys_init, "issue": keys_issue}),
    "train": ("Train what edgewise ships.", {"vehicles": train_vehicles}),
}


def main(words: list[str] | None = None) -> None:
    """Read the command line, do it, exit with its status."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        status = _dispatch(words)
    except EdgewiseError as error:
        _stderr().print(f"[red]edgewise:[/] {_plain(str(error))}", highlight=False)
        status = 1
    except ModuleNotFoundError as error:
        _stderr().print(f"[red]edgewise:[/] {_plain(_missing(error))}", highlight=False)
        status = 1
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)


def _dispatch(words: list[str]) -> int:
    config = (tyro.conf.FlagCreatePairsOff,)
    if words and words[0] in GROUPS:
        about, verbs = GROUPS[words[0]]
        prog = f"edgewise {words[0]}"
        return int(tyro.extras.subcommand_cli_from_dict(verbs, prog=prog, description=about, args=words[1:], config=config))
    if words == ["--version"]:
        from importlib.metadata import version

        _console().print(f"edgewise {version('edgewise')}")
        return 0
    about = "Decide what runs where between devices and an edge server; do it; measure it in the same units."
    verbs = {**VERBS, **{name: _group(name, text) for name, (text, _) in GROUPS.items()}}
    words = words or ["--help"]
    return int(tyro.extras.subcommand_cli_from_dict(verbs, prog="edgewise", description=about, args=words, config=config))


def _group(name: str, text: str) -> Callable[[], int]:
    def group() -> int:
        return _dispatch([name, "--help"])

    group.__doc__ = f"{text} (edgewise {name} --help)"
    return group


def _missing(error: ModuleNotFoundError) -> str:
    extras = {"cv2": "camera", "torch": "train", "onnxscript": "train"}
    extra = extras.get((error.name or "").split(".")[0], "server")
    return (
        f"this verb needs the package {error.name}, which is not installed; allowed: the [{extra}] extra. "
        f"Install it: pip install -c constraints.txt 'edgewise[{extra}]'"
    )


def _bundle_or_file(model: str) -> str:
    from edgewise.apps.vision.bundles import find

    return str(find(model)) if not model.endswith(".onnx") else model


def _json(path: Path | None, value: Any) -> None:
    if path is not None:
        import msgspec

        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _console(quiet: bool = False) -> Console:
    from rich.console import Console

    return Console(quiet=quiet)


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
