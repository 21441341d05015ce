"""`./dev bench split_wire`: split inference by the whole wire frame.

**Bytes.** Payloads are really coded and decoded, each of them; what a frame of them weighs on a device's socket (frame header,
WebSocket, TLS records) is `edgewise.core.wire.socket_bytes`, in every part, for splits and JPEGs alike. A test holds that
arithmetic against what a TLS socket carried. `split_bccd` opens such a socket, by
`edgewise split report`, and counts there.
In virtual time frames have the same bytes. `split_coder` alone speaks of payloads, for it compares coders.

It runs these parts, each a benchmark by itself (`./dev bench split_coder`) with its baselines in the same run:

    split_coder        the entropy coder beside CompressAI's, constriction and zlib; decode errors over CPUs and versions
    split_quick        eight models cut without training: agreement and bytes at every cut
    split_ghnd         HND and GHND against their teacher and JPEG: boxes, masks, keypoints
    split_bccd         `split fit` and `split report` on blood cells
    split_coco         a detector of which only the ONNX file is there, on COCO photographs
    split_filter       the neural filter: the bound on its recall, bytes of empty frames
    split_guard        shot noise and attacks on the rate: no frame above its budget
    split_progressive  deadline misses of progressive and of whole frames
    split_policy       the policy with rans points on the links of the main job
    split_privacy      how well the picture can be rebuilt from the bottleneck

A part that cannot run here is a target that was not measured, with the reason, and the others go on.
"""

from __future__ import annotations

import importlib
import time

from bench.report import Report, Row, Target, left_out
from edgewise.core.errors import EdgewiseError

PARTS = (
    "split_coder",
    "split_quick",
    "split_ghnd",
    "split_bccd",
    "split_coco",
    "split_filter",
    "split_guard",
    "split_progressive",
    "split_policy",
    "split_privacy",
)


def run(quick: bool = False) -> Report:
    rows: list[Row] = []
    targets: list[Target] = []
    figures: dict[str, bytes] = {}
    seconds: dict[str, float] = {}
    config: dict[str, object] = {}
    for name in PARTS:
        begun = time.monotonic()
        try:
            found: Report = importlib.import_module(f"bench.{name}").run(quick)
        except EdgewiseError as error:
            targets.append(left_out(name, "to run", str(error)))
            continue
        seconds[name] = round(time.monotonic() - begun, 1)
        config[name] = dict(found.config)
        rows += found.rows
        targets += found.targets
        figures |= {f"{name}_{figure}" if figure else name: png for figure, png in found.figures.items()}
    return Report(rows, targets, {"seconds": seconds, **config}, "loopback sockets; virtual", "onnxruntime CPU", figures)
