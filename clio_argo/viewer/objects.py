"""Answers requests for objects by name: for files of a folder, and for objects of a store that lies elsewhere.

Ranges are read as RFC 9110 section 14.2 says, alike for both. Of a store only what is asked for is read, with the
credentials of this process, and nothing of it is kept on disk unless a cache is given.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from mimetypes import guess_type
from pathlib import Path
from typing import Protocol

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from clio_argo.errors import ClioError, UserError
from clio_argo.model.base import digest
from clio_argo.model.layout import INFO
from clio_argo.store.backends.base import Listed
from clio_argo.store.documents import Store
from clio_argo.store.waiting import aside

_ONE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)", re.ASCII | re.IGNORECASE)
# of an object of a store that is asked for whole: few pieces, and little memory
_PIECE = 8 << 20


class Objects(Protocol):
    """Objects below one folder, by the decoded path of a URL."""

    def read(self, name: str, most: int) -> bytes | None:
        """At most the first `most` bytes of an object; None if there is none. Raises `UserError` or a store's error."""

    async def answer(self, request: web.Request, name: str, headers: Mapping[str, str], /) -> web.StreamResponse:
        """An object or a part of it, with these headers; 404 if there is none. Raises the errors of its store."""


@dataclass(frozen=True)
class Folder:
    """Files of this machine."""

    path: Path

    def __str__(self) -> str:
        """Where it is."""
        return str(self.path)

    def read(self, name: str, most: int) -> bytes | None:
        """As `Objects.read`."""
        file = find_file(self.path, name)
        try:
            return _first_bytes(file, most) if file else None
        except OSError as error:
            raise UserError(f"No viewer volume to show: {file}: {error.strerror}.") from error

    async def answer(self, _: web.Request, name: str, headers: Mapping[str, str]) -> web.StreamResponse:
        """As `Objects.answer`."""
        file = find_file(self.path, name or "index.html")
        if file is None:
            return web.Response(status=404)
        return _FileResponse(file, headers={**headers, "Content-Type": content_type(file.name)})


@dataclass(frozen=True)
class Remote:
    """Objects of a store elsewhere.

    cache: where what was read is kept for another time, by object and range.
    only: the one object that is served; None: all are.
    """

    store: Store
    cache: Store | None = None
    only: str | None = None
    _found: dict[str, Listed] = field(default_factory=dict)

    def __str__(self) -> str:
        """Where it is."""
        return self.store.url.rstrip("/")

    def read(self, name: str, most: int) -> bytes | None:
        """As `Objects.read`."""
        found = self._look_up(name) if self._serves(name) else None
        return self.store.read_range(name, 0, min(most, found.size)) if found else None

    async def answer(self, request: web.Request, name: str, headers: Mapping[str, str]) -> web.StreamResponse:
        """As `Objects.answer`."""
        asked = one_range(request)
        found = await self._find(name, _end(asked)) if self._serves(name) else None
        if found is None:
            return web.Response(status=404)
        part = "Range" in asked.headers
        span = _span(asked, found.size)
        if part and not span:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{found.size}"})
        more = {"Accept-Ranges": "bytes", "Content-Length": str(len(span)), "Content-Type": content_type(name)}
        response = web.StreamResponse(status=206 if part else 200, headers={**headers, **more})
        if part:
            response.headers["Content-Range"] = f"bytes {span[0]}-{span[-1]}/{found.size}"
        return await self._send(request, response, found, span[:0] if request.method == "HEAD" else span)

    def _serves(self, name: str) -> bool:
        return _is_plain(name) and name == (self.only or name)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, found: Listed, span: range
    ) -> web.StreamResponse:
        """Send the bytes piece by piece; the first is read before anything is promised."""
        first = await self._read(found, span[:_PIECE])
        await response.prepare(request)
        try:
            await response.write(first)
            for begin in range(_PIECE, len(span), _PIECE):
                await response.write(await self._read(found, span[begin : begin + _PIECE]))
        except ClioError:
            # the reader learns by the end of the connection that bytes are missing
            if request.transport:
                request.transport.abort()
        return response

    async def _find(self, name: str, end: float) -> Listed | None:
        """An object with its size, which is asked for unless `end` lies within the one that is known."""
        if (known := self._found.get(name)) and end <= known.size:
            return known
        if found := await asyncio.wrap_future(aside(lambda: self._look_up(name))):
            self._found[name] = found
        return found

    def _look_up(self, name: str) -> Listed | None:
        # the first of all names that begin with it
        found = next(self.store.objects(name, flat=True), None)
        return found if found and found.name == name else None

    async def _read(self, found: Listed, span: range) -> bytes:
        """The bytes of a span. Raises `MissingInput` if the object is gone, or the store's error."""
        if not span:
            return b""
        key = digest([self.store.url, found.name, found.stamp, span.start, span.stop])
        # a cache that fails costs time, and nothing else
        with suppress(ClioError):
            if self.cache and len(kept := self.cache.read(key) or b"") == len(span):
                return kept
        try:
            data = await self.store.fetch(found.name, span.start, span.stop)
        except ClioError:
            # it may have another size by now
            self._found.pop(found.name, None)
            raise
        if cache := self.cache:
            with suppress(ClioError):
                await asyncio.wrap_future(aside(lambda: cache.write(key, data)))
        return data


def one_range(request: web.BaseRequest) -> web.BaseRequest:
    """The request with its `Range` if that is one range of bytes that counts, in the form that aiohttp understands.

    aiohttp serves a range to HEAD, refuses several ranges and other units instead of ignoring them, takes an
    `If-Range` with an ETag for a match, and `bytes=-0` for the whole file; `bytes=-` gets the 416 that is due then.
    """
    headers = request.headers.copy()
    ranges = headers.pop("Range", "")
    if request.method == "GET" and "If-Range" not in headers and _ONE_RANGE.fullmatch(ranges):
        headers["Range"] = re.sub("=-0+$", "=-", ranges)
    return request.clone(headers=headers)


def _span(request: web.BaseRequest, size: int) -> range:
    """The bytes that a request asks for; none if its range lies outside of the object."""
    try:
        return range(size)[request.http_range]
    except ValueError:
        return range(0)


def _end(request: web.BaseRequest) -> float:
    """Where the range of a request ends; infinite if that depends on the size of the object."""
    try:
        stop: int | None = request.http_range.stop
    except ValueError:
        stop = None
    return inf if stop is None else stop


class _FileResponse(web.FileResponse):
    """A file whose `Range` is read by `one_range`."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return await super().prepare(one_range(request))


def find_file(folder: Path, name: str) -> Path | None:
    """The regular file `name` (a decoded URL path) below `folder`, or None.

    The file lies below `folder` even after all symbolic links are followed.
    """
    try:
        file = (folder / name).resolve(strict=True)
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except (OSError, RuntimeError, ValueError):  # absent, a loop of links, a name that no file can have
        return None


def _first_bytes(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(most)


def _is_plain(name: str) -> bool:
    """Whether a name means the object of this name below its folder in every store."""
    return name.isprintable() and not {"", ".", ".."} & set(name.split("/"))


def content_type(name: str) -> str:
    """The media type by the suffix; the metadata of a precomputed volume has none."""
    kind = "application/json" if name == INFO else guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
