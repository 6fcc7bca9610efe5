"""Serves one local run to neuroglancer, with a client that needs no internet.

    /                  redirects to the volume in the client below
    /neuroglancer/     neuroglancer's static client, from the PyPI package `neuroglancer` (extra `viewer`)
    /run/...           the objects under the run's root; no listings

aiohttp does the HTTP. This module decides which files are served, and to whom: the data may be unpublished, and any
page open in the same browser can send requests to this machine. So the server listens on loopback only, answers only
requests addressed to loopback (a foreign name that resolves to 127.0.0.1 is refused: DNS rebinding), and lets only
loopback pages and the given viewers read its answers.
"""

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_address
from mimetypes import guess_type
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import Handler

from clio_argo.errors import UserError
from clio_argo.viewer.url import PUBLIC_HOST, Point, neuroglancer_state, viewer_url

LOOPBACK = "127.0.0.1"

_CLIENT = "/neuroglancer/"
# The client of the Python package takes its session from a path /v/SESSION/ and does not start without one.
_SESSION = f"{_CLIENT}v/run/"
_EVENTS = f"{_CLIENT}events/run"
_RUN, _VOLUME = "/run/", "/run/ng"

# A person who returns to the page within a minute finds the connection open. The same limit ends a request whose
# headers never become complete.
_IDLE_S = 60.0
# A range of 64 kB takes milliseconds on loopback; what takes longer at Ctrl-C is a download that nobody awaits.
_SHUTDOWN_S = 1.0

_HEADERS = {
    "Cache-Control": "no-cache",  # a run may be written again under the same names
    "Server": "clio-argo",  # instead of the versions of Python and aiohttp
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT = {
    "Allow": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Allow-Private-Network": "true",  # Chromium asks before a public page may reach loopback
    "Access-Control-Max-Age": "86400",  # a day; the longest that any browser honours
}
_EXPOSED = "Accept-Ranges, Content-Length, Content-Range"

_ONE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)", re.ASCII | re.IGNORECASE)
_NO_BYTES = re.compile(r"bytes=-0+", re.IGNORECASE)


def serve(
    root: Path, port: int = 0, ready: Callable[[str], None] | None = None, volume: Path | None = None
) -> None:
    """Serves the run at `root` until Ctrl-C; calls `ready` with the URL of the page once it can be opened.

    `volume` is the folder of the viewer volume, by default ng/ of the run. `port` 0 takes a free one.
    Raises `UserError` if there is no viewer volume or no client, or if the port is taken.
    """
    with suppress(KeyboardInterrupt), serving(root, port, volume=volume) as url:
        if ready is not None:
            ready(url)
        Event().wait()


@contextmanager
def serving(
    root: Path,
    port: int = 0,
    *,
    host: str = LOOPBACK,
    origins: tuple[str, ...] = (PUBLIC_HOST,),
    volume: Path | None = None,
) -> Iterator[str]:
    """Serves the run at `root` from a thread while the block runs; yields the URL of the page.

    `host` is an IPv4 loopback address. `origins` are the sites besides loopback whose pages may read the data
    ("https://viewer.example.org"). Raises `UserError` as `serve` does, and for any other host.
    """
    client, volume = client_folder(), volume or root / "ng"
    scale = _finest_scale(volume / "info")
    with _listen(host, port) as listener, ThreadPoolExecutor(1) as thread:
        url = _page_url(f"http://{host}:{listener.getsockname()[1]}", root.resolve().name or "volume", scale)
        # The first prefix that fits a path decides, so /run/ng/ may lie outside of the run's root.
        site = _Site(url, {_SESSION: client, f"{_VOLUME}/": volume, _RUN: root}, origins)
        stop: Future[None] = Future()
        served = thread.submit(asyncio.run, _answer(site, listener, stop))
        try:
            yield url
        finally:
            stop.set_result(None)
        served.result()


def client_folder() -> Path:
    """The folder of the static client. Raises `UserError` that names the extra if the client is not installed."""
    # find_spec runs none of the package, which would load a web server and cloud libraries.
    spec = find_spec("neuroglancer")
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place, "static", "client")
        if (folder / "index.html").is_file():
            return folder
    raise UserError(
        "The viewer needs neuroglancer's client, which is not installed: pip install 'clio-argo[viewer]'"
    )


def find_file(folder: Path, name: str) -> Path | None:
    """The regular file `name` (a decoded URL path) below `folder`, or None.

    The result lies below `folder` after all symbolic links are followed, too.
    """
    try:
        file = (folder / name).resolve(strict=True)
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except (OSError, RuntimeError, ValueError):  # absent, a loop of links, a name that no file can have
        return None


def is_loopback(name: str) -> bool:
    """Whether a host name, without port, means this machine; asks no name server."""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class _Scale:
    """The finest scale of a precomputed volume, x, y, z."""

    size: tuple[int, int, int]
    resolution_nm: Point
    voxel_offset: tuple[int, int, int]


def _finest_scale(info: Path) -> _Scale:
    try:
        scale = json.loads(info.read_bytes())["scales"][0]
        return _Scale(scale["size"], scale["resolution"], scale.get("voxel_offset", (0, 0, 0)))
    except OSError as error:
        raise UserError(f"No viewer volume to show: {info}: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"Not the info of a precomputed volume: {info}.") from error


def _page_url(address: str, name: str, scale: _Scale) -> str:
    """The URL of the page that shows the middle of the volume served at `address`, "http://HOST:PORT"."""
    x, y, z = (begin + n // 2 + 0.5 for begin, n in zip(scale.voxel_offset, scale.size, strict=True))
    state = neuroglancer_state(
        f"precomputed://{address}{_VOLUME}",
        name=name,
        position_vox=(x, y, z),
        resolution_nm=scale.resolution_nm,
        size=scale.size,
    )
    return viewer_url(state, address + _CLIENT)


def _listen(host: str, port: int) -> socket.socket:
    if not is_loopback(host):
        raise UserError(
            f"The viewer serves this machine only, so it does not listen on {host}; use {LOOPBACK}."
        )
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Cannot listen on {host}:{port}: {error}. Choose another port, or 0 for a free one."
        ) from error


async def _answer(site: "_Site", listener: socket.socket, stop: Future[None]) -> None:
    """Answers requests to `listener` until `stop` is set."""
    runner = web.AppRunner(
        site.application(),
        access_log=None,
        handler_cancellation=True,  # ends the event channel of a page that was closed
        keepalive_timeout=_IDLE_S,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    await asyncio.wrap_future(stop)
    site.stopped.set()
    await runner.cleanup()


@dataclass(frozen=True)
class _Site:
    """What is served: the URL of the page, folders by path prefix, and the sites that may read the answers."""

    url: str
    folders: Mapping[str, Path]
    origins: tuple[str, ...]
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def application(self) -> web.Application:
        application = web.Application(middlewares=[_refuse_foreign_names])
        application.on_response_prepare.append(self._add_headers)
        routes = application.router
        routes.add_get("/", _redirect(self.url))
        # Browsers carry the fragment, which holds the state, along.
        routes.add_get(_CLIENT, _redirect(_SESSION))
        routes.add_get(_CLIENT.rstrip("/"), _redirect(_SESSION))
        routes.add_get(_EVENTS, self._events, allow_head=False)
        routes.add_get("/{path:.*}", self._file)
        routes.add_options("/{path:.*}", _preflight)
        return application

    async def _file(self, request: web.Request) -> web.StreamResponse:
        prefix = next(filter(request.path.startswith, self.folders), None)
        file = prefix and find_file(self.folders[prefix], request.path.removeprefix(prefix) or "index.html")
        if not file:
            return web.Response(status=404)
        return _FileResponse(file, headers={"Content-Type": _content_type(file.name)})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The channel on which the client awaits changes of its state; there are none, but it complains when closed."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self.stopped.wait()
        return response

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)
        response.headers.add("Vary", "Origin")
        for validator in (
            "ETag",
            "Last-Modified",
        ):  # without them no client sends If-Range: see _FileResponse
            response.headers.pop(validator, None)
        origin = request.headers.get("Origin", "")
        if origin in self.origins or is_loopback(_hostname(origin)):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED


class _FileResponse(web.FileResponse):
    """A file whose `Range` is read as RFC 9110 section 14.2 says, where aiohttp deviates.

    aiohttp serves a range to HEAD, refuses several ranges and other units instead of ignoring them, takes `bytes=-0`
    for the whole file, and an `If-Range` with an ETag for a match.
    """

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        headers = request.headers.copy()
        asked = headers.pop("Range", "")
        if _NO_BYTES.fullmatch(asked):
            headers["Range"] = "bytes=-"  # the form that aiohttp answers with 416
        elif request.method == "GET" and "If-Range" not in headers and _ONE_RANGE.fullmatch(asked):
            headers["Range"] = asked
        return await super().prepare(request.clone(headers=headers))


@web.middleware
async def _refuse_foreign_names(request: web.Request, handler: Handler) -> web.StreamResponse:
    # not request.host, which asks a name server if the header is absent
    if is_loopback(_hostname(f"//{request.headers.get('Host', LOOPBACK)}")):
        return await handler(request)
    return web.Response(status=403, text="Only requests to 127.0.0.1 or localhost are answered.\n")


def _redirect(location: str) -> Handler:
    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    return respond


async def _preflight(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204, headers=_PREFLIGHT)


def _hostname(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).hostname or ""
    return ""


def _content_type(name: str) -> str:
    # `info`, the metadata of a precomputed volume, has no suffix.
    kind = "application/json" if name == "info" else guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
