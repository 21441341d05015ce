"""Take the README's pictures: of a running demo (docs/images/page-1280-light.png …), and of nodes during a rollout (nodes-…).

    ./.venv/bin/python scripts/screenshot.py                                 starts `edgewise demo`, waits, looks, ends it
    ./.venv/bin/python scripts/screenshot.py --address http://127.0.0.1:8770/
    ./.venv/bin/python scripts/screenshot.py --nodes                         a site of its own: one version holds, one breaks

It drives an installed Chromium and needs the packages of `./dev test`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
SIZES = {1280: (1280, 1000, 1.0), 390: (390, 844, 2.0)}  # width, height, pixels of the picture per CSS pixel


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
QUIET: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
SHIPPED = ROOT / "edgewise/bundles/vehicles"
NODES = ("north-gate", "south-gate", "yard")
GUARD = "quality>-0.5pt p95<150ms failed<5%"


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


class Site:
    """An edge server and devices as a person would start them, in `folder`; each command is one that stands in the README."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.edgewise("keys", "init")
        self.start("serve", "--port", "0", "--page-port", "0", "--announce", "ports.json")
        ports = self.wait(lambda: msgspec.json.decode(found.read_bytes()) if (found := folder / "ports.json").exists() else None)
        self.server, self.page = f"127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['page']}/view/nodes"
        for i, name in enumerate(NODES):
            self.edgewise("keys", "issue", name)
            words = ["--source", f"junction:{14 + i}:clear", "--server", self.server, "--keys", f"edgewise-keys/devices/{name}"]
            self.start("run", *words, "--rate", "4", "--budget", "bytes_up<=50KB/s", "--quiet")

    def edgewise(self, *words: str) -> None:
        self._call("-m", "edgewise", *words)

    def ask(self, *words: str) -> None:
        self.edgewise(*words, "--server", self.server)

    def version(self, name: str, *words: str) -> None:
        self._call(str(ROOT / "examples/new_version.py"), name, *words)

    def start(self, *words: str) -> None:
        self._stack.enter_context(self._process(*words))

    def fleet(self) -> Any:
        self.ask("nodes", "--json", "nodes.json")
        return msgspec.json.decode((self.folder / "nodes.json").read_bytes())

    def stage(self) -> str:
        return next((row["stage"] for row in self.fleet()["rollouts"]), "")

    def wait(self, look: Callable[[], Any], seconds: float = 120.0) -> Any:
        until = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > until:
                fail("what was to be seen did not come; try again on a machine with less to do")
            time.sleep(2.0)
        return found

    @contextlib.contextmanager
    def _process(self, *words: str) -> Iterator[None]:
        with subprocess.Popen([sys.executable, "-m", "edgewise", *words], cwd=self.folder, env=ENVIRONMENT, **QUIET) as process:
            try:
                yield
            finally:
                process.send_signal(signal.SIGINT)

    def _call(self, *words: str) -> None:
        subprocess.run([sys.executable, *words], cwd=self.folder, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def rollout() -> Iterator[str]:
    """The nodes view of a site where one version went to all nodes, and the next one broke its guard on a canary."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        site = Site(Path(folder), stack)
        site.wait(lambda: sum(bool(row["connected"]) for row in site.fleet()["nodes"]) == len(NODES))
        site.version("finer")
        site.ask("publish", "finer", "--channel", "main", "--from", str(SHIPPED), "--about", "one bias, by a hair")
        site.ask("rollout", "main", "--guard", "quality>-0.5pt", "--window", "10s")
        site.wait(lambda: site.stage() == "done" and all(m["step"] == "good" for n in site.fleet()["nodes"] for m in n["models"]))
        site.version("spoilt", "--spoil")
        site.ask("publish", "spoilt", "--channel", "main", "--from", "finer", "--about", "spoilt on purpose")
        site.ask("rollout", "main", "--guard", GUARD, "--window", "60s")
        site.wait(lambda: site.stage() == "reverted")
        yield site.page


def take_nodes(browser: Browser, address: str, folder: Path) -> None:
    for theme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("#rollouts article, #rollouts section", timeout=60_000)
        page.wait_for_timeout(3000)
        page.screenshot(path=folder / f"nodes-{theme}.png", full_page=True)
        print(folder / f"nodes-{theme}.png")


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
    parser.add_argument("--nodes", action="store_true", help="the nodes view instead")
    chosen = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        fail("there is no Chromium here; on Debian: apt-get install chromium")
    own = rollout() if chosen.nodes else demo(chosen.seconds)
    running = contextlib.nullcontext(chosen.address) if chosen.address else own
    with running as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        if chosen.nodes:
            take_nodes(browser, address, chosen.out)
        else:
            take(browser, address, chosen.seconds, chosen.out)
        browser.close()


if __name__ == "__main__":
    main()
