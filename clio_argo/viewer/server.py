"""Serve one run of this machine to neuroglancer, with a client that needs no internet.

    /                  the volume, in the client below
    /neuroglancer/     neuroglancer's static client, from the PyPI package `neuroglancer` (extra `viewer`)
    /run/...           the objects under the run's root; no listings

The data may be unpublished, and any page open in the same browser can send requests to this machine. So the server
listens on loopback alone, answers only requests addressed to it as loopback (a foreign name that resolves to
127.0.0.1 is refused), and lets only loopback pages and the named viewers read its answers.
"""

import json
import logging
import os
import socketserver
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from clio_argo.errors import UserError
from clio_argo.viewer.link import PUBLIC_HOST, Point, neuroglancer_link, neuroglancer_state
from clio_argo.viewer.ranges import Unsatisfiable, byte_range, content_range

LOOPBACK = "127.0.0.1"

_log = logging.getLogger(__name__)

_CLIENT = "/neuroglancer/"
# The client of the Python package takes its session from a path /v/SESSION/ and does not start without one.
_SESSION = f"{_CLIENT}v/run/"
_EVENTS = f"{_CLIENT}events/run"
_RUN, _VOLUME = "/run/", "/run/ng"
_HEARTBEAT_S = 10.0

_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}


def serve(
    root: Path, port: int = 0, ready: Callable[[str], None] | None = None, volume: Path | None = None
) -> None:
    """Serve the run at `root` until Ctrl-C; `ready` gets the link as soon as it can be opened.

    `volume` is the folder of the viewer volume, by default ng/ of the run. `port` 0 takes a free one.
    Raises `UserError` when there is no viewer volume or no client, or the port is taken.
    """
    with _listen(root, LOOPBACK, port, (PUBLIC_HOST,), volume) as server, suppress(KeyboardInterrupt):
        if ready is not None:
            ready(server.link)
        server.serve_forever()


@contextmanager
def serving(
    root: Path,
    port: int = 0,
    *,
    host: str = LOOPBACK,
    origins: tuple[str, ...] = (PUBLIC_HOST,),
    volume: Path | None = None,
) -> Iterator[str]:
    """Serve the run at `root` from a thread while the block runs; gives the link.

    `host` is an IPv4 loopback address. `origins` are the sites besides loopback whose pages may read the data
    ("https://viewer.example.org"). Raises `UserError` as `serve` does, and for any other host.
    """
    with _listen(root, host, port, origins, volume) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.link
        finally:
            server.shutdown()
            thread.join()


def client_folder() -> Path:
    """Where the static client lies. Raises `UserError` that names the extra when it is not installed."""
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
    """The regular file `name` (a decoded URL path) below `folder`, or None; never one outside, whatever links say."""
    try:
        found = (folder / name).resolve(strict=True)
        return found if found.is_relative_to(folder.resolve()) and found.is_file() else None
    except (OSError, RuntimeError, ValueError):  # absent, a loop of links, a name that no file can have
        return None


def is_loopback(name: str) -> bool:
    """Whether a host name, without port, means this machine without asking a name server."""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _listen(
    root: Path, host: str, port: int, origins: tuple[str, ...], volume: Path | None = None
) -> "_Server":
    if not is_loopback(host):
        raise UserError(
            f"The viewer serves this machine only, so it does not listen on {host}; use {LOOPBACK}."
        )
    volume = volume or root / "ng"
    site = _Site(root, client_folder(), _finest_scale(volume / "info"), origins, volume)
    try:
        return _Server((host, port), site)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Cannot listen on {host}:{port}: {error}. Choose another port, or 0 for a free one."
        ) from error


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


@dataclass(frozen=True)
class _Site:
    root: Path
    client: Path
    finest_scale: _Scale
    origins: tuple[str, ...]
    volume: Path

    def file(self, path: str) -> Path | None:
        """The file behind a decoded URL path."""
        if path.startswith(_SESSION):
            return find_file(self.client, path.removeprefix(_SESSION) or "index.html")
        if path.startswith(f"{_VOLUME}/"):
            return find_file(self.volume, path.removeprefix(f"{_VOLUME}/"))
        return find_file(self.root, path.removeprefix(_RUN)) if path.startswith(_RUN) else None

    def admits(self, origin: str) -> bool:
        """Whether pages of `origin` may read the answers."""
        return origin in self.origins or is_loopback(_hostname(origin))

    def link(self, address: str) -> str:
        """The link to the volume in the client at `address`, "http://HOST:PORT"."""
        scale = self.finest_scale
        x, y, z = (begin + n // 2 + 0.5 for begin, n in zip(scale.voxel_offset, scale.size, strict=True))
        state = neuroglancer_state(
            f"precomputed://{address}{_VOLUME}",
            name=self.root.resolve().name or "volume",
            position_vox=(x, y, z),
            resolution_nm=scale.resolution_nm,
            size=scale.size,
        )
        return neuroglancer_link(state, address + _CLIENT)


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], site: _Site) -> None:
        self.site = site
        self.stopped = Event()
        super().__init__(address, _Handler)
        self.link = site.link(f"http://{address[0]}:{self.server_port}")

    def server_bind(self) -> None:
        # HTTPServer looks up the name of the address, which takes seconds on machines without a name server.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def server_close(self) -> None:
        self.stopped.set()
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002, the base class's signature
        # A browser drops requests whenever a person moves on; that is no error of the server.
        dropped = isinstance(sys.exception(), ConnectionError)
        _log.log(
            logging.DEBUG if dropped else logging.ERROR, "request of %s failed", client_address, exc_info=True
        )


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "clio-argo", ""
    timeout = 60  # seconds which an idle connection keeps its thread

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        host = self.headers.get("Host", LOOPBACK)
        if is_loopback(_hostname(f"//{host}")):
            return True
        self.send_error(HTTPStatus.FORBIDDEN, "Only requests to 127.0.0.1 or localhost are answered")
        return False

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/":
            self._redirect(self.server.link)
        elif path in {_CLIENT, _CLIENT.rstrip("/")}:
            self._redirect(_SESSION)  # browsers carry the fragment, which holds the state, along
        elif path == _EVENTS:
            self._events()
        else:
            self._file(self.server.site.file(path))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_OPTIONS(self) -> None:
        self._start(
            HTTPStatus.NO_CONTENT,
            {
                "Allow": "GET, HEAD, OPTIONS",
                "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
                "Access-Control-Allow-Headers": "Range",
                "Access-Control-Allow-Private-Network": "true",
                "Access-Control-Max-Age": "86400",
            },
        )

    def _file(self, file: Path | None) -> None:
        if file is None or not os.access(file, os.R_OK):
            self._empty(HTTPStatus.NOT_FOUND)
        else:
            with file.open("rb") as content:
                self._content(content, file.name)

    def _content(self, content: BinaryIO, name: str) -> None:
        size = os.fstat(content.fileno()).st_size
        headers = {"Accept-Ranges": "bytes", "Content-Type": _content_type(name)}
        try:
            part = byte_range(self._range(), size)
        except Unsatisfiable:
            self._empty(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"})
        else:
            self._head(part, size, headers)
            self._body(content, range(size) if part is None else part)

    def _head(self, part: range | None, size: int, headers: dict[str, str]) -> None:
        if part is None:
            self._start(HTTPStatus.OK, headers | {"Content-Length": str(size)})
        else:
            where = {"Content-Length": str(len(part)), "Content-Range": content_range(part, size)}
            self._start(HTTPStatus.PARTIAL_CONTENT, headers | where)

    def _body(self, content: BinaryIO, part: range) -> None:
        if self.command == "GET" and part:
            sent = self.connection.sendfile(content, part.start, len(part))
            # A file cut short meanwhile must end the connection, or the reader waits for the rest.
            self.close_connection |= sent < len(part)

    def _range(self) -> str | None:
        """The range to honour: HEAD has none, and without validators an If-Range never matches."""
        return self.headers.get("Range") if self.command == "GET" and "If-Range" not in self.headers else None

    def _events(self) -> None:
        """The channel on which the client awaits changes of its state; there are none, but it complains when closed."""
        self._start(HTTPStatus.OK, {"Content-Type": "text/event-stream", "Connection": "close"})
        while self.command == "GET" and not self.server.stopped.wait(_HEARTBEAT_S):
            self.wfile.write(b":\n\n")

    def _redirect(self, location: str) -> None:
        self._empty(HTTPStatus.FOUND, {"Location": location})

    def _empty(self, status: HTTPStatus, headers: dict[str, str] | None = None) -> None:
        self._start(status, {"Content-Length": "0"} | (headers or {}))

    def _start(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        # A run may be written again under the same names, hence no-cache.
        common = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Vary": "Origin"}
        for key, value in (common | self._cors() | headers).items():
            self.send_header(key, value)
        self.end_headers()

    def _cors(self) -> dict[str, str]:
        origin = self.headers.get("Origin", "")
        exposed = "Accept-Ranges, Content-Length, Content-Range"
        admitted = self.server.site.admits(origin)
        return (
            {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": exposed}
            if admitted
            else {}
        )

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the name is the base class's
        _log.debug(format, *args)


def _hostname(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).hostname or ""
    return ""


def _content_type(name: str) -> str:
    return (
        "application/json"
        if name == "info"
        else _CONTENT_TYPES.get(Path(name).suffix, "application/octet-stream")
    )
