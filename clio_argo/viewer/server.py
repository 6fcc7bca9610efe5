"""Serves runs to neuroglancer, with a client that needs no internet: those of this machine, and private ones elsewhere.

    /TOKEN/?z=N             redirects to the volumes in the client below, at slice N or in the middle
    /TOKEN/neuroglancer/    neuroglancer's static client, from the PyPI package `neuroglancer` (extra `viewer`)
    /TOKEN/run/NAME/...     the objects under the root of the run NAME; of a run elsewhere those of ng/ and its report
    /OTHER/run/NAME/...     those of another run on the same page, each with a token of its own; there are no listings

aiohttp does the HTTP. This module decides which objects are served, and to whom: the data may be unpublished, any page
open in the same browser and every user of this machine can send requests to it. So the server listens on loopback only,
answers only requests addressed to loopback (a foreign name that resolves to 127.0.0.1 is refused: DNS rebinding) that
know its token, which is another one each time, and lets only loopback pages and the given viewers read its answers.
"""

import asyncio
import re
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from threading import current_thread, main_thread
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from clio_argo.errors import ClioError, MissingBucket, MissingInput, NoAccess, TransientError, UserError
from clio_argo.model.layout import REPORT, VIEWER
from clio_argo.store.waiting import aside
from clio_argo.viewer.layers import Shown, page_state
from clio_argo.viewer.objects import Folder, Objects
from clio_argo.viewer.url import PUBLIC_HOST, viewer_url

LOOPBACK = "127.0.0.1"

# The URL of a page at a slice; None: the middle one. Raises `UserError` without a volume or a slice.
_Link = Callable[[int | None], str]

# The client of the Python package takes its session from a path /v/SESSION/ and does not start without one.
_CLIENT = "neuroglancer/"
_SESSION = f"{_CLIENT}v/run/"

# A person who returns to the page within a minute finds the connection open; it also ends incomplete requests.
_IDLE_S = 60.0
# A range of 64 kB takes milliseconds on loopback; what takes longer at Ctrl-C is a download that nobody awaits.
_SHUTDOWN_S = 1.0

_HEADERS = {
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
    # a run may be written again under the same names, and the browser keeps nothing on disk
    "Cache-Control": "no-store",
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
# Objects of a run run no script and ask nobody. Its report runs the one script that is this program's own: a run may
# be from anybody, and so may its pages.
_RUN_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; "
    "sandbox allow-same-origin allow-popups"
)
_REPORT_POLICY = f"{_RUN_POLICY} allow-scripts; script-src %s"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Max-Age": "86400",  # a day, the longest that any browser honours
}
# what a browser is answered when a store refuses; neuroglancer tries again after 503 only
_STATUSES: tuple[tuple[type[ClioError], int], ...] = (
    (NoAccess, 403), (MissingInput, 404), (MissingBucket, 404), (TransientError, 503), (ClioError, 502),
)  # fmt: skip


def serve(  # noqa: PLR0913, what a page shows has nothing in common with where it is served
    runs: Sequence[Shown],
    port: int = 0,
    ready: Callable[[str, str | None], object] = print,
    *,
    z: int | None = None,
    layout: str = "4panel",
    opened: Callable[[str], object] = lambda _: None,
    refused: Callable[[str], object] = lambda _: None,
    script: str = "'none'",
    origins: tuple[str, ...] = (PUBLIC_HOST,),
) -> None:
    """Serves the runs, as layers of one page, until Ctrl-C.

    Calls `ready` once the page can be opened, with its URL and that of the first run's report, if that is there.
    `port` 0 takes a free one. `z` is the number of the slice to begin with, by default the middle one, `layout` one of
    `LAYOUTS`. `opened` gets an address that leads to the page once: other users see what a browser is started with.
    `refused` gets what is wrong when a store refuses objects, each kind once. `script` is the source, in a
    Content-Security-Policy, of the script that reports may run. `origins` are the sites besides loopback whose pages
    may read the data ("https://viewer.example.org").
    Raises `UserError` if there is no viewer volume or no client, or if the port is taken.
    """
    with _listen(port) as listener:
        address = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        link, base, objects = _page(runs, address, layout)
        site = _Site(link, link(z), base, objects, origins, refused, script)

        def started(_: str) -> None:
            report = site.report
            ready(site.url, report and address + report)
            opened(address + site.once())

        web.run_app(
            site.application(),
            sock=listener,
            print=started,
            access_log=None,
            keepalive_timeout=_IDLE_S,
            shutdown_timeout=_SHUTDOWN_S,
            handler_cancellation=True,  # ends the event channel of a page that was closed
            handle_signals=current_thread() is main_thread(),  # Python allows it there only
        )


def _page(runs: Sequence[Shown], address: str, layout: str) -> tuple[_Link, str, dict[str, Objects]]:
    """The URLs of the page by slice, the folder of its token, and objects by the path below which they are served."""
    tokens = [f"/{secrets.token_urlsafe(16)}/" for _ in runs]
    paths = [f"{token}run/{re.sub('[^A-Za-z0-9._-]', '_', run.name)}/" for token, run in zip(tokens, runs, strict=True)]
    session = tokens[0] + _SESSION

    def link(z: int | None) -> str:
        state = page_state(runs, [f"precomputed://{address}{path}{VIEWER}" for path in paths], z, layout)
        return viewer_url(state, address + session)

    volumes = {f"{path}{VIEWER}/": run.volume for path, run in zip(paths, runs, strict=True)}
    beside = {path + folder: o for path, run in zip(paths, runs, strict=True) for folder, o in run.beside.items()}
    # behind what may lie elsewhere
    roots = {path: Folder(run.root) for path, run in zip(paths, runs, strict=True) if run.root}
    return link, tokens[0], {session: Folder(client_folder()), **volumes, **beside, **roots}


def client_folder() -> Path:
    """The folder of the static client, found without an import of its package, which loads a web server and more.

    Raises `UserError` that names the extra if the client is not installed.
    """
    spec = find_spec("neuroglancer")
    folder = Path(spec.origin).with_name("static") / "client" if spec and spec.origin else None
    if folder is None or not (folder / "index.html").is_file():
        raise UserError("The client of neuroglancer is not installed: pip install 'clio-argo[viewer]'")
    return folder


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        raise UserError(f"Cannot listen on {LOOPBACK}:{port}: {error}. Choose another port, or 0 for any.") from error


@dataclass(frozen=True)
class _Site:
    """What is served: the URL of the page, the folder of its token, objects by prefix, and sites that may read them.

    The first prefix that a path starts with decides: the volume may lie outside of the run's root.
    """

    link: _Link
    url: str
    base: str
    objects: Mapping[str, Objects]
    origins: tuple[str, ...]
    refused: Callable[[str], object]
    script: str
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    tickets: set[str] = field(default_factory=set)
    told: set[int] = field(default_factory=set)

    def once(self) -> str:
        """A path that leads to the page once."""
        self.tickets.add(ticket := f"/{secrets.token_urlsafe(16)}/")
        return ticket

    @property
    def report(self) -> str | None:
        """The path of the report of the first run, which leads to its slices, if it is there."""
        first = re.compile(f"{re.escape(self.base)}run/[^/]+/")
        # a store that refuses it refuses it again when it is asked for
        with suppress(ClioError):
            for path in filter(first.fullmatch, self.objects):
                if self.objects[path].read(REPORT, 1) is not None:
                    return f"{path}{REPORT}?view"
        return None

    def application(self) -> web.Application:
        application = web.Application(middlewares=[_refuse_other_hosts])
        application.on_response_prepare.append(self._add_headers)
        application.on_shutdown.append(self._end_events)
        application.router.add_get(f"{self.base}{_CLIENT}events/run", self._events, allow_head=False)
        application.router.add_get("/{path:.*}", self._file)
        application.router.add_options("/{path:.*}", self._preflight)
        return application

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """An object, or a redirect to the page: browsers carry the fragment, which holds the state, along."""
        session = self.base + _SESSION
        if request.path == self.base and "z" in request.query:
            return await self._at(request.query["z"])
        short = {self.base: self.url, self.base + _CLIENT: session, **dict.fromkeys(self.tickets, self.url)}
        if location := short.get(request.path):
            self.tickets.discard(request.path)
            return web.Response(status=302, headers={"Location": location})
        prefix = next(filter(request.path.startswith, self.objects), None)
        if prefix is None:
            return web.Response(status=404)
        name = request.path.removeprefix(prefix)
        policy = _REPORT_POLICY % self.script if name == REPORT else _RUN_POLICY
        headers = {"Content-Security-Policy": _CLIENT_POLICY if prefix == session else policy}
        try:
            return await self.objects[prefix].answer(request, name, headers)
        except ClioError as error:
            return self._refusal(error)

    async def _at(self, z: str) -> web.Response:
        """A redirect to the page at a slice."""
        try:
            location = await asyncio.wrap_future(aside(lambda: self.link(int(z))))
        except (UserError, ValueError) as error:
            return web.Response(status=404, text=f"{error}\n")
        except ClioError as error:
            return self._refusal(error)
        return web.Response(status=302, headers={"Location": location})

    def _refusal(self, error: ClioError) -> web.Response:
        """The answer when a store refuses."""
        status = next(status for kind, status in _STATUSES if isinstance(error, kind))
        # a browser asks for many objects that no volume has
        if status != 404 and status not in self.told:
            self.told.add(status)
            self.refused(str(error))
        return web.Response(status=status, text=f"{error}\n")

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
