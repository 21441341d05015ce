"""The shell of a page: its HTML frame, its files under one version, and the headers that keep it to itself.

A page loads nothing from elsewhere and runs no inline script; the Content-Security-Policy says so to the browser. Files
stand under an address with their own hash, so they are kept for a year and never stale. What comes from devices reaches
the page as JSON alone and is put into the document as text.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from aiohttp import web

from edgewise.core.errors import ConfigError

STATIC = Path(__file__).parent / "static"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
CURRENT = ' aria-current="page"'
NOWHERE: Mapping[str, str] = {}
FOREVER = "public, max-age=31536000, immutable"


class Assets:
    """The static files of the shell and of one application, read once; `version` is a hash over all of them."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self.files: dict[str, bytes] = {}
        for folder in (STATIC, *folders):
            for path in sorted(folder.iterdir()):
                if path.suffix not in TYPES:
                    continue
                if path.name in self.files:
                    raise ConfigError("two static files of a page have one name", got=path.name, hint="Rename one of them.")
                self.files[path.name] = path.read_bytes()
        digest = hashlib.sha256()
        for name, body in self.files.items():
            digest.update(f"{name}\n{len(body)}\n".encode() + body)
        self.version = digest.hexdigest()[:12]

    def route(self) -> web.RouteDef:
        return web.get("/static/{version}/{name}", self._serve)

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        body = self.files.get(name)
        if body is None:
            return web.Response(status=404, text="The page has no such file.", headers=HEADERS)
        # An old version's address still answers, with today's file, but is not to be kept.
        keep = FOREVER if request.match_info["version"] == self.version else "no-store"
        response = web.Response(body=body, content_type=TYPES[Path(name).suffix], charset="utf-8")
        response.headers.update(HEADERS | {"Cache-Control": keep})
        response.enable_compression()
        return response


def document(
    title: str,
    body: str,
    assets: Assets,
    styles: Iterable[str],
    scripts: Iterable[str],
    places: Mapping[str, str] = NOWHERE,
) -> str:
    """The HTML of a page: the shell around `body` (trusted HTML of ours), with style sheets and modules by file name.

    `places` are the views of the application, title to address; the one with this page's title is marked as where we are.
    """
    root = f"/static/{assets.version}"
    named = [*styles, *scripts]
    missing = [name for name in named if name not in assets.files]
    if missing:
        raise ConfigError("a page names files that it does not have", got=", ".join(missing), allowed=", ".join(assets.files))
    return Template((STATIC / "shell.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        root=root,
        styles="\n".join(f'<link rel="stylesheet" href="{root}/{name}">' for name in styles),
        scripts="\n".join(f'<script type="module" src="{root}/{name}"></script>' for name in scripts),
        places=_places(title, places),
        body=body,
    )


def _places(here: str, places: Mapping[str, str]) -> str:
    if not places:
        return ""
    links = (
        f'<a href="{html.escape(address)}"{CURRENT if name == here else ""}>{html.escape(name)}</a>'
        for name, address in places.items()
    )
    return f'<nav class="places" aria-label="Views">{"".join(links)}</nav>'


def page(text: str) -> web.Response:
    """An HTML answer under the shell's policy; the frame itself is never kept, since it names the version of the files."""
    response = web.Response(text=text, content_type="text/html", charset="utf-8")
    response.headers.update(HEADERS | {"Cache-Control": "no-store"})
    return response
