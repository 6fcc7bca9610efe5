"""Looks at a stack that is recorded again and again, until nothing came for as long as the request says."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from clio_argo.errors import ClioError, SupersededError, TransientError, UserError
from clio_argo.follow.tell import MOST_PICTURES, picture, send
from clio_argo.follow.watch import Look, Watch
from clio_argo.model.base import counted
from clio_argo.model.follow import FollowedSlice
from clio_argo.model.layout import FOLLOW_PAGE, follow_picture_name
from clio_argo.model.parse_request import from_environment
from clio_argo.model.request import Request
from clio_argo.model.span import seconds
from clio_argo.model.step import Counts, Pipeline, StepResult
from clio_argo.report.follow import FollowPage, follow_html
from clio_argo.workspace.run import Run

# a file that was written to a moment ago is looked at again so soon
SOON_S = 2.5
# slices may arrive in another order than that of their numbers: a gap is told after so many looks
MISSING_LOOKS = 3
# what is wrong with the names of so few slices will not pass
FEW = 3
STALLED = "stalled"
Say = Callable[[str], None]


def run(run: Run, units: Sequence[int]) -> StepResult:  # noqa: ARG001, a step without parts
    """Follow the source of the request until nothing comes any more; what a pod does.

    The request comes from the environment, as that of the step that plans.
    """
    request = from_environment(os.environ) or run.request
    judged = Following(run.store.url, request, run.pipeline, print).until_idle()
    return StepResult(counts=Counts(done=len(judged)), note=summary(judged))


def summary(judged: Sequence[FollowedSlice]) -> str:
    """How many slices were judged, how many are not good, and how many are missing between them."""
    missing = judged[-1].z - judged[0].z + 1 - len(judged) if judged else 0
    wrong = sum(bool(s.wrong) for s in judged)
    return f"{counted(len(judged), 'slice')} judged, {wrong} to be looked at, {missing} missing"


class Following:
    """A stack that is recorded, and those who want to know of it.

    say: gets a line for each slice that is not good, and for what happens to the source.
    """

    def __init__(self, url: str, request: Request, pipeline: Pipeline, say: Say) -> None:
        self._request, self._say, self._settings = request, say, request.follow
        self._watch = Watch(url, request, pipeline)
        state = self._watch.judged.state
        # one that had ended begins anew: slices may come again
        self._idle_s = self._still_s = 0.0 if state.ended else state.idle_s
        self._looked, self._undelivered = time.monotonic(), ""
        self._said: set[str] = set()
        self._gaps: dict[int, int] = {}

    @property
    def page(self) -> str:
        """The page, as a path or URL."""
        store = self._watch.store
        return str(store.local / FOLLOW_PAGE) if store.local is not None else store.url_of(FOLLOW_PAGE)

    def until_idle(self) -> list[FollowedSlice]:
        """Look until no slice came for `until_idle`; returns all that were judged, by z.

        Raises:
            UserError: the source or the request cannot be used, and nothing was judged.
            SupersededError: another request has taken over the run's folder.
        """
        every_s = seconds(self._settings.every)
        look = self.look()
        while look.more or not self.has_ended:
            if not look.more:
                time.sleep(min(SOON_S, every_s) if look.waiting else every_s)
            look = self.look()
        return list(self._watch.judged)

    @property
    def has_ended(self) -> bool:
        """Whether no slice came for `until_idle`."""
        return self._idle_s >= seconds(self._settings.until_idle)

    def look(self) -> Look:
        """Look once, and tell what was found. Raises as `until_idle`."""
        look = self._look()
        self._count_idle(look)
        good_now = (f"{s.text} now" for s in look.changed if s.told and not s.wrong)
        self._say_new((*(s.text for s in look.changed if s.wrong), *good_now, *look.notes))
        if self._watch.owns_run:
            self._record(look)
        return look

    def _look(self) -> Look:
        try:
            return self._watch.look()
        except SupersededError:
            raise
        except ClioError as error:
            # what could be used before may be so again: a share that is not mounted, a store that does not answer
            few_came = isinstance(error, UserError) and len(self._watch.judged.slices) < FEW
            if few_came or not self._watch.owns_run:
                raise
            return Look(notes=(f"this look failed: {error}",), blind=True)

    def _count_idle(self, look: Look) -> None:
        # by a clock that nobody sets
        now = time.monotonic()
        passed_s, self._looked = now - self._looked, now
        if look.arrived or look.moving:
            self._idle_s = self._still_s = 0.0
        else:
            # a source that is away is not complete, but people should know
            self._idle_s, self._still_s = self._idle_s + (0.0 if look.blind else passed_s), self._still_s + passed_s

    def _say_new(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line not in self._said:
                self._said.add(line)
                self._say(line)

    def _record(self, look: Look) -> None:
        """Tell people, write the page, and record how watching stands."""
        judged, missing = self._watch.judged, self._watch.judged.missing
        for one in look.changed:
            if one.wrong:
                self._watch.store.write(follow_picture_name(one.z), self._picture(one.z))
        try:
            told, notes = self._tell(missing, look.notes)
        except TransientError as error:
            told, notes = judged.state.told, (str(error),)
        judged.save(
            idle_s=round(self._idle_s, 1), looked_s=round(time.time(), 1), waiting=look.waiting, missing=missing,
            notes=(*look.notes, *notes), size=self._watch.size, told=told, ended=self.has_ended,
        )  # fmt: skip
        self._write_page()

    def _tell(self, missing: Sequence[int], wrong: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Notify people of what they were not told. What else than slices they know then, and why they do not."""
        judged, wanted = self._watch.judged, set(self._settings.notify_on)
        slices = [s for s in judged if s.wrong.keys() & wanted - set(s.told)]
        others = {key: line for key, line in self._others(missing, wrong).items() if line[0] in wanted}
        lines = [*((next(iter(s.wrong)), s.text) for s in slices),
                 *(line for key, line in others.items() if key not in judged.state.told)]  # fmt: skip
        shown = sorted(slices, key=lambda s: -s.z)[:MOST_PICTURES]
        self._say_new(text for key, (_, text) in others.items() if key not in judged.state.told)
        if lines:
            pictures = {f"{s.z}.png": self._picture(s.z) for s in shown}
            self._undelivered = send(self._request, self._watch.store.url, lines, pictures)
        judged.put(*(s.model_copy(update={"told": (*s.told, *s.wrong)}) for s in slices))
        # what nobody was told stays on the page
        return tuple(others), (self._undelivered,) if self._undelivered else ()

    def _others(self, missing: Sequence[int], wrong: Sequence[str]) -> dict[str, tuple[str, str]]:
        """What is wrong besides slices that came: by a key, the kind and a line. wrong: with the source."""
        self._gaps = {z: self._gaps.get(z, 0) + 1 for z in missing}
        told = self._watch.judged.state.told
        old = {f"missing {z}": z for z, looks in self._gaps.items() if looks >= MISSING_LOOKS or f"missing {z}" in told}
        gaps = {key: ("missing", f"z {z}: missing") for key, z in old.items()}
        if self._still_s < seconds(self._settings.stalled_after):
            return gaps
        why = "; ".join([f"no slice came for {self._settings.stalled_after}", *wrong])
        return {**gaps, STALLED: (STALLED, why)}

    def _picture(self, z: int) -> bytes:
        below = [n for n in self._watch.judged.numbers if n < z][-2:]
        return picture([self._watch.placing.reduced(n) for n in (*below, z)])

    def _write_page(self) -> None:
        judged, store = self._watch.judged, self._watch.store
        page = FollowPage(
            id=self._request.id, source=self._request.source, run=store.url, version=version("clio-argo"),
            slices=list(judged), state=judged.state, refresh_s=max(1, round(seconds(self._settings.every))),
            pictures={s.z: follow_picture_name(s.z) for s in judged if s.wrong},
        )  # fmt: skip
        store.write(FOLLOW_PAGE, follow_html(page).encode())
