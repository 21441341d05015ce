"""The nodes view in a real browser, over the real rollouts in a real database: what it shows, and who may press its buttons."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from msgspec.structs import replace
from playwright.async_api import Browser, Page, async_playwright

from edgewise.apps.vision.api import routes
from edgewise.apps.vision.fleet import NodeRow
from edgewise.apps.vision.nodes import ADDRESS, NodesState
from edgewise.apps.vision.page import PageState, mount
from edgewise.core.answer import FrameRecord
from edgewise.net.tokens import Tokens, make_token
from edgewise.node.store.history import History
from edgewise.web.events import Subscriber
from tests.apps.test_page import CONTRAST, FLAGS
from tests.delivery_site import Site, health

pytestmark = pytest.mark.asyncio(loop_scope="module")
DAY = 86_400.0
Look = Callable[..., Awaitable[Page]]


class Shown:
    """A site and its page."""

    def __init__(self, folder: Path) -> None:
        now = time.time()
        self.site = Site(folder, now=now)
        self.tokens = {role: make_token(self.site.keys, role, role, now) for role in ("viewer", "operator")}  # type: ignore[arg-type]
        for i, name in enumerate(self.site.names):
            self.say(name, expires=now + (300 - 145 * i) * DAY, frames=4210 + i, failed=i, p95=0.081 + i / 500)
        self.history = History(self.site.database)
        self.state = PageState(history=self.history)
        self.nodes = NodesState(self.site.delivery.fleet, self.site.delivery.audit)

    def say(self, name: str, **changed: Any) -> None:
        """What the node says of itself."""
        first = NodeRow(
            name, "device", heard=self.site.clock(), connected=True, link_kind="real", link_rate=8.1e6, outbox=2,
            outbox_bytes=812, budget="bytes_up<=50KB/s",
        )  # fmt: skip
        self.site.said[name] = replace(self.site.said.get(name, first), **changed)

    async def open(self) -> str:
        app = web.Application()
        mount(app, self.state, self.nodes)
        app.add_routes(routes(self.site.delivery, None, Tokens(self.site.keys, self.site.clock)))
        self.runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        return self.address


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def shown(tmp_path: Path) -> AsyncIterator[Shown]:
    made = Shown(tmp_path)
    await made.open()
    yield made
    await made.runner.cleanup()
    made.site.database.close()


@pytest_asyncio.fixture(loop_scope="module")
async def look(browser: Browser, shown: Shown) -> AsyncIterator[Look]:
    """Open the view; what it breaks, or asks of other servers, fails the test at its end."""
    contexts, complaints = [], []

    async def opened(width: int = 1280, scheme: str = "light", path: str = ADDRESS) -> Page:
        context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("request", lambda r: None if r.url.startswith(shown.address) else complaints.append(f"asked for {r.url}"))
        page.on("pageerror", lambda e: complaints.append(f"broke: {e}"))
        refusal = "the server responded with a status of 40"  # what the browser says of a refused act
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" and refusal not in m.text else None)
        await page.goto(shown.address + path)
        await page.wait_for_selector("#pulse[data-state=live]")
        return page

    yield opened
    for context in contexts:
        await context.close()
    assert complaints == []


async def has(page: Page, where: str, pattern: str) -> str:
    await page.wait_for_function(
        "([where, pattern]) => new RegExp(pattern, 's').test(document.querySelector(where)?.innerText ?? '')",
        arg=[where, pattern],
    )
    return await page.inner_text(where)


async def table(page: Page) -> list[str]:
    return [" ".join(text.split()) for text in await page.locator("table.nodes tbody:not(#nodes)").all_inner_texts()]


async def test_a_rollout_from_its_canary_to_its_end(shown: Shown, look: Look) -> None:
    site = shown.site
    page = await look()
    assert "No rollout yet" in await has(page, "#quiet-rollouts", "edgewise rollout yard --canary 10%")
    first = (await table(page))[0]
    for part in (
        "pi-01",
        "device · yard · connected",
        "vehicles v1",
        "the same",
        "4,210",
        "0 failed",
        "81 ms",
        "8.1 Mbit/s",
        "2",
        "812 B",
        "bytes_up<=50KB/s",
        "in 300 days",
    ):
        assert part in first, part
    assert await page.inner_text("#sum-settled") == "3 of 3"
    assert await page.inner_text("#sum-outbox") == "6"
    assert await page.inner_text("#sum-certificate") == "in 10 days"

    site.publish(2, about="dimmer nights")
    (canary,) = site.start(2)
    card = await has(page, ".rollout", "yard.*vehicles v2.*canary")
    for part in (
        "dimmer nights",
        "Begun by anna",
        canary,
        "quality > −0.5 pt",
        "p95 < 120 ms",
        "failed < 1 %",
        "not measured yet",
    ):
        assert part in card, part
    assert not await page.is_visible("#quiet-rollouts")
    assert await page.inner_text("#sum-settled") == "2 of 3"

    site.report(canary, 2, "trial", health(seconds=20.0))
    card = await has(page, ".rollout", "−0.2 pt")
    for part in ("✓ holds", "holds so far", "84 ms", "watched for 20 of 60 s", "on trial 1"):
        assert part in card, part
    site.report(canary, 2, "trial", health(seconds=61.0))
    await has(page, ".rollout", "wide")
    for name in site.names:
        site.report(name, 2, "good", health())
    card = await has(page, ".rollout .tag", "done")
    assert "3 of 3 good" in await page.inner_text(".rollout .track")
    assert await page.inner_text("#sum-settled") == "3 of 3"
    log = await page.inner_text("#audit")
    for part in ("anna", "publish", "start", "guard", "wide", "done"):
        assert part in log, part


async def test_a_bad_version_goes_back_by_itself_and_the_page_says_why(shown: Shown, look: Look) -> None:
    site = shown.site
    page = await look()
    site.publish(2)
    (canary,) = site.start(2)
    site.report(canary, 2, "trial", health(fall=0.08))
    card = await has(page, ".rollout", "reverted")
    for part in ("quality>-0.5pt is broken: -8 pt", "−8 pt", "✗ broken"):
        assert part in card, part
    assert not await page.is_visible(".rollout [data-is=revert]")
    site.report(canary, 2, "reverted", sentence="quality fell")
    site.report(canary, 1, "good")
    await page.wait_for_timeout(1200)
    assert "−8 pt" in await page.inner_text(".rollout .guard")  # beside the limit, though the node runs the old one again


async def test_the_buttons_need_an_operators_token(shown: Shown, look: Look) -> None:
    site = shown.site
    site.publish(2)
    site.start(2)
    page = await look()
    await page.click(".rollout [data-is=pause]")
    assert "No further node takes vehicles v2" in await page.inner_text("#ask")
    await page.click("#ask-do")
    assert "A token is needed" in await has(page, "#ask-refused", ".")
    await page.fill("#token", "ew1_" + "x" * 43)
    await page.click("#ask-do")
    assert "not known, or has ended" in await has(page, "#ask-refused", "ended")
    await page.fill("#token", shown.tokens["viewer"])
    await page.keyboard.press("Enter")
    assert "viewer has the wrong role" in await has(page, "#ask-refused", "wrong role")
    assert site.rollouts.rollouts("yard")[0].stage == "canary"
    await page.fill("#token", shown.tokens["operator"])
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#ask", state="hidden")
    assert "yard is paused" in await has(page, ".rollout .refusal", "paused")
    await has(page, ".rollout .tag", "paused")
    assert await page.is_visible(".rollout [data-is=resume]")
    assert not await page.is_visible(".rollout [data-is=pause]")

    await page.reload()  # the tab still knows the token, and the field was never filled again
    await has(page, ".rollout", "paused")
    await page.click(".rollout [data-is=revert]")
    assert not await page.is_visible("#token")
    assert "goes back to the version before (3 nodes" in await page.inner_text("#ask")
    await page.click("#ask-cancel")
    assert site.rollouts.rollouts("yard")[0].stage == "paused"
    await page.click(".rollout [data-is=revert]")
    await page.click("#ask-do")
    await has(page, ".rollout .tag", "reverted")
    assert site.rollouts.rollouts("yard")[0].stage == "reverted"
    assert site.delivery.audit(1)[0].who == "operator"
    assert await page.evaluate("document.cookie + localStorage.length") in ("0", "01")
    await page.click("#forget")
    assert await page.evaluate("sessionStorage.length") == 0


async def test_it_goes_by_keyboard_alone(shown: Shown, look: Look) -> None:
    shown.site.publish(2)
    shown.site.start(2)
    page = await look()
    await has(page, ".rollout", "canary")
    order = []
    for _ in range(14):
        await page.keyboard.press("Tab")
        at = await page.evaluate(
            """() => {
              const at = document.activeElement;
              const style = getComputedStyle(at);
              return [at.id || at.dataset.is || at.className || at.textContent, style.outlineStyle, at.tagName];
            }"""
        )
        if at[2] == "BODY":
            break
        order.append(at[0])
        assert at[1] != "none", at
    assert order == ["skip", "Vision", "Nodes", "pause", "theme", "pause", "revert", "find", "scroll", "audit"]
    await page.focus(".rollout [data-is=revert]")
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "token"
    await page.keyboard.type(shown.tokens["operator"])
    await page.keyboard.press("Escape")
    await page.wait_for_selector("#ask", state="hidden")
    assert await page.evaluate("document.activeElement.dataset.is") == "revert"  # back where one was
    await page.wait_for_function("() => document.getElementById('token').value === ''")
    assert shown.site.rollouts.rollouts("yard")[0].stage == "canary"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_and_can_be_read(shown: Shown, look: Look, width: int, scheme: str) -> None:
    site = shown.site
    site.publish(2)
    (canary,) = site.start(2)
    site.report(canary, 2, "trial", health(seconds=20.0, p95=0.2))
    site.report(next(n for n in site.names if n != canary), 2, "failed", sentence="the disk is full; got no room. " * 12)
    site.rollouts.gone("pi-03", site.clock() - 4000)
    shown.say("pi-03", connected=False, heard=site.clock() - 4000, outbox=None, expires=site.clock() - 5)
    page = await look(width, scheme)
    await has(page, ".rollout", "over so far")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = await page.evaluate(CONTRAST)
    assert found["seen"] > 60
    assert found["weak"] == []
    assert "has ended" in (await table(page))[2]
    assert "heard 67 min ago" in (await table(page))[2]
    await page.click(".rollout [data-is=pause]")
    found = await page.evaluate(CONTRAST)
    assert [w for w in found["weak"] if "token" in w.lower() or "Pause" in w] == []


async def test_one_finds_a_node(shown: Shown, look: Look) -> None:
    page = await look()
    await page.wait_for_function("() => document.querySelectorAll('table.nodes tbody').length === 4")
    await page.fill("#find", "PI-02")
    await page.wait_for_function("() => document.querySelectorAll('table.nodes tbody').length === 2")
    assert "1 of 3" in await page.inner_text("#nodes-note")
    await page.fill("#find", "nobody")
    assert "No node matches" in await has(page, "table.nodes", "No node")
    await page.fill("#find", "")
    await page.wait_for_function("() => document.querySelectorAll('table.nodes tbody').length === 4")


async def test_hostile_words_are_only_words(shown: Shown, look: Look) -> None:
    evil = '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">'
    site = shown.site
    shown.say("pi-01", budget=evil, link_kind=evil)
    site.publish(2, about=evil)
    (canary,) = site.start(2)
    site.report(canary, 2, "failed", sentence=evil * 4)
    page = await look()
    await has(page, ".rollout", "window.pwned=1")
    await has(page, "#audit", "window.pwned=1")
    assert evil[:40] in " ".join(await table(page))
    assert await page.evaluate("window.pwned") is None
    assert await page.locator("main script, main img").count() == 0
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_quiet_fleet_costs_nothing(shown: Shown) -> None:
    published: list[tuple[str, str]] = []

    class Listener(Subscriber):
        def offer(self, slot: tuple[str, str], event: bytes) -> None:
            published.append(slot)

    clock = 0.0
    nodes = NodesState(shown.site.delivery.fleet, shown.site.delivery.audit, clock=lambda: clock)
    nodes.hub._subscribers.add(Listener(99))
    nodes.refresh()
    assert {kind for kind, _ in published} == {"node", "fleet", "audit"}
    published.clear()
    for _ in range(50):
        clock += 0.1
        shown.site.clock.now += 0.1
        nodes.refresh()
    assert published == []
    shown.say("pi-02", frames=5000)
    clock += 1.0
    nodes.refresh()
    assert published == [("node", "pi-02"), ("fleet", "fleet")]


async def test_the_charts_go_back_for_days_after_a_restart(shown: Shown, look: Look) -> None:
    record = FrameRecord("north", 1, 0.0, "answered", "split", "p", "w", latency=0.05, bytes_up=100, energy=0.1)
    for hours in range(1, 100):
        shown.history.add("north", [record] * hours, shown.site.clock() - 3600 * hours)
    shown.state.record(record)
    page = await look(path="/")
    await page.wait_for_selector(".camera h2")
    await page.check("#window [value='604800']", force=True)
    await has(page, "#series-keys", "north")
    await page.wait_for_function(
        "() => document.querySelector('.panel .fill-answered')?.getAttribute('d').split('M').length > 90"
    )
    assert "From the server's store" in await page.inner_text("#history-note")
    axis = await page.locator(".timeline:first-child text").all_text_contents()
    assert "−7 days" in axis
    assert "now" in axis
    await page.focus("#cursor")
    for _ in range(30):
        await page.keyboard.press("ArrowLeft")
    assert "p50 5" in await has(page, "#moment", "ms")
    await page.check("#window [value='21600']", force=True)
    await page.wait_for_function(
        "() => (document.querySelector('.panel .fill-answered')?.getAttribute('d').split('M').length ?? 0) < 9"
    )
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
