"""One look at a stack that is recorded: what arrived is measured, fitted to its neighbours and judged."""

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from clio_argo.errors import UserError, printable
from clio_argo.follow.arrivals import Arrivals, Arrived
from clio_argo.follow.judged import Judged
from clio_argo.follow.measure import Found, Measuring, Unusable, find_slices
from clio_argo.follow.place import Placing
from clio_argo.model.alignment import SliceStatistics
from clio_argo.model.base import counted, few
from clio_argo.model.follow import FollowedSlice
from clio_argo.model.plan import SliceFile
from clio_argo.model.request import Request
from clio_argo.model.step import Pipeline
from clio_argo.store.slices import Entry
from clio_argo.store.transfers import is_transfer
from clio_argo.workspace.headers import Known
from clio_argo.workspace.ownership import refuse_newer, take_ownership
from clio_argo.workspace.run import Run, open_run
from clio_argo.workspace.user_inputs import resolved

NUMBERS = re.compile(r"\d+")
# files beside new ones of which a plan is made, so that the new ones are compared with what is usual
AROUND = 64
# of a stack that is there already so many slices, or those of so many seconds, are judged before the page is written
MOST, MOST_S = 64, 10.0


class Look(NamedTuple):
    """What a look found.

    arrived: slices that came. changed: those, and others whose verdict is another one now. waiting: files that are not
    complete yet, and why. notes: what is wrong with the source. more: whether others are there to be judged. moving:
    whether a file is being written. blind: whether the source could not be looked at, or is gone.
    """

    arrived: tuple[FollowedSlice, ...] = ()
    changed: tuple[FollowedSlice, ...] = ()
    waiting: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    more: bool = False
    moving: bool = False
    blind: bool = False


class Watch:
    """A stack that is recorded, from one look to the next."""

    def __init__(self, url: str, request: Request, pipeline: Pipeline) -> None:
        self.store, self._request, self._pipeline = open_run(url), request, pipeline
        self._arrivals, self.judged = Arrivals(request), Judged(self.store)
        self.placing = Placing(self.judged, request)
        # files that are no slices, by name, each with its stamp: only what changes is looked at again
        self._others: dict[str, str] = {}
        self._headers: Known = {}
        self._run: Run | None = None
        self._arrived = Arrived()
        # of the last listing: what is still to be measured, and by whom
        self._queue: deque[SliceFile | Unusable] = deque()
        self._measuring: Measuring | None = None
        self._waiting: tuple[str, ...] = ()
        self._listed_s = 0.0
        # files that are named otherwise than the slices, and what else was noticed in the last listing
        self._strays: set[str] = set()
        self._noticed: tuple[str, ...] = ()

    @property
    def owns_run(self) -> bool:
        """Whether the request has taken or joined the run: before, nothing may be written."""
        return self._run is not None

    def look(self) -> Look:
        """Judge what arrived since the last look. Raises `UserError` if nothing that is there can be used."""
        if not self._queue:
            self._list()
        new, late, twins = list[FollowedSlice](), list[str](), list[str]()
        for one, unfinished in self._measured():
            if twin := self._twin(one):
                twins.append(f"z {one.z}: {printable(twin)} and {printable(min(one.files))} have its number")
                self._others |= one.files
            elif unfinished:
                late.append(f"{printable(min(one.files))}: {unfinished}")
            else:
                new.append(one)
        changed = self.placing.place(new, self.size)
        waiting, notes = (*self._waiting, *late), (*self._noticed, *self._gone(), *twins)
        moving = bool(late) or any(map(self._arrivals.may_grow, self._arrived.young))
        all_gone = bool(self.judged.slices) and self._arrived.gone >= self.judged.files.keys()
        return Look(
            tuple(self.judged.slices[s.z] for s in new), tuple(changed), waiting, notes, bool(self._queue), moving,
            blind=self._arrivals.is_gone or all_gone,
        )  # fmt: skip

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the largest slice in pixels."""
        known = self.judged.state.size
        return (
            (max(known[0], self._measuring.size[0]), max(known[1], self._measuring.size[1]))
            if self._measuring
            else known
        )

    def _list(self) -> None:
        """List the source, and put what is new into the queue."""
        self._arrived = arrived = self._arrivals.list({**self.judged.files, **self._others})
        self._listed_s = time.monotonic()
        self._waiting = tuple(f"{printable(e.name)}: {_why_young(e)}" for e in arrived.young)
        self._strays &= {e.name for e in arrived.entries}
        self._noticed = tuple(self._notice())
        # the first time known files show whether the request is that of the run
        if not arrived.ready and (self.owns_run or not self.judged.slices):
            return
        try:
            found = self._find(arrived)
        except UserError as error:
            # the very first file may not be complete
            strays = self._named_otherwise(arrived.ready)
            if self.judged.slices and strays:
                # slices that come are judged, whatever somebody put beside them
                self._strays |= strays.keys()
                self._others |= strays
                self._list()
            elif self.judged.slices or not any(map(self._arrivals.may_grow, arrived.ready)):
                raise
            else:
                self._waiting = (*self._waiting, str(error))
        else:
            # what is wrong with the run's folder will not pass
            self._take(found, self._own(found))

    def _notice(self) -> Iterator[str]:
        if self._arrivals.is_gone:
            yield f"{self._request.source} is gone"
        if self._strays:
            names = few(sorted(map(printable, self._strays)))
            yield f"{names}: not named as the slices; a run refuses that: move it away, or set `image`"

    def _named_otherwise(self, entries: Sequence[Entry]) -> dict[str, str]:
        """Files that are named as no slice that was judged, whatever their numbers: by name, each with its stamp."""
        usual = {NUMBERS.sub("0", name) for name in self.judged.files}
        return {e.name: e.stamp for e in entries if NUMBERS.sub("0", e.name) not in usual}

    def _find(self, arrived: Arrived) -> Found:
        """The slices of new files, or of all if their numbers are others now."""
        for entry in arrived.ready:
            # a header that is known may be of other content
            self._headers.pop(entry.name, None)
        found = self._survey([*arrived.ready, *self._around(arrived)])
        if self._has_other_numbers(found):
            # a few files may go in other steps than all do
            left_out = self._strays | {e.name for e in arrived.young}
            whole = tuple(e for e in arrived.entries if e.name not in left_out)
            found = self._survey(whole)
            if self._has_other_numbers(found):
                self.judged.clear()
                self._arrived = replace(arrived, ready=whole)
                self._noticed = (*self._noticed, "files have other numbers than before: all slices are judged again")
        return found

    def _take(self, found: Found, run: Run) -> None:
        """Put new files into the queue."""
        ready = {e.name: e.stamp for e in self._arrived.ready}
        slices = [s for s in found.slices if not ready.keys().isdisjoint(s.files)]
        unusable = [u for u in found.unusable if not ready.keys().isdisjoint(u.files)]
        taken = {name for s in slices for name in s.files} | {name for u in unusable for name in u.files}
        self._others |= {name: stamp for name, stamp in ready.items() if name not in taken}
        self._queue.extend((*unusable, *slices))
        self._measuring = Measuring(run.planned(found.plan))

    def _survey(self, entries: Sequence[Entry]) -> Found:
        return find_slices(self._request, self._arrivals.source, entries, self._headers)

    def _has_other_numbers(self, found: Found) -> bool:
        """Whether files of judged slices have other numbers now: by a step of all, or by their place in order."""
        numbers = {name: s.z for s in self.judged for name in s.files}
        return any(numbers.get(name, s.z) != s.z for s in found.slices for name in s.files)

    def _own(self, found: Found) -> Run:
        """The run, which the request takes or joins the first time. Raises `UserError`, `SupersededError`."""
        if self._run is not None:
            self._run.refuse_superseded()
            return self._run
        refuse_newer(self.store, self._pipeline.versions)
        take_ownership(self.store, resolved(self._request, found.plan))
        # the request says where folders lie
        self.store = self.judged.store = open_run(self.store.url)
        self._run = Run(self.store, self._pipeline["reduce"], self._pipeline)
        # read now: what it is compared with later
        self._run.refuse_superseded()
        return self._run

    def _around(self, arrived: Arrived) -> list[Entry]:
        """Known files beside the new ones: the last; all at first, and where their names in order are the numbers."""
        last = self.judged.numbers[-AROUND if self.owns_run and self._request.order == "number" else 0 :]
        names = {name for z in last for name in self.judged.slices[z].files} - {e.name for e in arrived.ready}
        return [e for e in arrived.entries if e.name in names]

    def _measured(self) -> Iterator[tuple[FollowedSlice, str]]:
        """So many of the queue, or those of so many seconds, as they are measured; and what is not complete yet."""
        until, count = time.monotonic() + MOST_S, 0
        while self._queue and self._measuring and count < MOST and time.monotonic() < until:
            one, count = self._queue.popleft(), count + 1
            if isinstance(one, Unusable):
                seen = self._seen(one.statistics, one.files)
                yield seen, "" if one.whole or not self._may_grow(seen) else str(one.statistics.error)
                continue
            statistics, reduced = self._measuring.measure(one)
            if reduced is not None:
                self.placing.keep(one.z, reduced)
            seen = self._seen(statistics, one.files)
            yield seen, self._unfinished(seen)

    def _unfinished(self, one: FollowedSlice) -> str:
        """What a slice lacks that may still come; empty if it is what it will be."""
        if one.statistics.error and (self._may_grow(one) or self._listed_long_ago):
            return one.statistics.error
        # files of other channels come one after the other, in buckets, too
        waits = one.statistics.lost_channels and any(map(self._arrivals.is_young, self._files_of(one)))
        return "; ".join(one.statistics.lost_channels) if waits else ""

    def _seen(self, statistics: SliceStatistics, files: Mapping[str, str]) -> FollowedSlice:
        before = self.judged.slices.get(statistics.z)
        again = before is not None and any(before.files.get(n, stamp) != stamp for n, stamp in files.items())
        return FollowedSlice(
            statistics=statistics, files=dict(files), seen_s=round(time.time(), 1),
            written=before.written + again if before else 1,
        )  # fmt: skip

    def _twin(self, one: FollowedSlice) -> str:
        """The name of another file that has the number of a slice, if it is still there."""
        before = self.judged.slices.get(one.z)
        if before is None or not before.files.keys().isdisjoint(one.files):
            return ""
        return min(before.files.keys() - self._arrived.gone, default="")

    def _may_grow(self, one: FollowedSlice) -> bool:
        """Whether all new files of a slice that cannot be used may still be under way."""
        return all(map(self._arrivals.may_grow, self._files_of(one)))

    def _files_of(self, one: FollowedSlice) -> list[Entry]:
        return [e for e in self._arrived.ready if e.name in one.files]

    @property
    def _listed_long_ago(self) -> bool:
        """Whether a file may have changed since it was listed: the next listing tells."""
        return time.monotonic() - self._listed_s > MOST_S

    def _gone(self) -> Iterator[str]:
        gone = [] if self._arrivals.is_gone else sorted(self._arrived.gone & self.judged.files.keys())
        if gone:
            yield f"{counted(len(gone), 'file')} of judged slices {'is' if len(gone) == 1 else 'are'} gone: {few(gone)}"


def _why_young(entry: Entry) -> str:
    return "a transfer under way" if is_transfer(entry.name) else "just written"
