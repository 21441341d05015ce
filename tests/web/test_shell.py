"""The frame of a page: strict headers on everything, files kept under their own hash, titles that are no HTML."""

from __future__ import annotations

import tomllib
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from edgewise.core.errors import ConfigError
from edgewise.web.shell import STATIC, Assets, document, page


def test_the_title_is_text() -> None:
    text = document("</title><script>alert(1)</script>", "<p>body</p>", Assets(), ["theme.css"], ["shell.js"])
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_page_runs_nothing_inline_and_names_no_other_server() -> None:
    assets = Assets()
    text = document("Vision", "", assets, ["theme.css"], ["shell.js"])
    assert "style=" not in text
    assert "http" not in text
    assert all(" src=" in part[:40] for part in text.split("<script")[1:] if part.startswith((" ", ">")))
    for name, body in assets.files.items():
        lines = body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in lines, name
        assert "https:" not in lines, name
        assert "innerHTML" not in lines, name
        assert "eval(" not in lines, name


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"missing\.js"):
        document("Vision", "", Assets(), [], ["missing.js"])


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shell.js").write_text("")
    with pytest.raises(ConfigError, match="one name"):
        Assets([tmp_path])


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "own.js").write_text("1")
    before = Assets([tmp_path]).version
    assert before == Assets([tmp_path]).version
    (tmp_path / "own.js").write_text("2")
    assert before != Assets([tmp_path]).version


async def test_files_over_http() -> None:
    assets = Assets()
    app = web.Application()
    app.add_routes([assets.route(), web.get("/", _front)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        root = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{root}/static/{assets.version}/shell.js") as kept:
                assert await kept.read() == (STATIC / "shell.js").read_bytes()
                assert kept.content_type == "text/javascript"
                assert "immutable" in kept.headers["Cache-Control"]
                assert kept.headers["X-Content-Type-Options"] == "nosniff"
            async with client.get(f"{root}/static/old/shell.js") as old:
                assert old.headers["Cache-Control"] == "no-store"
            for path in ("/static/x/nothing.js", "/static/x/shell.html", "/static/x/..%2Fshell.py"):
                async with client.get(root + path) as missing:
                    assert missing.status == 404
            async with client.get(root) as front:
                policy = front.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
    finally:
        await runner.cleanup()


async def _front(request: web.Request) -> web.Response:
    return page("<p>hello</p>")


def test_every_static_file_is_packaged() -> None:
    """A wheel holds only what pyproject.toml names; a page without its mark or its modules is none."""
    root = Path(__file__).parents[2]
    kinds = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["edgewise"]
    found = {path.suffix for path in (root / "edgewise").rglob("static/*")}
    assert {f"**/*{suffix}" for suffix in found} <= set(kinds)
