"""Checks of a source and of a run's store: every operation that a run performs, on a probe object."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from clio_argo.cli.findings import Finding, Inconclusive, look
from clio_argo.errors import BrokenVolume, ClioError, MissingInput, UserError
from clio_argo.model.base import counted
from clio_argo.model.layout import TEMPORARY
from clio_argo.store.documents import Store, split_url
from clio_argo.store.web_pages import PRIVATE, asked, refused_to_pages
from clio_argo.viewer.url import PUBLIC_HOST

if TYPE_CHECKING:
    from clio_argo.store.slices import Entry
    from clio_argo.store.sources.base import StackSource

# tokens and signatures of clouds are refused after minutes
SKEW_S = 60
# of a listing of a million objects, which comes in pages of a thousand
LISTING_S = 120.0
PROBE = bytes(range(256))  # every value, so that a store or proxy that recodes text shows
REACH = "look at the name, at the credentials of this account, and at the network"
SET_CLOCK = "set the clock, for example by NTP"
CORS = "let the bucket answer browsers: allow GET with the header Range for any origin (clio-argo bucket cors NAME)"


def look_at_source(url: str) -> Iterator[Finding]:
    """Check that slices can be listed and read."""
    first: list[tuple[StackSource, Entry]] = []
    yield look(f"source {url}: list", lambda: _list_images(url, first), REACH, LISTING_S)
    if first:
        yield look(f"source {url}: read", lambda: _headers(*first[0]), REACH)


def _list_images(url: str, first: "list[tuple[StackSource, Entry]]") -> str:
    """The number of images; the first of them goes into `first`."""
    from clio_argo.store.source_url import find_source
    from clio_argo.store.sources import open_source
    from clio_argo.store.transfers import is_transfer

    source = open_source(find_source(url))
    images = [e for e in source.entries() if not is_transfer(e.name)]
    if not images:
        what = "; ".join(source.unread()[:5]) or "check the name, slices may be in a folder of it"
        raise MissingInput(f"{source.url}: holds no images; {what}")
    first.append((source, images[0]))
    return counted(len(images), "image")


def _headers(source: "StackSource", entry: "Entry") -> str:
    from clio_argo.store.images.base import Unreadable

    try:
        header = source.headers(entry)[0]
    except Unreadable as error:
        raise UserError(f"{entry.name}: {error}") from error
    kind = header.type_name or f"{header.bits} bit"
    return f"{entry.name} has {header.width} x {header.height} pixels of {kind}"


def look_at_run(url: str) -> Iterator[Finding]:
    """Check every operation on a probe object, what browsers need, and the store's clock."""
    store, probe = Store(url), f"{TEMPORARY}/doctor-{uuid4().hex}"
    written = look(f"{url}: write", lambda: _written(store, probe), REACH)
    yield written
    yield look(f"{url}: list", lambda: counted(len(store.names("tmp")), "temporary object"), REACH)
    if written.verdict == "ok":
        yield from _look_at_probe(store, probe, url)


def _look_at_probe(store: Store, probe: str, url: str) -> Iterator[Finding]:
    yield look(f"{url}: read", lambda: _same(store, probe, store.read(probe) or b"", PROBE), REACH)
    yield look(f"{url}: read a range", lambda: _same(store, probe, store.read_range(probe, 7, 9), PROBE[7:9]))
    if address := store.web_address(probe):
        yield look(f"{url}: browsers", lambda: _open_to_pages(url, address), CORS)
        yield look(f"{url}: clock", lambda: clock(_time_of(address)), SET_CLOCK)
    yield look(f"{url}: delete", lambda: _deleted(store, probe), REACH)


def _written(store: Store, probe: str) -> str:
    store.write(probe, PROBE)
    return "a probe object was written"


def _same(store: Store, probe: str, data: bytes, expected: bytes) -> str:
    if data != expected:
        raise BrokenVolume(f"{store.url}{probe}: {len(data)} bytes were read that are not those written")
    return "as it was written"


def _deleted(store: Store, probe: str) -> str:
    store.delete(probe)
    if store.read(probe) is not None:
        raise BrokenVolume(f"{store.url}{probe}: was deleted, and is still there")
    return "the probe object is gone"


def location(url: str) -> str:
    """Where a bucket lies, as its store says itself."""
    if place := Store(url).location():
        return place
    raise Inconclusive(f"{url}: the store does not tell this account where it is")


def _open_to_pages(url: str, address: str) -> str:
    """Ask as a page does; of a private bucket, whose objects tell a stranger nothing, look at its rules."""
    try:
        return readable_by_pages(address)
    except Inconclusive:
        if url.startswith("gs://") and not _rules_of(url):
            name = split_url(url)[1]
            raise UserError(f"bucket {name} has no CORS rule: viewers of those who may read it stay empty") from None
        raise


def _rules_of(url: str) -> bool:
    """Whether a bucket has rules for pages of other sites, or does not show them to this account."""
    from clio_argo.store.buckets import Bucket

    try:
        return Bucket(split_url(url)[1]).allows_pages()
    except ClioError:
        return True


def readable_by_pages(url: str) -> str:
    """Read a part of an object as neuroglancer's page does."""
    if reason := refused_to_pages(url, PUBLIC_HOST):
        raise (Inconclusive if reason == PRIVATE else UserError)(reason)
    return "neuroglancer's page may read it"


def clock(date: str | None) -> str:
    """How far this clock is from a server's, which sends its time in the header Date of every answer."""
    if not date:
        raise Inconclusive("the server sends no time")
    ahead_s = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    if abs(ahead_s) > SKEW_S:
        side = "ahead of" if ahead_s > 0 else "behind"
        raise UserError(f"this clock is {abs(ahead_s):.0f} s {side} the server's")
    return f"within {max(1, abs(round(ahead_s)))} s of the server's"


def _time_of(url: str) -> str | None:
    return asked(url).headers.get("Date")
