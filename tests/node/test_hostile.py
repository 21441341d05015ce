"""A hostile device at a real server over TLS: each of its frames is refused with a sentence, its neighbour undisturbed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest_asyncio

from edgewise.apps.vision.bundles import find
from edgewise.codec.image import ImageCodec
from edgewise.codec.tensor import TensorCodec
from edgewise.net.connect import connect
from edgewise.net.identity import Identity, issue, make_authority, server_context
from edgewise.net.listen import Listener
from edgewise.net.messages import Hello, Stream
from edgewise.net.session import Answered, DeviceSession, Failed, Opened
from edgewise.net.transport import WebSocketTransport
from edgewise.node.heads import Heads
from edgewise.node.server import EdgeServer
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle


class Site:
    """A server, and devices that speak to it frame by frame."""

    def __init__(self, server: EdgeServer, listener: Listener, folder: Path, bundle: Bundle) -> None:
        self.server, self.listener, self.folder, self.bundle = server, listener, folder, bundle
        self.heads = Heads(bundle)
        self.devices: list[Device] = []

    async def device(self, name: str, streams: tuple[Stream, ...]) -> Device:
        identity: Identity = issue(self.folder, name, "device")
        device = Device(DeviceSession(Hello(name, "0", streams)), await connect(f"127.0.0.1:{self.listener.port}", identity))
        device.session.connected(time.monotonic())
        await device.until(Opened)
        self.devices.append(device)
        return device

    def payload(self, point: str) -> bytes:
        image = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
        return self.heads.prepare(image, self.bundle.manifest.point(point)).payload

    def stream(self, point: str) -> Stream:
        return next(s for s in self.heads.streams() if s.point == point)


class Device:
    def __init__(self, session: DeviceSession, transport: WebSocketTransport) -> None:
        self.session, self.transport = session, transport
        self.number = -1

    async def offer(self, stream: int, payload: bytes) -> Answered | Failed:
        self.number += 1
        now = time.monotonic()
        self.session.offer(self.number, stream, payload, now + 5.0, now)
        event = await self.until(Answered, Failed)
        assert event.frame == self.number
        return event

    async def until(self, *kinds: type) -> Answered | Failed:
        for _ in range(100):
            for data in self.session.outgoing(time.monotonic()):
                await self.transport.send(data)
            for event in self.session.events():
                if isinstance(event, kinds):
                    return event
            self.session.receive(await asyncio.wait_for(self.transport.receive(), 5), time.monotonic())
        raise AssertionError("no such event")


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    bundle = Bundle.open(find("vehicles"))
    make_authority(tmp_path)
    server = EdgeServer(Tails([bundle]))
    listener = Listener(server.handle, server_context(issue(tmp_path, "edge", "edge")))
    await server.start()
    await listener.start("127.0.0.1")
    made = Site(server, listener, tmp_path, bundle)
    yield made
    for device in made.devices:
        await device.transport.close()
    await listener.close()
    await server.stop()


async def test_bad_payloads_are_refused_one_by_one_while_a_neighbour_is_answered(site: Site) -> None:
    split, image = site.stream("split-4"), site.stream("jpeg-75")
    good = site.payload("split-4")
    shape = site.bundle.manifest.bottleneck.shape
    other = TensorCodec(site.bundle.manifest.bottleneck, 8).encode(np.zeros((1, *shape), np.float32))
    bad = {
        "truncated": (split.id, good[: len(good) // 2]),
        "flipped": (split.id, good[:-5] + bytes([good[-5] ^ 0xFF]) + good[-4:]),
        "empty": (split.id, b""),
        "other bits": (split.id, other),
        "a picture as features": (split.id, site.payload("jpeg-75")),
        "features as a picture": (image.id, good),
        "no picture": (image.id, b"this is no picture"),
        "cut picture": (image.id, site.payload("jpeg-75")[:500]),
        "a picture too large": (image.id, _huge()),
        "oversized": (split.id, bytes(5 << 20)),
    }
    hostile, honest = await asyncio.gather(site.device("hostile", (split, image)), site.device("honest", (split, image)))
    for name, (stream, payload) in bad.items():
        fate, neighbour = await asyncio.gather(hostile.offer(stream, payload), honest.offer(split.id, good))
        assert isinstance(fate, Failed), name
        assert fate.reason.startswith("refused: "), (name, fate.reason)
        assert len(fate.reason) > 30, (name, fate.reason)
        assert isinstance(neighbour, Answered), name
    assert isinstance(await hostile.offer(split.id, good), Answered), "the session is as good as before"
    assert site.server.edge.totals()["answered"] == len(bad) + 1


async def test_a_stream_of_another_model_or_another_shape_is_refused_and_the_rest_goes_on(site: Site) -> None:
    true = site.stream("split-4")
    lies = (
        true,
        Stream(11, "0" * 64, "split-4", "affine", 4, true.shape, "float32"),
        Stream(12, true.address, "split-4", "affine", 4, (1, 3, 100, 100), "float32"),
        Stream(13, true.address, "split-4", "affine", 8, true.shape, "float32"),
        Stream(14, true.address, "no-such-point", "affine", 4, true.shape, "float32"),
        Stream(15, true.address, "local", "affine", 4, true.shape, "float32"),
    )
    device = await site.device("liar", lies)
    says = {}
    for stream in lies[1:]:
        fate = await device.offer(stream.id, site.payload("split-4"))
        assert isinstance(fate, Failed)
        says[stream.id] = fate.reason
    assert "does not hold the model" in says[11]
    assert "(1, 3, 100, 100)" in says[12]
    assert "at 8" in says[13]
    assert "no-such-point" in says[14]
    assert "local" in says[15]
    assert isinstance(await device.offer(true.id, site.payload("split-4")), Answered)


async def test_two_versions_of_a_bundle_are_served_side_by_side(tmp_path: Path) -> None:
    import msgspec

    from edgewise.core.artifact import MANIFEST

    old = find("vehicles")
    new = tmp_path / "new"
    new.mkdir()
    for file in old.iterdir():
        if file.is_file():
            (new / file.name).write_bytes(file.read_bytes())
    bundle = Bundle.open(old)
    changed = msgspec.structs.replace(bundle.manifest, provenance={"version": "another"})
    (new / MANIFEST).write_bytes(changed.canonical)
    both = Tails([bundle, Bundle.open(new)])
    streams = [next(s for s in Heads(b).streams() if s.point == "split-4") for b in (bundle, Bundle.open(new))]
    assert streams[0].address != streams[1].address
    assert [both.accept(s) for s in streams] == [None, None]
    assert both.key(streams[0]) != both.key(streams[1]), "versions never share a run"


def _huge() -> bytes:
    """A small file that claims to be a picture of 65,000 × 65,000."""
    data = bytearray(ImageCodec("jpeg", 50).encode(np.zeros((16, 16, 3), np.uint8)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xfd\xe8\xfd\xe8"
    return bytes(data)
