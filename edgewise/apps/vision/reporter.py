"""What a device tells the page beside its records: its status once a second, and a preview picture now and then.

Both go by HTTPS beside the frames. In the demo they travel outside the shaped link, and the page says so; on a real link they
share it, and what they took stands in the closing table as `bytes_reports`. A report that does not get through is forgotten:
the next one is newer.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable

import aiohttp
import msgspec
import numpy as np

from edgewise.apps.vision.status import NodeStatus
from edgewise.codec.image import ImageCodec
from edgewise.data.preprocess import narrow
from edgewise.data.source import Sample

log = logging.getLogger("edgewise.reporter")
TIMEOUT = aiohttp.ClientTimeout(total=2.0)


class Reporter:
    """Posts to `address` (https://host:port) as the node on the certificate; `per_second` previews at most, 0 for none."""

    def __init__(self, address: str, context: ssl.SSLContext, per_second: float) -> None:
        self.bytes_sent = 0
        self.failed = 0
        self._address, self._context = address.rstrip("/"), context
        self._every = 1 / per_second if per_second > 0 else None
        self._codec = ImageCodec("jpeg", 70)
        self._last = 0.0
        self._latest: tuple[int, Sample] | None = None
        self._fresh = asyncio.Event()

    def sample(self, frame: int, sample: Sample) -> None:
        """A picture that may be shown; an array is none."""
        now = time.monotonic()
        if self._every is not None and sample.image.dtype == np.uint8 and now - self._last >= self._every:
            self._last, self._latest = now, (frame, sample)
            self._fresh.set()

    async def run(self, status: Callable[[], NodeStatus]) -> None:
        """Report until cancelled; `status()` gives the NodeStatus of the moment."""
        connector = aiohttp.TCPConnector(ssl=self._context, limit=2)
        async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as client:
            await asyncio.gather(self._previews(client), self._statuses(client, status))

    async def last(self, status: NodeStatus) -> None:
        """One more status when the run is over, so that the page's sum is that of the device."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._context), timeout=TIMEOUT) as client:
            await self._post(client, "/report/status", msgspec.json.encode(status))

    async def _statuses(self, client: aiohttp.ClientSession, status: Callable[[], NodeStatus]) -> None:
        while True:
            given = status()
            await self._post(client, "/report/status", msgspec.json.encode(given))
            await asyncio.sleep(1.0)

    async def _previews(self, client: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            assert self._latest is not None
            frame, sample = self._latest
            jpeg = await loop.run_in_executor(None, self._picture, sample)
            await self._post(client, f"/report/preview/{frame}", jpeg)

    def _picture(self, sample: Sample) -> bytes:
        return self._codec.encode(narrow(sample.image))

    async def _post(self, client: aiohttp.ClientSession, path: str, body: bytes) -> None:
        try:
            async with client.post(self._address + path, data=body) as response:
                if response.status != 204:
                    self.failed += 1
                    log.warning("the server refused a report: %s", (await response.text())[:200])
                self.bytes_sent += len(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failed += 1
            log.debug("a report did not get through: %s", error)
