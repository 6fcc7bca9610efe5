"""Which files of a source are new or changed, and which of them are whole, from one listing to the next."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import cast

from clio_argo.errors import UserError
from clio_argo.model.request import Request
from clio_argo.model.span import seconds
from clio_argo.store.documents import Store
from clio_argo.store.slices import RAW, Entry
from clio_argo.store.source_url import find_source
from clio_argo.store.sources import find_kind
from clio_argo.store.sources.base import StackSource
from clio_argo.store.transfers import is_transfer
from clio_argo.workspace.survey import listings

# a file that nobody has written to for so long is tried; what a program writes in pieces comes faster
SETTLE_S = 2.0


@dataclass(frozen=True)
class Arrived:
    """What a listing shows beside what is known.

    entries: all of it. ready: new and changed files that are whole as far as a listing tells. young: others, which may
    be under way. gone: names of known files that are not there any more.
    """

    entries: tuple[Entry, ...] = ()
    ready: tuple[Entry, ...] = ()
    young: tuple[Entry, ...] = ()
    gone: frozenset[str] = frozenset()


class Arrivals:
    """The files of a source, from one listing to the next."""

    def __init__(self, request: Request) -> None:
        self._request = request
        kind, self.source = find_kind(find_source(request.source))
        local = Store(self.source.url).local
        if kind == "volume" or (local is not None and local.is_file()):
            raise UserError(f"source {request.source}: only a folder in which slices arrive as files can be followed")
        # objects of a bucket appear when they are whole
        self._grows, self._folder = local is not None, local
        self._since: dict[tuple[str, str], float] = {}
        self._patience_s = seconds(request.follow.incomplete_after)

    def list(self, known: Mapping[str, str]) -> Arrived:
        """List the source; known: files that were looked at, each with its stamp."""
        entries = tuple(chain.from_iterable(listings(self.source, self._request)))
        now, new = time.monotonic(), [e for e in entries if known.get(e.name) != e.stamp]
        self._since = {(e.name, e.stamp): self._since.get((e.name, e.stamp), now) for e in new}
        whole = {e.name: not is_transfer(e.name) and self._has_settled(e, now) for e in new}
        ready, young = (tuple(e for e in new if whole[e.name] == is_whole) for is_whole in (True, False))
        return Arrived(entries, ready, young, frozenset(known) - {e.name for e in entries})

    def _has_settled(self, entry: Entry, now: float) -> bool:
        # not by the time of the file: clocks of microscopes and file servers differ from this one
        return not self._grows or now - self._since[entry.name, entry.stamp] >= SETTLE_S

    def may_grow(self, entry: Entry) -> bool:
        """Whether a new file that cannot be used may still be under way."""
        return self._grows and self.is_young(entry)

    def is_young(self, entry: Entry) -> bool:
        """Whether it was seen first a short time ago."""
        return time.monotonic() - self._since.get((entry.name, entry.stamp), -math.inf) < self._patience_s

    @property
    def is_gone(self) -> bool:
        """Whether the folder is not there any more."""
        return self._folder is not None and not self._folder.is_dir()


class Chosen:
    """A source of which some entries are seen."""

    def __init__(self, source: StackSource, entries: Iterable[Entry]) -> None:
        self._source, self._entries = source, list(entries)

    @classmethod
    def of(cls, source: StackSource, entries: Iterable[Entry]) -> StackSource:
        """The entries of a source, as a source."""
        return cast(StackSource, cls(source, entries))

    def entries(self, folder: str = "") -> list[Entry]:
        """Those directly in a folder."""
        return [e for e in self._entries if e.name.startswith(folder) and "/" not in e.name[len(folder) :]]

    def below(self) -> list[Entry]:
        """Those in the folders directly below."""
        return [e for e in self._entries if e.name.count("/") == 1 and not e.name.startswith(RAW)]

    def unread(self) -> list[str]:
        """Nothing: what else lies there is not looked at."""
        return []

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)
