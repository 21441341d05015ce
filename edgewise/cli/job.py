"""The main job: demo, serve, run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from edgewise.cli.screen import console, write_json

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

    outcome = run_demo(DemoConfig(seconds, headless, link, devices, port), console())
    write_json(json, outcome)
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
    state: Path | None = None,
    files: Annotated[str, tyro.conf.arg(metavar="URL")] = "",
    adapt: bool = False,
    teacher: Annotated[str, tyro.conf.arg(metavar="FILE.onnx|BUNDLE|torch:MODULE:CALLABLE")] = "",
    upload_budget: Annotated[str, tyro.conf.arg(metavar="BYTES/s")] = "20KB/s",
    cascade: Annotated[float | None, tyro.conf.arg(metavar="SHARE")] = None,
    recipe: Annotated[Path | None, tyro.conf.arg(metavar="FILE.toml")] = None,
    home: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
    canary: Annotated[str, tyro.conf.arg(metavar="SHARE")] = "10%",
    window: Annotated[str, tyro.conf.arg(metavar="TIME")] = "20s",
    guard: str = "",
    log: Literal["text", "json"] = "text",
    announce: Path | None = None,
    json: Path | None = None,
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
        names: host names to write into the server's certificate, for other clients than ours (devices do not need them).
        threads: threads of the inference worker.
        largest_batch: frames that share one run of the tail, at most.
        state: folder of what the server keeps: history, releases, rollouts, the audit log (default: KEYS/state).
        files: keep the files of releases at another address, any that fsspec knows (s3://…; needs the [storage] extra).
        adapt: learn from what devices send, and bring them small updates (docs/adapt.md).
        teacher: who teaches: a larger model that answers in the same labels. A torch network is code that runs here.
        upload_budget: bytes a second that each device may send to be learned from.
        cascade: the share of the frames that the teacher answers, the most doubtful ones, where its answer is in time.
        recipe: everything else that an adaptation can be told (TOML, fields of `edgewise.adapt.recipe.Recipe`).
        home: pictures of the model's own domain, on which nothing may be lost (default: the bundle's probe, where it has one).
        canary: the share of the devices that tries what was learned first.
        window: how long canaries are watched.
        guard: what must hold on them, such as "failed<5% p95<120ms".
        log: how log lines look.
        announce: write the ports there (JSON) once the server listens, for scripts.
        json: write the server's closing health and table there.
    """
    from edgewise.apps.vision.serve import ServeConfig, run_server

    wished = None
    if adapt:
        from edgewise.apps.vision.adapting_options import wished as read

        wished = read(teacher, upload_budget, recipe, home, canary, window, guard, cascade)
    config = ServeConfig(
        tuple(bundles),
        str(keys),
        host,
        port,
        None if headless else page_port,
        tuple(names),
        threads,
        largest_batch,
        log,
        str(state) if state else "",
        files,
        wished,
    )
    write_json(json, run_server(config, console(), announce))
    return 0


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
    state: Path | None = None,
    link_kind: str = "real",
    announce: Path | None = None,
    quiet: bool = False,
) -> int:
    """The device agent: answers a camera's frames by itself, by features or by pictures, whichever is best now.

    Args:
        source: a folder or .tar of pictures (or of .npy arrays, for models that take no picture), one of them, a video file,
            /dev/videoN, rtsp://HOST/PATH or junction:SEED[:CONDITION].
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
        profile: device profile whose watts turn this machine's busy seconds into (modelled) joules.
        radio: count the (modelled) joules of this radio as well.
        preview: pictures a second that the server's page may show; they share the link.
        seconds: stop after so long.
        frames: stop after so many frames.
        threads: threads of the inference worker.
        json: write the closing table there.
        records: write one JSON line a frame there.
        log: how log lines look.
        report: https://HOST:PORT that status and previews go to, where that is another way than the frames'.
        state: folder of what the device keeps: its outbox and its versions (default: KEYS/state).
        link_kind: what the page and the table call this link.
        announce: write a word there once the device runs, for scripts.
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
        state=str(state) if state else None,
        link_kind=link_kind,
    )
    outcome = run_device(config, console(quiet), announce)
    write_json(json, outcome)
    return 0 if outcome.well else 1
