"""Reads the headers of files: one after the other from a disk, many at once from a store that answers slowly."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from statistics import median

from clio_argo.model.plan import Problem
from clio_argo.store.documents import AT_ONCE
from clio_argo.store.images.base import Header, Unreadable
from clio_argo.store.slices import Entry
from clio_argo.store.sources.base import StackSource

# A bucket answers after tens of milliseconds, a disk after 0.12 ms (10,000 headers in 1.2 s by one thread, in 2.3 s by
# sixteen, docs/design.md). Slower than QUICK_S is a bucket; the first batch tells.
HEADER_BATCH, QUICK_S = 4, 2e-3
Known = dict[str, list[Header] | Problem]
"""Headers of files that were read, by name."""


def all_headers(source: StackSource, entries: Sequence[Entry], read: Known) -> list[list[Header] | Problem]:
    """Headers of all files, in order: by one thread from a disk, by many from a store that answers slowly.

    read: those that are known; it gets the others.
    """
    unread = [e for e in entries if e.name not in read]
    read.update(zip((e.name for e in unread), _read_all(source, unread), strict=True))
    return [read[e.name] for e in entries]


def _read_all(source: StackSource, entries: Sequence[Entry]) -> Iterator[list[Header] | Problem]:
    durations_s = []
    for entry in entries[:HEADER_BATCH]:
        began = time.monotonic()
        headers = headers_of(source, entry)
        durations_s.append(time.monotonic() - began)
        yield headers
    rest = entries[HEADER_BATCH:]
    # a median: the first file of a store also pays for the connection
    if not rest or median(durations_s) < QUICK_S:
        yield from (headers_of(source, e) for e in rest)
        return
    batches = [rest[i : i + HEADER_BATCH] for i in range(0, len(rest), HEADER_BATCH)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield from chain.from_iterable(threads.map(lambda b: [headers_of(source, e) for e in b], batches))


def headers_of(source: StackSource, entry: Entry) -> list[Header] | Problem:
    """Headers of a file, or what is wrong with it."""
    if entry.outside:
        return Problem(kind="outside of the source", file=entry.name, detail=entry.outside)
    if not entry.size_bytes:
        return Problem(kind="zero-byte", file=entry.name)
    try:
        return source.headers(entry)
    except Unreadable as error:
        return Problem(kind="unreadable", file=entry.name, detail=str(error))
