"""Serves one local run to neuroglancer, with a client that needs no internet.

    /TOKEN/                 redirects to the volume in the client below
    /TOKEN/neuroglancer/    neuroglancer's static client, from the PyPI package `neuroglancer` (extra `viewer`)
    /TOKEN/run/NAME/...     the objects under the root of the run NAME; no listings

aiohttp does the HTTP. This module decides which files are served, and to whom: the data may be unpublished, any page
open in the same browser and every user of this machine can send requests to it. So the server listens on loopback only,
answers only requests addressed to loopback (a foreign name that resolves to 127.0.0.1 is refused: DNS rebinding) that
know its token, which is another one each time, and lets only loopback pages and the given viewers read its answers.
"""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_address
from mimetypes import guess_type
from pathlib import Path
from threading import current_thread, main_thread
from typing import Annotated, Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field

from clio_argo.errors import UserError
from clio_argo.model.layout import INFO, VIEWER
from clio_argo.viewer.url import PUBLIC_HOST, neuroglancer_state, viewer_url

LOOPBACK = "127.0.0.1"

# The client of the Python package takes its session from a path /v/SESSION/ and does not start without one.
_CLIENT = "neuroglancer/"
_SESSION = f"{_CLIENT}v/run/"
_MOST_INFO_BYTES = 2**20  # a scale takes half a kilobyte

# A person who returns to the page within a minute finds the connection open; it also ends incomplete requests.
_IDLE_S = 60.0
# A range of 64 kB takes milliseconds on loopback; what takes longer at Ctrl-C is a download that nobody awaits.
_SHUTDOWN_S = 1.0

_HEADERS = {
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
    "Cache-Control": "no-cache",  # a run may be written again under the same names
    "Cross-Origin-Resource-Policy": "same-origin",  # other sites read what CORS allows, and embed nothing
    "Referrer-Policy": "no-referrer",  # the token is in the address
    "Server": "clio-argo",  # instead of the versions of Python and aiohttp
    "X-Content-Type-Options": "nosniff",
}
# The client may show layers of other places beside the volume; it compiles code, and makes workers and pictures itself.
_CLIENT_POLICY = (
    "default-src 'self'; connect-src * data: blob:; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-eval'; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'"
)
# Objects of a run, its report included, run no script and ask nobody.
_RUN_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; "
    "sandbox allow-same-origin allow-popups"
)
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Max-Age": "86400",  # a day, the longest that any browser honours
}
_ONE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)", re.ASCII | re.IGNORECASE)


def serve(
    root: Path,
    port: int = 0,
    ready: Callable[[str], None] = print,
    volume: Path | None = None,
    origins: tuple[str, ...] = (PUBLIC_HOST,),
) -> None:
    """Serves the run at `root` until Ctrl-C; calls `ready` with the URL of the page once it can be opened.

    `port` 0 takes a free one. `volume` is the folder of the viewer volume, by default ng/ of the run. `origins` are
    the sites besides loopback whose pages may read the data ("https://viewer.example.org").
    Raises `UserError` if there is no viewer volume or no client, or if the port is taken.
    """
    volume = volume or root / VIEWER
    name = os.fsencode(root.resolve().name).decode(errors="replace") or "volume"
    base = f"/{secrets.token_urlsafe(16)}/"
    run = f"{base}run/{re.sub('[^A-Za-z0-9._-]', '_', name)}/"
    folders = {base + _SESSION: client_folder(), f"{run}{VIEWER}/": volume, run: root}
    view = _view(volume) | {"name": name}
    with _listen(port) as listener:
        address = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        state = neuroglancer_state(f"precomputed://{address}{run}{VIEWER}", **view)
        url = viewer_url(state, f"{address}{base}{_SESSION}")
        web.run_app(
            _Site(url, base, folders, origins).application(),
            sock=listener,
            print=lambda _: ready(url),
            access_log=None,
            keepalive_timeout=_IDLE_S,
            shutdown_timeout=_SHUTDOWN_S,
            handler_cancellation=True,  # ends the event channel of a page that was closed
            handle_signals=current_thread() is main_thread(),  # Python allows it there only
        )


def client_folder() -> Path:
    """The folder of the static client, found without an import of its package, which loads a web server and more.

    Raises `UserError` that names the extra if the client is not installed.
    """
    spec = find_spec("neuroglancer")
    folder = Path(spec.origin).with_name("static") / "client" if spec and spec.origin else None
    if folder is None or not (folder / "index.html").is_file():
        raise UserError("The client of neuroglancer is not installed: pip install 'clio-argo[viewer]'")
    return folder


_Voxels = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
_Sides = Annotated[int, Field(gt=0, lt=1e12)]
_Nm = Annotated[float, Field(ge=1e-6, le=1e12)]


class _Scale(BaseModel):
    """What a view needs of a scale in `info`."""

    size: tuple[_Sides, _Sides, _Sides]
    resolution: tuple[_Nm, _Nm, _Nm]
    voxel_offset: tuple[_Voxels, _Voxels, _Voxels] = (0, 0, 0)


class _Info(BaseModel):
    """What a view needs of `info`."""

    scales: Annotated[list[_Scale], Field(min_length=1)]


def _view(volume: Path) -> dict[str, Any]:
    """The middle, resolution and size of the finest scale, as `neuroglancer_state` takes them."""
    info = volume / INFO
    file = find_file(volume, INFO)
    if file is None:
        raise UserError(f"No viewer volume to show: {info} is not there.")
    try:
        with file.open("rb") as opened:
            scale = _Info.model_validate_json(opened.read(_MOST_INFO_BYTES)).scales[0]
    except OSError as error:
        raise UserError(f"No viewer volume to show: {info}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"Not the info of a precomputed volume: {info}.") from error
    middle = [begin + n // 2 + 0.5 for begin, n in zip(scale.voxel_offset, scale.size, strict=True)]
    return {"position_vox": middle, "resolution_nm": scale.resolution, "size": scale.size}


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        raise UserError(f"Cannot listen on {LOOPBACK}:{port}: {error}. Choose another port, or 0 for any.") from error


@dataclass(frozen=True)
class _Site:
    """What is served: the URL of the page, the folder of its token, folders by prefix, and sites that may read it.

    The first prefix that a path starts with decides: the volume may lie outside of the run's root.
    """

    url: str
    base: str
    folders: Mapping[str, Path]
    origins: tuple[str, ...]
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def application(self) -> web.Application:
        application = web.Application(middlewares=[_refuse_other_hosts])
        application.on_response_prepare.append(self._add_headers)
        application.on_shutdown.append(self._end_events)
        application.router.add_get(f"{self.base}{_CLIENT}events/run", self._events, allow_head=False)
        application.router.add_get("/{path:.*}", self._file)
        application.router.add_options("/{path:.*}", self._preflight)
        return application

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """A file, or a redirect to the page: browsers carry the fragment, which holds the state, along."""
        session = self.base + _SESSION
        short = {self.base: self.url, self.base + _CLIENT: session}
        if location := short.get(request.path):
            return web.Response(status=302, headers={"Location": location})
        prefix = next(filter(request.path.startswith, self.folders), None)
        file = prefix and find_file(self.folders[prefix], request.path.removeprefix(prefix) or "index.html")
        if not file:
            return web.Response(status=404)
        policy = _CLIENT_POLICY if prefix == session else _RUN_POLICY
        return _FileResponse(
            file, headers={"Content-Type": _content_type(file.name), "Content-Security-Policy": policy}
        )

    async def _preflight(self, request: web.Request) -> web.StreamResponse:
        """The answer to a browser that asks whether a page may ask; Chromium does so for loopback, too."""
        private = {"Access-Control-Allow-Private-Network": "true"} if self._may_read(request) else {}
        return web.Response(status=204, headers=_PREFLIGHT | private)

    def _may_read(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin", "")
        return origin in self.origins or _is_loopback(origin)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The channel on which the client awaits changes of its state; there are none, but it complains when closed."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self.stopped.wait()
        return response

    async def _end_events(self, _: web.Application) -> None:
        self.stopped.set()

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add our headers, and drop validators: without them no client sends If-Range, which gets the whole file."""
        response.headers.update(_HEADERS)
        response.headers.add("Vary", "Origin")
        for validator in ("ETag", "Last-Modified"):
            response.headers.pop(validator, None)
        if self._may_read(request):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]


class _FileResponse(web.FileResponse):
    """A file whose `Range` is read as RFC 9110 section 14.2 says, where aiohttp deviates.

    aiohttp serves a range to HEAD, refuses several ranges and other units instead of ignoring them, takes an
    `If-Range` with an ETag for a match, and `bytes=-0` for the whole file; `bytes=-` gets the 416 that is due then.
    """

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        headers = request.headers.copy()
        ranges = headers.pop("Range", "")
        if request.method == "GET" and "If-Range" not in headers and _ONE_RANGE.fullmatch(ranges):
            headers["Range"] = re.sub("=-0+$", "=-", ranges)
        return await super().prepare(request.clone(headers=headers))


def find_file(folder: Path, name: str) -> Path | None:
    """The regular file `name` (a decoded URL path) below `folder`, or None.

    The file lies below `folder` even after all symbolic links are followed.
    """
    try:
        file = (folder / name).resolve(strict=True)
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except (OSError, RuntimeError, ValueError):  # absent, a loop of links, a name that no file can have
        return None


def _content_type(name: str) -> str:
    """The media type by the suffix; the metadata of a precomputed volume has none."""
    kind = "application/json" if name == INFO else guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


@web.middleware
async def _refuse_other_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests by another name; `request.host` would ask a name server where the header is absent."""
    if _is_loopback(f"//{request.headers.get('Host', LOOPBACK)}"):
        return await handler(request)
    return web.Response(status=403, text="Only requests to 127.0.0.1 or localhost are answered.\n")


def _is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine; asks no name server."""
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
