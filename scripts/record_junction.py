"""Record vehicle states at a four-way junction with SUMO, once; the renderer replays them without SUMO.

    python scripts/record_junction.py [--out edgewise/data/junction/states.npz] [--seconds 240]

The script writes its own network (four arms of 200 m, three lanes in and two out, signals), drives it with a different
demand, signal cycle and seed for each episode, and keeps position, heading and kind of every vehicle within 120 m of the
centre twice a second. Episodes are apart: what a network is trained on, chosen on, tested on and shown on never share traffic.
Needs `eclipse-sumo` and `libsumo` (the `traffic` extra). Same versions and seeds give the same file.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import libsumo
import numpy as np
import sumo

STEP, WARM_UP, REACH, ARM = 0.5, 150.0, 120.0, 200.0  # s, s, m, m
# length, width (m), share of the traffic; `edgewise.data.junction.vehicles` draws the same kinds in the same order.
KINDS = {"car": (4.4, 1.8, 0.74), "van": (5.4, 2.0, 0.13), "bus": (12.0, 2.55, 0.05), "lorry": (8.6, 2.5, 0.08)}
EPISODES = ["show", "show", "test", "test", "validate", *["train"] * 11]
ARMS = {"n": (0, 1), "e": (1, 0), "s": (0, -1), "w": (-1, 0)}

log = logging.getLogger("record_junction")


def network(folder: Path, cycle: int) -> Path:
    nodes = ['<node id="c" x="0" y="0" type="traffic_light" radius="9"/>']
    nodes += [f'<node id="{a}" x="{x * ARM}" y="{y * ARM}"/>' for a, (x, y) in ARMS.items()]
    edges = [f'<edge id="{a}_in" from="{a}" to="c" numLanes="3" speed="13.9"/>' for a in ARMS]
    edges += [f'<edge id="{a}_out" from="c" to="{a}" numLanes="2" speed="13.9"/>' for a in ARMS]
    (folder / "j.nod.xml").write_text("<nodes>" + "".join(nodes) + "</nodes>")
    (folder / "j.edg.xml").write_text("<edges>" + "".join(edges) + "</edges>")
    net = folder / "j.net.xml"
    program = Path(sumo.SUMO_HOME) / "bin" / "netconvert"
    options = ["-n", "j.nod.xml", "-e", "j.edg.xml", "-o", net.name, "--no-turnarounds", "--offset.disable-normalization"]
    options += ["--tls.cycle.time", str(cycle), "--default.lanewidth", "3.3"]
    subprocess.run([program, *options], cwd=folder, check=True, capture_output=True)
    return net


def demand(folder: Path, generator: np.random.Generator, seconds: float) -> Path:
    kinds = "".join(
        f'<vType id="{k}" length="{n}" width="{w}" probability="{p}" sigma="0.4" speedDev="0.12" minGap="2.2"/>'
        for k, (n, w, p) in KINDS.items()
    )
    flows = []
    for start in ARMS:
        level = generator.uniform(350, 1000)  # vehicles an hour of one arm
        shares = dict(zip([e for e in ARMS if e != start], generator.dirichlet([2.5, 2.5, 2.5])))
        for end, share in shares.items():
            flows.append(
                f'<flow id="{start}{end}" type="mix" from="{start}_in" to="{end}_out" begin="0" end="{seconds:.0f}" '
                f'probability="{level * share / 3600:.5f}" departLane="best" departSpeed="max"/>'
            )
    routes = folder / "j.rou.xml"
    routes.write_text(f'<routes><vTypeDistribution id="mix">{kinds}</vTypeDistribution>{"".join(flows)}</routes>')
    return routes


def record(seed: int, seconds: float) -> dict[str, np.ndarray]:
    """One episode as rows sorted by vehicle and time: centre (cm), heading (0.1°, counter-clockwise from east)."""
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        net = network(folder, int(generator.integers(60, 100)))
        routes = demand(folder, generator, WARM_UP + seconds)
        options = ["-n", str(net), "-r", str(routes), "--step-length", str(STEP), "--seed", str(seed), "--no-step-log"]
        libsumo.start(["sumo", *options, "--no-warnings", "--time-to-teleport", "-1"])
        tracks: dict[str, list[tuple[int, int, int, int]]] = {}
        kinds: dict[str, int] = {}
        for step in range(int((WARM_UP + seconds) / STEP)):
            libsumo.simulationStep()
            moment = step - int(WARM_UP / STEP)
            if moment < 0:
                continue
            for vehicle in libsumo.vehicle.getIDList():
                x, y = libsumo.vehicle.getPosition(vehicle)
                heading = np.radians(90 - libsumo.vehicle.getAngle(vehicle))
                kind = libsumo.vehicle.getTypeID(vehicle)
                back = KINDS[kind][0] / 2  # SUMO names the middle of the front bumper
                x, y = x - back * np.cos(heading), y - back * np.sin(heading)
                if max(abs(x), abs(y)) < REACH:
                    kinds[vehicle] = list(KINDS).index(kind)
                    turn = round(np.degrees(heading) * 10)
                    tracks.setdefault(vehicle, []).append((moment, round(x * 100), round(y * 100), turn))
        libsumo.close()
    names = sorted(tracks, key=lambda v: (tracks[v][0][0], v))
    rows = [np.array(tracks[v]) for v in names]
    for track in rows:
        track[:, 3] = np.round(np.degrees(np.unwrap(np.radians(track[:, 3] / 10))) * 10)
        if not (np.diff(track[:, 0]) == 1).all():
            raise ValueError("a vehicle left the recorded area and came back; its track would have a gap")
    return {
        "kind": np.array([kinds[v] for v in names], np.uint8),
        "start": np.array([t[0, 0] for t in rows], np.uint16),
        "length": np.array([len(t) for t in rows], np.uint16),
        # Second differences along each track: a steady vehicle is a row of zeros, which deflates to nothing.
        "states": np.concatenate([second_difference(t[:, 1:]) for t in rows]).astype(np.int16),
    }


def second_difference(track: np.ndarray) -> np.ndarray:
    once = np.diff(track, axis=0, prepend=0)
    return np.concatenate([once[:2], np.diff(once[1:], axis=0)])


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("edgewise/data/junction/states.npz"))
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=2304)
    options = parser.parse_args()
    arrays: dict[str, np.ndarray] = {}
    for number, role in enumerate(EPISODES):
        episode = record(options.seed + number, options.seconds)
        log.info("episode %d (%s): %d vehicles, %d states", number, role, len(episode["kind"]), len(episode["states"]))
        arrays |= {f"{number}_{name}": value for name, value in episode.items()}
    about = {
        "command": " ".join(["python", "scripts/record_junction.py", *sys.argv[1:]]),
        "seed": options.seed,
        "sumo": libsumo.getVersion()[1],
        "step": STEP,
        "seconds": options.seconds,
        "reach": REACH,
        "roles": EPISODES,
        "kinds": {k: v[:2] for k, v in KINDS.items()},
        "units": "position cm, heading 0.1 degree; second differences along each track",
    }
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez_compressed(options.out, **arrays)
    log.info("%s: %d bytes", options.out, options.out.stat().st_size)


if __name__ == "__main__":
    main()
