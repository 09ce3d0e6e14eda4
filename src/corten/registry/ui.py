"""The registry's web page for people: repositories, tags, sizes, layers, and the command that pulls each.

Owns: the pages under ``/ui/``, filled in on the server from the templates in ui_files/; no build step, and the only
script is the one that copies a command.  It shows to each visitor what they may pull.
"""

from __future__ import annotations

import html
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from aiohttp import web

from corten.errors import CortenError
from corten.registry.auth import Actor, Auth, Open
from corten.registry.faults import Refused, refusal
from corten.registry.repositories import Repositories, Repository
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.distribution import Endpoint, ErrorCode, is_name, is_tag
from corten.spec.image import Index, Manifest
from corten.spec.media_types import is_index

_FILES = Path(__file__).with_name("ui_files")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_TYPES = {"style.css": "text/css", "copy.js": "text/javascript"}
Identify = Callable[[web.Request, Endpoint | None], Awaitable[Actor]]


@dataclass(frozen=True, slots=True)
class Pages:
    """The handlers of ``/ui/``."""

    identify: Identify
    auth: Auth
    repositories: Repositories

    async def file(self, request: web.Request) -> web.Response:
        """The style sheet and the script."""
        name = request.match_info["name"]
        headers = _HEADERS | {"Cache-Control": "max-age=3600"}
        return web.Response(body=(_FILES / name).read_bytes(), content_type=_TYPES[name], headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        """``/ui/``, ``/ui/<repository>`` and ``/ui/<repository>:<tag or digest>``."""
        path = request.match_info.get("path", "").strip("/")
        name, _, reference = path.partition(":") if "@" not in path else path.partition("@")
        try:
            actor = await self.identify(request, None)
            if not name:
                visible = [each for each in await self.repositories.names() if actor.may(each, "pull")]
                if not visible:
                    self._ask(actor)
                return _page(request, "Repositories", await self._list(visible))
            if not actor.may(name, "pull"):
                self._ask(actor)
            repository = self.repositories.at(name)
            if not is_name(name) or not actor.may(name, "pull") or not await repository.exists():
                return _page(request, "Not found", "<p>There is no such repository.</p>", status=404)
            body = await _image(request, repository, reference) if reference else await _tags(request, repository)
        except CortenError as error:
            refused = refusal(error)
            page = _page(request, "Not now", f"<p>{html.escape(refused.message)}</p>", status=refused.status)
            page.headers.update({k: v for k, v in refused.headers.items() if k == "WWW-Authenticate"})
            return page
        if body is None:
            return _page(request, "Not found", "<p>There is no such image.</p>", status=404)
        return _page(request, path, body)

    def _ask(self, actor: Actor) -> None:
        """Let nobody in particular say who they are.  Browsers can send a password; they cannot fetch tokens."""
        if actor.is_anonymous and not isinstance(self.auth, Open):
            challenge = 'Basic realm="registry", charset="UTF-8"'
            raise Refused(ErrorCode.UNAUTHORIZED, headers={"WWW-Authenticate": challenge})

    async def _list(self, names: list[str]) -> str:
        rows = []
        for name in names:
            repository = self.repositories.at(name)
            tags = await repository.tags()
            link = f'<a href="/ui/{quote(name)}">{html.escape(name)}</a>'
            rows.append(f"<tr><td>{link}</td><td>{len(tags)}</td><td>{size(await repository.usage())}</td></tr>")
        if not rows:
            return "<p>Nothing has been pushed here yet.</p>"
        return _table(("Repository", "Tags", "Size"), rows)


def add_routes(app: web.Application, identify: Identify, auth: Auth, repositories: Repositories) -> None:
    """Serve the pages."""
    pages = Pages(identify, auth, repositories)
    app.router.add_get("/", _to_ui)
    app.router.add_get("/ui", _to_ui)
    app.router.add_get("/ui/-/{name:style\\.css|copy\\.js}", pages.file)
    app.router.add_get("/ui/{path:.*}", pages.page)


async def _to_ui(request: web.Request) -> web.Response:
    raise web.HTTPFound("/ui/")


async def _tags(request: web.Request, repository: Repository) -> str:
    rows = []
    for tag in await repository.tags():
        digest = await repository.resolve(tag)
        summary = await _summary(repository, digest) if digest else None
        if digest and summary:
            link = f'<a href="/ui/{quote(repository.name)}:{quote(tag)}">{html.escape(tag)}</a>'
            platforms, total, created = summary
            cells = (link, html.escape(platforms), size(total), html.escape(created[:19].replace("T", " ")))
            pull = _command(request, f"{repository.name}:{tag}")
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + f"<td>{pull}</td></tr>")
    if not rows:
        return "<p>This repository has no tags.</p>"
    return _table(("Tag", "Platforms", "Size", "Created", "Pull"), rows)


async def _summary(repository: Repository, digest: Digest) -> tuple[str, int, str] | None:
    """Platforms, bytes of a pull, and time of creation."""
    found = await repository.manifest(digest)
    if found is None:
        return None
    held, data = found
    if is_index(held.media_type):
        entries = Index.parse(data).manifests
        parts = [part for entry in entries if (part := await _summary(repository, entry.digest))]
        names = [str(entry.platform) for entry in entries if entry.platform and entry.platform.os != "unknown"]
        return ", ".join(names), sum(part[1] for part in parts), max((part[2] for part in parts), default="")
    manifest = Manifest.parse(data)
    config = await _config(repository, manifest.config)
    platform = "/".join(str(config[key]) for key in ("os", "architecture", "variant") if config.get(key))
    total = manifest.config.size + sum(layer.size for layer in manifest.layers)
    return platform or manifest.artifact_type or manifest.config.media_type, total, str(config.get("created") or "")


async def _config(repository: Repository, descriptor: Descriptor) -> dict[str, Any]:
    data = None
    if await repository.blob_size(descriptor.digest) is not None and descriptor.size < 1 << 20:
        data = await repository.read_blob(descriptor.digest)
    try:
        body = json.loads(data or b"{}")
    except ValueError:
        body = {}
    return body if isinstance(body, dict) else {}


async def _image(request: web.Request, repository: Repository, reference: str) -> str | None:
    digest = await repository.resolve(reference) if ":" in reference or is_tag(reference) else None
    found = await repository.manifest(digest) if digest else None
    if found is None:
        return None
    held, data = found
    separator = "@" if ":" in reference else ":"
    head = (
        f"<p>{_command(request, repository.name + separator + reference)}</p>"
        f"<dl><dt>Digest</dt><dd><code>{held.digest}</code></dd>"
        f"<dt>Type</dt><dd><code>{html.escape(held.media_type)}</code></dd></dl>"
    )
    if is_index(held.media_type):
        rows = [
            f'<tr><td><a href="/ui/{quote(repository.name)}@{entry.digest}"><code>{entry.digest}</code></a></td>'
            f"<td>{html.escape(str(entry.platform or ''))}</td></tr>"
            for entry in Index.parse(data).manifests
        ]
        return head + "<h2>Platforms</h2>" + _table(("Manifest", "Platform"), rows)
    manifest = Manifest.parse(data)
    config = await _config(repository, manifest.config)
    rows = [f"<tr><td><code>{layer.digest}</code></td><td>{size(layer.size)}</td></tr>" for layer in manifest.layers]
    history = [
        f"<li><code>{html.escape(str(step.get('created_by', ''))[:500])}</code></li>"
        for step in config.get("history") or []
        if isinstance(step, dict)
    ]
    steps = f"<h2>History</h2><ol>{''.join(history)}</ol>" if history else ""
    return head + "<h2>Layers</h2>" + _table(("Digest", "Size"), rows) + steps


def _command(request: web.Request, image: str) -> str:
    text = html.escape(f"docker pull {request.host}/{image}")
    return f'<code class="command">{text}</code> <button type="button" data-copy="{text}">Copy</button>'


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _page(request: web.Request, title: str, body: str, *, status: int = 200) -> web.Response:
    template = Template((_FILES / "page.html").read_text())
    text = template.substitute(title=html.escape(title), host=html.escape(request.host), body=body)
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)


def size(count: float) -> str:
    """As Docker prints sizes: 1.2MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.4g}{unit}"
        count /= 1000
    return f"{count:.4g}TB"
