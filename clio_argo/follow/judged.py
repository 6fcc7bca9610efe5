"""The slices that were judged so far: in memory, and in the run's store, from which a restart goes on."""

from collections.abc import Iterable, Iterator, Sequence

from clio_argo.model.alignment import PairFit
from clio_argo.model.follow import SLICES_PER_LOG, FollowedSlice, FollowLog, FollowState
from clio_argo.model.layout import FOLLOW_LOG, FOLLOW_STATE, follow_log_name
from clio_argo.store.documents import Store


class Judged:
    """What is known of all slices of a stack that is watched."""

    def __init__(self, store: Store) -> None:
        self.store, self._changed = store, set[int]()
        # slices of a damaged one are judged again
        logs = filter(None, (store.intact(FollowLog, name) for name in store.names(FOLLOW_LOG)))
        self.slices: dict[int, FollowedSlice] = {s.z: s for log in logs for s in log.slices}
        self.state = store.intact(FollowState, FOLLOW_STATE) or FollowState()

    @property
    def numbers(self) -> list[int]:
        """The z of all slices, in order."""
        return sorted(self.slices)

    def __iter__(self) -> Iterator[FollowedSlice]:
        """All slices, by z."""
        return (self.slices[z] for z in self.numbers)

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers between the first and the last slice without one."""
        first, last = min(self.slices, default=0), max(self.slices, default=-1)
        return tuple(z for z in range(first, last + 1) if z not in self.slices)

    @property
    def files(self) -> dict[str, str]:
        """All files of all slices by name, each with what changes when its content does."""
        return {name: stamp for s in self.slices.values() for name, stamp in s.files.items()}

    def fits(self, numbers: Iterable[int]) -> dict[tuple[int, int], PairFit]:
        """The fits of some slices with those below, by z of both."""
        there = set(numbers)
        return {(f.z0, f.z1): f for z in there for f in self.slices[z].fits if f.z0 in there}

    def put(self, *slices: FollowedSlice) -> None:
        """Add slices, or replace them."""
        for one in slices:
            if self.slices.get(one.z) != one:
                self.slices[one.z] = one
                self._changed.add(one.z // SLICES_PER_LOG)

    def clear(self) -> None:
        """Forget all slices: their files have other numbers now."""
        self._changed |= {z // SLICES_PER_LOG for z in self.slices}
        self.slices.clear()

    def add_fits(self, fits: Sequence[PairFit]) -> None:
        """Add fits of slices with those below, or replace them."""
        for fit in fits:
            one = self.slices[fit.z1]
            others = tuple(f for f in one.fits if f.z0 != fit.z0)
            self.put(one.model_copy(update={"fits": (*others, fit)}))

    def save(self, **state: object) -> None:
        """Write what changed, and how watching stands."""
        for number in sorted(self._changed):
            stretch = range(number * SLICES_PER_LOG, (number + 1) * SLICES_PER_LOG)
            log = FollowLog(slices=tuple(self.slices[z] for z in stretch if z in self.slices))
            self.store.write(follow_log_name(number), log.to_bytes())
        self._changed.clear()
        self.state = self.state.model_copy(update=state)
        self.store.write(FOLLOW_STATE, self.state.to_bytes())
