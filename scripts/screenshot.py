"""Take the README's pictures of the page: docs/images/page-1280-light.png and so on, from a running demo or one that it starts.

    ./.venv/bin/python scripts/screenshot.py                                 starts `edgewise demo`, waits, looks, ends it
    ./.venv/bin/python scripts/screenshot.py --address http://127.0.0.1:8770/

It drives an installed Chromium and needs the packages of `./dev test`.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
SIZES = {1280: (1280, 1000, 1.0), 390: (390, 844, 2.0)}  # width, height, pixels of the picture per CSS pixel


def fail(sentence: str) -> None:
    sys.exit(f"screenshot: {sentence}")


@contextlib.contextmanager
def demo(seconds: float) -> Iterator[str]:
    """A demo of our own: gives the address of its page, and ends it by Ctrl-C's signal."""
    command = [sys.executable, "-m", "edgewise", "demo", "--seconds", f"{seconds + 180:g}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                found = re.search(r"page: (https?://\S+)", line)
                if found:
                    yield found[1]
                    break
            else:
                fail("the demo ended before it said where its page is; run `./dev demo` to see why")
        finally:
            process.send_signal(signal.SIGINT)
            for _ in process.stdout:
                pass


def take(browser: Browser, address: str, seconds: float, folder: Path) -> None:
    """Open the page in each size and theme, let all of them watch for `seconds`, then take their pictures."""
    pages = {}
    for width, (_, height, ratio) in SIZES.items():
        for theme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                device_scale_factor=ratio,
                color_scheme=theme,  # type: ignore[arg-type]
                ignore_https_errors=True,
            )
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector(".camera .verdict", timeout=60_000)
            pages[f"page-{width}-{theme}.png"] = page
    first = next(iter(pages.values()))
    first.wait_for_timeout(seconds * 1000)
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages.items():
        page.bring_to_front()
        page.wait_for_timeout(1500)
        page.screenshot(path=folder / name, full_page=True)
        print(folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--address", help="the page of a running demo or server; without it a demo is started")
    parser.add_argument("--seconds", type=float, default=75.0, help="how long to watch first, so that the link has changed")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    chosen = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        fail("there is no Chromium here; on Debian: apt-get install chromium")
    running = contextlib.nullcontext(chosen.address) if chosen.address else demo(chosen.seconds)
    with running as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        take(browser, address, chosen.seconds, chosen.out)
        browser.close()


if __name__ == "__main__":
    main()
