"""A made-up run for the page: a real server on loopback, fed with records and pictures; and a headless browser to look at it."""

from __future__ import annotations

import io
import math
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from PIL import Image, ImageDraw

from edgewise.apps.vision.page import PageState, mount
from edgewise.apps.vision.status import ModelVersion, NodeStatus, ServerStatus
from edgewise.core.answer import Answer, Box, FrameRecord
from edgewise.core.placement import Mode

DEADLINE = 0.1
ROWS, COLUMNS = 23, 40
WIDTH, HEIGHT = 640, 360
POINTS: dict[Mode, tuple[str, int, float, float]] = {  # name, bytes up, joules, device seconds
    "local": ("local", 0, 0.062, 0.058),
    "split": ("split-4bit", 3_400, 0.041, 0.021),
    "image": ("jpeg-75", 21_000, 0.055, 0.008),
}


class Feed:
    """Cameras that are no cameras: `step` makes one frame for each of them, with a link that goes through a bad phase."""

    def __init__(self, nodes: tuple[str, ...] = ("north", "south"), seed: int = 1) -> None:
        self.nodes = nodes
        self.skew = 0.0
        self.state = PageState(address="192.0.2.7:8443", clock=lambda: time.monotonic() + self.skew)
        self.random = random.Random(seed)
        self.frame = 0
        self.sent = dict.fromkeys(nodes, 0)
        self.label = "vehicle"
        self.reason = "deadline"
        self.refused = {"wrong model hash": 2}

    def step(self, frames: int = 1, pictures: bool = True, ahead: bool = False) -> None:
        """Make `frames` frames a camera; with `ahead`, the page's clock runs a tenth of a second for each of them."""
        for _ in range(frames):
            self.frame += 1
            for number, node in enumerate(self.nodes):
                boxes = self.scene(self.frame / 10 + 40 * number)
                self.sent[node] += 1
                if pictures:
                    self.state.preview(node, picture(boxes, number), self.frame)
                self.state.record(self.record(node, number, boxes))
            if ahead:
                self.skew += 0.1

    def status(self, **changed: object) -> None:
        """Let every camera and the server say how they are."""
        for number, node in enumerate(self.nodes):
            rate = self.rate(number)
            mode, why = self.choice(rate)
            said = {
                "node": node,
                "connected": True,
                "link_kind": "proxy",
                "link_rate": rate,
                "round_trip": 0.024,
                "mode": mode,
                "point": POINTS[mode][0],
                "why": why,
                "quality": {"local": 0.71, "split": 0.87, "image": 0.93}[mode],
                "condition": ("clear", "fog", "rain", "night")[number % 4],
                "fps": 10.0,
                "deadline": DEADLINE,
                "sent": self.sent[node],
                "model": "9f31c2ab77e0",
            }
            self.state.node(NodeStatus(**(said | changed)))  # type: ignore[arg-type]
        models = (ModelVersion("vehicles", "9f31c2ab77e0d1", len(self.nodes), 2 * self.frame),)
        self.state.server(ServerStatus(1, 1.8, 8, 0.004, 0.0113, 0.22, 0.31, 187_000_000, models, self.refused, 812.0, "0.1.0"))

    def scene(self, t: float) -> tuple[Box, ...]:
        return scene(t, self.label)

    def refuse(self, what: str) -> None:
        self.refused = self.refused | {what: 1}
        self.state.server(ServerStatus(refused=self.refused))

    def rate(self, number: int) -> float:
        """A link of about 12 Mbit/s that falls to 0.4 for a third of each minute, out of step between the cameras."""
        phase = (self.frame / 10 + 25 * number) % 60
        return (0.4e6 if phase > 42 else 3e6 if phase > 25 else 12e6) * (0.85 + 0.3 * self.random.random())

    @staticmethod
    def choice(rate: float) -> tuple[Mode, str]:
        if rate < 1e6:
            return (
                "local",
                f"link estimated at {rate / 1e6:.2f} Mbit/s: split-4bit would take 141 ms of 100 ms, the device alone 58 ms",
            )
        if rate < 8e6:
            return (
                "split",
                f"link estimated at {rate / 1e6:.1f} Mbit/s: jpeg-75 would take 112 ms of 100 ms, split-4bit is the best left",
            )
        return "image", f"link estimated at {rate / 1e6:.1f} Mbit/s: jpeg-75 fits in 100 ms and is the best of five points"

    def record(self, node: str, number: int, boxes: tuple[Box, ...]) -> FrameRecord:
        rate = self.rate(number)
        mode, why = self.choice(rate)
        point, size, energy, busy = POINTS[mode]
        chance = self.random.random()
        outcome, reason = "answered", ""
        if mode != "local" and chance < 0.04:
            outcome, reason = "dropped", self.random.choice(("superseded", "superseded", "expired"))
        elif mode != "local" and chance > 0.988:
            outcome, reason = "failed", self.reason
        latency = busy + size * 8 / rate + (0.022 if size else 0.0) + abs(self.random.gauss(0, 0.006)) + (chance > 0.96) * 0.05
        return FrameRecord(
            node=node,
            frame=self.frame,
            captured=1000 * (number + 1) + self.frame / 10,
            outcome=outcome,  # type: ignore[arg-type]
            mode=mode,
            point=point,
            why=why,
            reason=reason,
            latency=latency if outcome == "answered" else 0.0,
            deadline=DEADLINE,
            late=outcome == "answered" and latency > DEADLINE,
            bytes_up=size if outcome != "dropped" else 0,
            bytes_down=180,
            energy=energy,
            provenance="modelled",
            link_rate=rate,
            answer=answer(boxes) if outcome == "answered" else Answer(),
            parts=(
                {"local": latency}
                if mode == "local"
                else {"head": busy * 0.9, "encode": busy * 0.1, "link": size * 8 / rate + 0.011, "wait": 0.003, "tail": 0.008}
            ),
        )


def scene(t: float, label: str = "vehicle") -> tuple[Box, ...]:
    """Vehicles on two crossing roads at time `t`: exact boxes."""
    cars = []
    for lane in range(5):
        along = (0.12 * t + 0.23 * lane) % 1.3 - 0.15
        size = 0.1 + 0.02 * (lane % 3)
        cars.append((along, 0.5 + 0.055 * lane - 0.04 * along, size, size * 0.8))
    for lane in range(3):
        down = (0.09 * t + 0.37 * lane) % 1.3 - 0.15
        size = 0.05 + 0.08 * max(down, 0)
        cars.append((0.47 + 0.05 * lane + 0.06 * (lane - 1) * down, down, size, size * 1.1))
    return tuple(
        Box(max(x, 0.0), max(y, 0.0), min(x + w, 1.0), min(y + h, 1.0), 0.6 + 0.39 * math.sin(9 * x) ** 2, label)
        for x, y, w, h in cars
        if x < 0.98 and y < 0.95 and x + w > 0.02 and y + h > 0.05
    )


def answer(boxes: tuple[Box, ...]) -> Answer:
    cells = np.zeros((ROWS, COLUMNS), bool)
    for b in boxes:
        cells[int(b.y0 * 22.5) : int(b.y1 * 22.5) + 1, int(b.x0 * COLUMNS) : int(b.x1 * COLUMNS) + 1] = True
    return Answer(boxes, ROWS, COLUMNS, np.packbits(cells).tobytes())


def picture(boxes: tuple[Box, ...], number: int = 0) -> bytes:
    """A JPEG of the scene."""
    image = Image.new("RGB", (WIDTH, HEIGHT), ((96, 116, 84), (138, 141, 146))[number % 2])
    draw = ImageDraw.Draw(image)
    draw.polygon([(0, 170), (640, 150), (640, 330), (0, 355)], fill=(74, 76, 80))
    draw.polygon([(280, 0), (400, 0), (470, 360), (240, 360)], fill=(80, 82, 86))
    draw.line([(0, 262), (640, 240)], fill=(214, 205, 160), width=3)
    for i, b in enumerate(boxes):
        colour = ((178, 58, 52), (220, 222, 226), (52, 82, 140), (40, 44, 50))[i % 4]
        draw.rounded_rectangle((b.x0 * WIDTH, b.y0 * HEIGHT, b.x1 * WIDTH - 1, b.y1 * HEIGHT - 1), 6, fill=colour)
    target = io.BytesIO()
    image.save(target, "JPEG", quality=80)
    return target.getvalue()


@pytest.fixture
def make_feed() -> type[Feed]:
    """The class itself, for tests that cannot import this file by name."""
    return Feed


@pytest.fixture
def feed() -> Feed:
    """Two cameras with half a minute behind them."""
    made = Feed()
    made.step(300, pictures=False, ahead=True)
    made.step(3)
    made.status()
    return made


Serve = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture(loop_scope="module")
async def serve() -> AsyncIterator[Serve]:
    """Put a page on loopback, on a free port or on the one given; gives its address. `serve.stop()` takes it down."""
    runners: list[web.AppRunner] = []

    async def start(state: PageState, port: int = 0) -> str:
        app = web.Application()
        mount(app, state)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop() -> None:
        while runners:
            await runners.pop().cleanup()

    start.stop = stop  # type: ignore[attr-defined]
    yield start
    await stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The installed browser; skips where there is none, and fails where CI is set."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        said = "Chromium is not installed, so the page was not looked at; install it with: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return found
