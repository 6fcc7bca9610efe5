"""Runs steps: one part of one step (what a container does), or a whole pipeline on this machine."""

import gc
import multiprocessing
import os
import resource
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, pairwise
from typing import Protocol, TypeVar

from clio_argo.errors import (
    BrokenInvariant,
    ClioError,
    OutOfMemory,
    SupersededError,
    TransientError,
    UserError,
    first_words,
    short_of_memory,
)
from clio_argo.kernels import limit_threads
from clio_argo.model.alignment import Transforms
from clio_argo.model.costs import Estimate
from clio_argo.model.layout import COMPLETE, CONFIG, ESTIMATE, TRANSFORMS, trace_name
from clio_argo.model.reference import load
from clio_argo.model.request import REQUEST, Request
from clio_argo.model.run import Attempt, Completion
from clio_argo.model.step import Part, Pipeline, Step, StepResult, parts_of
from clio_argo.pipeline import PIPELINE
from clio_argo.plugins import refuse_containers, refuse_unknown
from clio_argo.store.documents import Store
from clio_argo.workspace.began import refuse_another
from clio_argo.workspace.logs import log_attempt
from clio_argo.workspace.run import Run, open_run
from clio_argo.workspace.units import SHARE, peak_mib, report_progress

# One thread per worker: parallel work is parallel processes. glibc keeps freed memory instead of returning it after
# every image: a fit of two 5000 x 5000 slices took 0.14 instead of 0.25 CPU s (docs/design.md).
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**26),
    "MALLOC_ARENA_MAX": "1",
}
R = TypeVar("R")
KILLED = 137  # 128 + SIGKILL, as shells and Kubernetes report it
NO_MEMORY = (
    "not enough memory: use fewer workers or a smaller memory_gib, and run the same command again; "
    "it goes on where it stopped"
)
# So many workers import while the first one plans; small stacks need no more.
SOONER = 4
# Far more than a worker opens at most, and what it cannot work without.
FILES, LEAST_FILES = 4096, 128
# Another runner of the same request that begins as this one ends deletes complete.json. Once is chance.
ROUNDS = 3
# of a step among others, so that the progress of all moves with each
LEAST_S = 0.1
# Documents hold no cycles. Looking for some in ten thousand slices again and again was a tenth of solve.
FEW_COLLECTIONS = (100_000, 20, 100)


class Progress(Protocol):
    """Receives progress reports of a local run."""

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        """Report that a stage begins, what it does (`title`), and its parts."""

    def part(self, step: str, part: Part, result: StepResult) -> None:
        """Report that one part of a stage has ended."""

    def note(self, text: str) -> None:
        """Report a change of the run's folder or buckets."""


class NoProgress:
    """Discards all progress reports."""

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        """Discard it."""

    def part(self, step: str, part: Part, result: StepResult) -> None:
        """Discard it."""

    def note(self, text: str) -> None:
        """Discard it."""


def run_step(
    step: Step, url: str, part: int, pipeline: Pipeline = PIPELINE, units: Sequence[int] | None = None
) -> StepResult:
    """Run one part of a step on the run at `url`, and log the attempt under process/logs if the step may write there.

    units: run these instead of the units of the part.
    """
    limit_threads()
    allow_files()
    gc.set_threshold(*FEW_COLLECTIONS)
    store = open_run(url)
    started, clock, cpu = time.time(), time.monotonic(), time.process_time()
    run = Run(store, step, pipeline)
    with _explain_errors(run, part):
        if pipeline.may_write(step) and not pipeline.begins_with(step):
            refuse_another(run)
        result = _called(run, run.units_of(step, part) if units is None else units)
    attempt = Attempt(
        step=step.name, part=part, host=socket.gethostname(), started=started,
        wall_s=round(time.monotonic() - clock, 3), cpu_s=round(time.process_time() - cpu, 3),
        peak_mib=round(peak_mib(), 1),
        **result.counts.model_dump(include={"done", "skipped", "again"}),
    )  # fmt: skip
    # opened again: `plan` wrote the request, which says where folders lie
    store = open_run(url)
    if pipeline.may_write(step) and has_run(store, step):
        log_attempt(store, attempt)
    return result


def _called(run: Run, units: Sequence[int]) -> StepResult:
    result = load(run.step.entry)(run, units) or StepResult()
    if not isinstance(result, StepResult):
        raise UserError(f"{run.step.entry} returned {result!r:.40}; return a StepResult")
    return result


def has_run(store: Store, step: Step) -> bool:
    """Whether there is a run to write to when a step has ended: of a stack that is followed no slice may have come."""
    return not step.endless or store.read(CONFIG) is not None


def run_steps(step: Step, url: str, part: int, pipeline: Pipeline = PIPELINE) -> Iterator[tuple[Step, StepResult]]:
    """Run a part of a step, or all units of each that a joined step stands for; each with its result, as it ends."""
    if not step.steps:
        yield step, run_step(step, url, part, pipeline)
        return
    for one, (begin, end) in zip(map(pipeline.__getitem__, step.steps), _shares(step, open_run(url)), strict=True):
        with environment({SHARE: f"{begin} {end}"}):
            report_progress(0, 1)
            if units := Run(open_run(url), one, pipeline).unit_numbers(one):
                yield one, run_step(one, url, part, pipeline, units)
            report_progress(1, 1)


def _shares(joined: Step, store: Store) -> list[tuple[int, int]]:
    """Where each of its steps begins and ends, in percent of the CPU time that they are expected to take."""
    expected = store.intact(Estimate, ESTIMATE)
    taken = {s.step: s.cpu_s for s in expected.stages} if expected else {}
    # nobody knows what a step of one's own takes
    ends = [0.0, *accumulate(taken.get(name, 0.0) + LEAST_S for name in joined.steps)]
    return list(pairwise(round(100 * end / ends[-1]) for end in ends))


@contextmanager
def _explain_errors(run: Run, part: int) -> Iterator[None]:
    """Turn an unexpected exception into an error for people, and write its trace to process/traces."""
    step, store = run.step, run.store
    try:
        yield
    except ClioError:
        raise
    except Exception as error:
        if short_of_memory(error):
            raise OutOfMemory(f"{step.name}, part {part}: {NO_MEMORY}\n  ({error})") from error
        # no document of a run can be at fault where there is none: the trace is shown
        if not run.pipeline.may_write(step) or store.find_document(Request, CONFIG) is None:
            raise
        name = trace_name(step.name, part)
        store.write(name, traceback.format_exc().encode())
        raise BrokenInvariant(
            f"{step.name}, part {part}: {type(error).__name__}: {first_words(str(error), 300)}\n"
            "  a document of the run was changed, or this is an error of the software; run the same command again, and "
            f"if that does not help, report it with {store.url}{name}"
        ) from error


def allow_files() -> None:
    """Raise this process's limit of open files as far as needed. Raises `UserError` if the system allows too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if limit < LEAST_FILES:
        raise UserError(
            f"only {hard} files may be open at once, {LEAST_FILES} are needed: raise the limit (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def run(
    request: Request,
    out: str | os.PathLike[str],
    workers: int | None = None,
    progress: Progress | None = None,
    pipeline: Pipeline = PIPELINE,
) -> Completion:
    """Make the volumes of `request` under `out` on this machine, or go on where an earlier run stopped.

    Call it under `if __name__ == "__main__":`, since workers are spawned processes, which import the main module.

    Raises:
        UserError: the request or the source cannot be used; nothing was spent.
        GateStopped: too many slices are flagged; transforms.json lists them.
        ClioError: a store or a worker failed; call again to go on.
    """
    for _ in range(ROUNDS):
        store = _run_here(request, out, workers, progress, pipeline)
        if done := store.find_document(Completion, COMPLETE):
            return done
    raise TransientError(f"{os.fspath(out)}: other runners of the same request began again and again; wait for them")


def align(
    request: Request,
    out: str | os.PathLike[str],
    workers: int | None = None,
    progress: Progress | None = None,
    pipeline: Pipeline = PIPELINE,
) -> Transforms:
    """Place all slices and write the report, but no volume, so that a person can look; `run` goes on from there.

    Raises the same errors as `run`. A run that a gate stops has its report, too.
    """
    if pipeline.approval is None:
        raise UserError("the pipeline names no step (approval) that fixes where the slices lie")
    store = _run_here(request, out, workers, progress, pipeline, last=pipeline.approval)
    return store.document(Transforms, TRANSFORMS)


def _run_here(
    request: Request,
    out: str | os.PathLike[str],
    workers: int | None,
    progress: Progress | None,
    pipeline: Pipeline,
    last: str | None = None,
) -> Store:
    refuse_containers(pipeline)
    refuse_unknown(pipeline, request)
    store, reports = Store(os.fspath(out)), progress or NoProgress()
    if request.make_buckets.location is not None:
        # imported here: it loads OpenCV, which this process needs for nothing else
        from clio_argo.workspace.buckets import claim_with_buckets

        for note in claim_with_buckets(request, store, pipeline.versions):
            reports.note(note)
    count = workers or workers_of(request)
    with environment({REQUEST: request.model_dump_json()}), worker_pool(count) as pool:
        with _block_interrupts():
            for _ in range(min(count, SOONER) - 1):
                pool.submit(import_steps, pipeline)
        walk(pipeline, store.url, pool, reports, last)
    return store


def import_steps(pipeline: Pipeline) -> None:
    """Import what the steps of a pipeline need, which takes a second."""
    for step in pipeline.steps:
        load(step.entry)


def walk(pipeline: Pipeline, url: str, pool: ProcessPoolExecutor, progress: Progress, last: str | None = None) -> None:
    """Run all steps in order, up to and including step `last`. Raises `SupersededError`."""
    # from the first step in any case: each finds its finished units by their records, and there is no other state
    results: dict[str, StepResult] = {}
    owner: Request | None = None
    for step in pipeline.until(last) if last else pipeline.steps:
        parts = parts_of(step, results)
        progress.stage(step.name, step.title, parts)
        calls = [partial(run_part, step, url, pipeline, part) for part in parts]
        for part, result in spread(pool, calls):
            results[step.name] = result
            progress.part(step.name, part, result)
        owner = _still_owned(url, owner)


def _still_owned(url: str, owner: Request | None) -> Request | None:
    """The run's request, which must be that of `owner`, if there was one. Raises `SupersededError`."""
    found = Store(url).intact(Request, CONFIG)
    # units that begin after `--update` elsewhere do the work of the other request, which is not what was asked for here
    if owner and found and found.identity() != owner.identity():
        raise SupersededError.of(f"{url}{CONFIG}")
    return found


def run_part(
    step: Step, url: str, pipeline: Pipeline, part: Part, units: Sequence[int] | None = None
) -> tuple[Part, StepResult]:
    """Run one part, as `run_step` does, and return it with its result."""
    return part, run_step(step, url, part.part, pipeline, units)


def spread(pool: ProcessPoolExecutor, calls: Iterable[Callable[[], R]]) -> Iterator[R]:
    """Results of calls made by the workers, in the order of their completion; after an error no further call begins."""
    # workers start when they get their first call
    with _block_interrupts():
        futures = [pool.submit(call) for call in calls]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise OutOfMemory(f"a worker process was killed, most likely because there was {NO_MEMORY}") from error
    except ClioError as error:
        # for people, who need no trace of a worker
        raise error from None
    finally:
        for future in futures:
            future.cancel()


def workers_of(request: Request) -> int:
    """Worker processes of a local run."""
    return request.workers or int(os.environ.get("CLIO_WORKERS", "0")) or cores()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes with the environment of workers; calls that wait when one fails never begin."""
    allow_files()
    # Spawned, since OpenCV and tensorstore hold threads, which a fork would not copy. One pool: each start costs a
    # worker a second of imports.
    before = set(multiprocessing.active_children())
    try:
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent)
    except OSError as error:
        raise ClioError(f"workers need shared memory: /dev/shm must be there and writable ({error})") from error
    try:
        with environment(WORKER_ENVIRONMENT):
            yield pool
    except KeyboardInterrupt:
        # a unit that was under way is rerun: its record is written last
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _block_interrupts() -> Iterator[None]:
    """Processes that start meanwhile never get SIGINT. A terminal sends Ctrl-C to all; the parent ends its workers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """End this worker when its parent was killed, which would leave it waiting for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(KILLED)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes that start meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})
