"""The page in a real browser, fed by a made-up run over real sockets: by eye, by keyboard, and in hostile hands."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from edgewise.adapt.shipment import Event, Report
from edgewise.apps.vision.adapting_course import Course
from edgewise.apps.vision.adapting_log import Journal
from edgewise.apps.vision.adapting_words import Ready, Standing
from edgewise.core.learning import Learning

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Feed = Any  # of conftest.py, which tests cannot import by name
Serve = Any
Look = Callable[..., Awaitable[Page]]

CONTRAST = """() => {
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  let seen = 0;
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest("noscript, .skip, .unseen")) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parse(node.closest("svg") ? style.fill : style.color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    if (ratio < 4.5) weak.push(`${node.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { seen, weak };
}"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def look(browser: Browser) -> AsyncIterator[Look]:
    """Open an address; what the page asks of other servers, breaks or reports as forbidden fails the test at its end."""
    contexts, complaints, own = [], [], []

    async def opened(address: str, width: int = 1280, scheme: str = "light", expect: str = "") -> Page:
        context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(60_000)  # ms; a machine that does other things draws slowly
        own.append(address)
        page.on("request", lambda r: None if r.url.startswith((*own, "blob:")) else complaints.append(f"asked for {r.url}"))
        page.on("pageerror", lambda e: complaints.append(f"broke: {e}"))
        page.on(
            "console",
            lambda m: complaints.append(f"said: {m.text}") if m.type == "error" and not (expect and expect in m.text) else None,
        )
        await page.goto(address)
        await page.wait_for_selector("#pulse[data-state=live]")
        return page

    yield opened
    for context in contexts:
        await context.close()
    assert complaints == []


async def has(page: Page, where: str, pattern: str) -> str:
    """Wait until the text of `where` matches, and give it."""
    await page.wait_for_function(
        "([where, pattern]) => new RegExp(pattern).test(document.querySelector(where)?.textContent ?? '')", arg=[where, pattern]
    )
    return await page.inner_text(where)


def adds_up(text: str) -> int:
    """The frames on the left of a sum as it is shown, having checked its arithmetic."""
    terms = [int(n.replace(",", "")) for n in re.findall(r"(?:^|[=+] )([\d,]+)", re.sub(r"\([^)]*\)", "", text))]
    assert len(terms) >= 4, text
    assert terms[0] == sum(terms[1:]), text
    for part, inner in re.findall(r"\+ ([\d,]+) (?:dropped|failed) \(([^)]*)\)", text):
        assert int(part.replace(",", "")) == sum(int(n.replace(",", "")) for n in re.findall(r"([\d,]+)(?:,|$)", inner)), text
    return terms[0]


async def test_it_waits_for_devices_and_needs_no_reload(make_feed: Feed, serve: Serve, look: Look) -> None:
    feed = make_feed()
    page = await look(await serve(feed.state))
    said = await page.inner_text("#waiting")
    assert "Waiting for devices" in said
    assert "edgewise run --source PATH --server 192.0.2.7:8443" in said
    assert await page.locator(".camera").count() == 0
    feed.step(3)
    feed.status()
    await page.wait_for_function("() => document.querySelectorAll('.camera').length === 2")
    await page.wait_for_selector("#waiting", state="hidden")


async def test_it_shows_what_was_decided_why_and_what_it_cost(feed: Feed, serve: Serve, look: Look) -> None:
    page = await look(await serve(feed.state))
    north = ".camera:nth-child(1)"
    card = await has(page, north, "adds up")
    mode, why = feed.choice(feed.rate(0))
    assert await page.inner_text(f"{north} .mode") == mode
    assert why[:18] in card
    for part in (
        "connected",
        "proxy link",
        "clear",
        "deadline 100 ms",
        "Mbit/s",
        "kB/s",
        "modelled",
        "quality 0.87",
        "head",
        "tail",
    ):
        assert part in card, part
    assert re.search(r"p50 \d+ ms · p95 \d+ ms", card)
    await has(page, f"{north} figcaption", r"\d × vehicle · \d+ of 920 cells.*frame 303")
    assert adds_up(await page.inner_text(f"{north} .sum")) == feed.sent["north"]
    assert adds_up(await has(page, "#sum-accounts", "adds up")) == sum(feed.sent.values())
    assert await page.inner_text("#sum-devices") == "2 of 2"
    assert "Link emulation of this run – proxy" in await page.inner_text(".notes")
    assert "outside the shaped link and are not counted" in await page.inner_text(".notes")
    server = await page.inner_text(".server")
    for part in ("1.8 of 8", "vehicles 9f31c2ab", "2 streams", "wrong model hash", "187 MB"):
        assert part in server, part
    rows = await page.locator("#rows tr").all_inner_texts()
    assert len(rows) == len(feed.state.table())
    total = await page.inner_text("#totals")
    assert f"{sum(feed.sent.values()):,}" in total


async def test_a_frame_without_a_fate_is_shown_as_missing(feed: Feed, serve: Serve, look: Look) -> None:
    feed.sent["north"] += 4
    feed.status()
    feed.skew += 10.0
    feed.status(open=0)
    page = await look(await serve(feed.state))
    assert "✗ 4 unaccounted for" in await has(page, ".camera:nth-child(1) .sum", "unaccounted")
    assert "✓ adds up" in await page.inner_text(".camera:nth-child(2) .sum")
    assert "✗ 4 unaccounted for" in await page.inner_text("#sum-accounts")
    assert adds_up(await page.inner_text("#sum-accounts")) == sum(feed.sent.values())


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_and_can_be_read(feed: Feed, serve: Serve, look: Look, width: int, scheme: str) -> None:
    feed.status(connected=False)
    page = await look(await serve(feed.state), width, scheme)
    await has(page, ".camera:nth-child(2)", "not connected")
    await has(page, "#moment", "north")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = await page.evaluate(CONTRAST)
    assert found["seen"] > 100
    assert found["weak"] == []


async def test_the_theme_follows_the_system_until_a_person_chooses(feed: Feed, serve: Serve, look: Look) -> None:
    page = await look(await serve(feed.state), scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = await page.evaluate(ground)
    await page.click("#theme")
    light = await page.evaluate(ground)
    assert await page.inner_text("#theme") == "Theme: light"
    assert light != dark
    await page.reload()
    assert await page.evaluate(ground) == light
    await page.click("#theme")
    assert await page.evaluate(ground) == dark
    await page.click("#theme")
    assert await page.inner_text("#theme") == "Theme: system"
    assert await page.evaluate(ground) == dark


async def test_everything_can_be_done_by_keyboard(feed: Feed, serve: Serve, look: Look) -> None:
    page = await look(await serve(feed.state))
    await has(page, "#moment", "north")
    order = []
    for _ in range(20):
        await page.keyboard.press("Tab")
        at = await page.evaluate(
            """() => {
              const at = document.activeElement;
              const seen = at.matches(".choice input") ? at.nextElementSibling : at;
              const style = getComputedStyle(seen);
              const box = seen.getBoundingClientRect();
              const name = at.id || at.className || at.name;
              return [name, style.outlineStyle, parseFloat(style.outlineWidth), box.top >= 0, at.tagName];
            }"""
        )
        if at[4] == "BODY":
            break
        order.append(at[0])
        assert at[1] != "none", at
        assert at[2] >= 2, at
        assert at[3], at
    assert order == ["skip", "pause", "theme", "show-boxes", "show-cells", "window", "cursor", "scroll"]
    await page.focus("#cursor")
    before = await page.inner_text("#moment")
    for _ in range(12):
        await page.keyboard.press("ArrowLeft")
    after = await page.inner_text("#moment")
    assert after != before
    spoken = await page.get_attribute("#cursor", "aria-valuetext")
    assert spoken is not None
    assert spoken.split() == f"-12 s; {after}".split()
    await page.focus("#window input:checked")
    await page.keyboard.press("ArrowRight")
    assert await page.is_checked("#window [value='180']")


async def test_pause_holds_the_page_and_resume_catches_up(feed: Feed, serve: Serve, look: Look) -> None:
    page = await look(await serve(feed.state))
    await has(page, "#sum-accounts", "606 sent")
    await page.focus("#pause")
    await page.keyboard.press("Space")
    assert await page.get_attribute("#pause", "aria-pressed") == "true"
    await has(page, "#pulse", "paused at")
    feed.step(5)
    feed.status()
    await page.wait_for_timeout(700)
    assert "606 sent" in await page.inner_text("#sum-accounts")
    await page.keyboard.press("Space")
    await has(page, "#sum-accounts", "616 sent")


async def test_a_browser_too_slow_is_told_what_it_lost(feed: Feed, serve: Serve, look: Look) -> None:
    page = await look(await serve(feed.state))
    for subscriber in feed.state.hub._subscribers:
        subscriber.lost += 7
    feed.step(1)
    await has(page, "#pulse", "7 lost, browser too slow")


async def test_boxes_and_cells_lie_where_they_were_found(feed: Feed, serve: Serve, look: Look) -> None:
    page = await look(await serve(feed.state))
    await has(page, ".camera:nth-child(1) figcaption", "frame 303")
    box = feed.scene(30.3)[0]
    pixel = """([x, y]) => {
      const canvas = document.querySelector(".camera .picture canvas");
      return [...canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data];
    }"""
    edge, inside = [box.x0, (box.y0 + box.y1) / 2], [box.x0 + 0.012, (box.y0 + box.y1) / 2]

    async def far(a: list[int], place: list[float]) -> None:
        await page.wait_for_function(
            f"([a, place]) => Math.hypot(...({pixel})(place).map((v, i) => v - a[i])) > 20", arg=[a, place]
        )

    with_boxes, with_cells = await page.evaluate(pixel, edge), await page.evaluate(pixel, inside)
    await page.uncheck("#show-boxes")
    await far(with_boxes, edge)
    await page.uncheck("#show-cells")
    await far(with_cells, inside)
    label = await page.get_attribute(".camera .picture canvas", "aria-label")
    assert label is not None
    assert label.startswith("north, frame 303, answered by")


async def test_hostile_words_are_only_words(make_feed: Feed, serve: Serve, look: Look) -> None:
    evil = '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">'
    feed = make_feed((evil, "../../etc/passwd", "'\"><b>bold</b>"))
    feed.label = evil
    feed.step(40, ahead=True)
    feed.reason = evil
    feed.step(150, pictures=False, ahead=True)
    feed.step(2)
    feed.skew += 2.0
    feed.status(why=evil * 5, point=evil, condition=evil, model=evil, link_kind=evil)
    feed.refuse(evil)
    page = await look(await serve(feed.state))
    await has(page, ".camera h2", ".")
    await page.wait_for_function("() => document.querySelectorAll('.camera figcaption').length === 3")
    await page.wait_for_function("() => [...document.querySelectorAll('.picture [data-is=frame]')].every((e) => e.textContent)")
    await has(page, "#rows", "bold")
    names = await page.locator(".camera h2").all_inner_texts()
    assert any(name.startswith("<script>window.pwned=1</script>") for name in names)
    assert evil[:40] in await page.inner_text("#refused")
    assert any(evil[:40] in text for text in await page.locator(".camera .sum").all_inner_texts())
    assert evil[:40] in await page.inner_text(".camera .why")
    assert await page.evaluate("window.pwned") is None
    assert await page.locator("main script, main b b, main img").count() == 0
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_server_that_comes_back_is_found_again(feed: Feed, make_feed: Feed, serve: Serve, look: Look) -> None:
    address = await serve(feed.state)
    page = await look(address, expect="Failed to load resource")
    await has(page, "#sum-accounts", "606 sent")
    await serve.stop()
    await page.wait_for_selector("#pulse[data-state=lost]")
    assert "not reached" in await page.inner_text("#pulse")
    again = make_feed(("east",))
    again.step(5)
    again.status()
    await serve(again.state, int(address.rsplit(":", 1)[1]))
    await page.wait_for_function("() => document.querySelectorAll('.camera').length === 1")
    assert await page.inner_text(".camera h2") == "east"
    await has(page, "#sum-accounts", "5 sent")


async def test_what_the_page_is_made_of(feed: Feed, serve: Serve) -> None:
    """Headers on every answer, pictures by version, and a history in columns."""
    address = await serve(feed.state)
    async with aiohttp.ClientSession() as client:
        for path in ("/", "/history", "/preview/north.jpg", "/preview/north.jpg?v=1", "/preview/nobody.jpg", "/static/x/none.js"):
            async with client.get(address + path) as response:
                assert "default-src 'none'" in response.headers["Content-Security-Policy"], path
                assert response.status == (404 if "no" in path.split("/")[-1] and "north" not in path else 200), path
        async with client.get(address + "/preview/north.jpg?v=999") as response:
            assert response.status == 404
        async with client.get(address + "/history") as response:
            north = json.loads(await response.text())["nodes"][0]
    assert len(north["at"]) == len(north["fates"]) == len(north["latency_p50"])
    assert sum(map(sum, north["fates"])) <= feed.sent["north"]


async def test_how_a_model_is_adapted_is_shown_and_why_it_ended(make_feed: Feed, serve: Serve, look: Look) -> None:
    feed, course = make_feed(), Course(Journal(Path("/nonexistent")), "colours", 2e4)
    feed.step(40, ahead=True)
    feed.status()
    page = await look(await serve(feed.state), scheme="dark")
    assert await page.locator("#adapting").is_hidden(), "a server that adapts nothing says nothing of it"
    course.begun(Ready("colours", "big", 2, 6), 0.0)
    course.frames = 1000
    event = Event(1.0, "trial", "<b>the teacher</b> disagrees on 68% of 34")
    for at in range(30):
        course.stands(standing(10 * at, (event,) if at == 3 else ()))
        course.write("", 20.0 * at)
    ended = ["the adapting process ended."]
    feed.state.adapting = lambda: course.view(Learning(0.0, 2e4, 0.33), ended[0], 3, 600.0)
    await page.reload()
    assert await has(page, "#adapting-agreement", r"8\d %") and await has(page, "#adapting-uploads", "290 · 29 %")
    assert await has(page, "#adapting-events", "<b>the teacher</b> disagrees") and await has(page, "#adapting-ended", "ended")
    assert (await page.evaluate(CONTRAST))["weak"] == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def standing(uploads: int, happened: tuple[Event, ...]) -> Standing:
    report = Report(
        state="learning",
        version="a",
        uploads=uploads,
        audits=uploads,
        bytes_up=900 * uploads,
        bytes_down=0,
        steps=9,
        accepted=7,
        rejected=2,
        shipped=0,
        acknowledged=0,
        reverts=0,
        recalls=0,
        disagreement=0.3,
        gain=0.1,
        z=3.0,
        rate=1e-3,
        domains=1,
        doubted=(),
        refused={"no picture": 2},
        timeline=happened,
    )
    return Standing(report, 4.2, 1 << 28)
