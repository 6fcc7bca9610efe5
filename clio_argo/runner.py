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
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

from clio_argo.errors import BrokenInvariant, ClioError, OutOfMemory, TransientError, UserError, short_of_memory
from clio_argo.kernels import limit_threads
from clio_argo.model.alignment import Transforms
from clio_argo.model.layout import COMPLETE, CONFIG, TRANSFORMS, attempt_name, trace_name
from clio_argo.model.request import REQUEST, Request
from clio_argo.model.run import Attempt, Completion
from clio_argo.model.step import Part, Pipeline, Step, StepResult, load, parts_of
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.run import Run, opened
from clio_argo.workspace.units import peak_mib

# One thread per worker: parallel work is parallel processes. glibc keeps freed memory instead of returning
# it after every image: page faults were a fifth of all CPU time, and half of that of matching.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**26),
    "MALLOC_ARENA_MAX": "1",
}
R = TypeVar("R")
KILLED = 137
NO_MEMORY = (
    "memory does not suffice: use fewer workers or a smaller memory_gib, and run the same command again; "
    "it goes on where it stopped"
)
# what a worker opens at most, by far, and what it cannot do without
FILES, LEAST_FILES = 4096, 128
# another runner of the same request that begins as this one ends takes its last document away
ROUNDS = 3
# Documents hold no cycles; looking for some in ten thousand slices again and again was a tenth of solve.
FEW_COLLECTIONS = (100_000, 20, 100)


class Progress(Protocol):
    """Receives reports of how a local run goes on."""

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        """A stage begins, with these parts to do; `title` says what it does."""

    def part(self, step: str, part: Part, result: StepResult) -> None:
        """One part of a stage is done."""

    def note(self, text: str) -> None:
        """Something happened to the run's folder or buckets."""


class Quiet:
    """Discards all progress reports."""

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None: ...

    def part(self, step: str, part: Part, result: StepResult) -> None: ...

    def note(self, text: str) -> None: ...


def run_step(step: Step, url: str, part: int, pipeline: Pipeline = PIPELINE) -> StepResult:
    """Run one part of one step on the run at `url`, and log the attempt under process/logs."""
    return _attempt(step, url, part, pipeline, lambda run: run.units_of(step, part))


def run_units(step: Step, url: str, units: Sequence[int], pipeline: Pipeline = PIPELINE) -> StepResult:
    """As `run_step`, for some units of a step; logged under the first of them."""
    return _attempt(step, url, units[0], pipeline, lambda _: units)


def _attempt(step: Step, url: str, part: int, pipeline: Pipeline, units: Callable[[Run], Sequence[int]]) -> StepResult:
    limit_threads()
    allow_files()
    gc.set_threshold(*FEW_COLLECTIONS)
    store = opened(url)
    started, clock, cpu = time.time(), time.monotonic(), time.process_time()
    with _explained(step, store, part):
        run = Run(store, step, pipeline)
        result: StepResult = load(step.entry)(run, units(run)) or StepResult()
    attempt = Attempt(
        step=step.name,
        part=part,
        host=socket.gethostname(),
        started=started,
        wall_s=round(time.monotonic() - clock, 3),
        cpu_s=round(time.process_time() - cpu, 3),
        peak_mib=round(peak_mib(), 1),
        done=result.counts.done,
        skipped=result.counts.skipped,
        again=result.counts.again,
    )
    # the first step of a run lays it out
    opened(url).write(attempt_name(step.name, part, int(started * 1000)), attempt.to_bytes())
    return result


@contextmanager
def _explained(step: Step, store: Store, part: int) -> Iterator[None]:
    """Turn what no step expects into an error for people; the trace is kept with the run, once there is one."""
    try:
        yield
    except ClioError:
        raise
    except Exception as error:
        if short_of_memory(error):
            raise OutOfMemory(f"{step.name}, part {part}: {NO_MEMORY}\n  ({error})") from error
        if store.find_document(Request, CONFIG) is None:
            raise
        name = trace_name(step.name, part, time.time_ns() // 1_000_000)
        store.write(name, traceback.format_exc().encode())
        raise BrokenInvariant(
            f"{step.name}, part {part}: {type(error).__name__}: {str(error)[:300]}\n"
            "  a document of the run was changed, or the software is at fault; run the same command again, and if that "
            f"does not help, report what {store.url}{name} says"
        ) from error


def allow_files() -> None:
    """Let this process open as many files as the system lets it. Raises `UserError` if these are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if wanted < LEAST_FILES:
        raise UserError(
            f"only {hard} files may be open at once, {LEAST_FILES} are needed: raise the limit (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(
    config: Request,
    out: str | os.PathLike[str],
    workers: int | None = None,
    progress: Progress | None = None,
    pipeline: Pipeline = PIPELINE,
) -> Completion:
    """Make the volumes of `config` under `out` on this machine; goes on where an earlier run stopped.

    Call it under `if __name__ == "__main__":`, since workers are processes of their own.

    Raises:
        UserError: the request or the source cannot be used; nothing was spent.
        GateStopped: too many slices are flagged; transforms.json tells which.
        ClioError: a store or worker failed; call again to go on.
    """
    for _ in range(ROUNDS):
        store = _run_here(config, out, workers, progress, pipeline)
        if done := store.find_document(Completion, COMPLETE):
            return done
    raise TransientError(f"{os.fspath(out)}: other runners of the same request began again and again; wait for them")


def align(
    config: Request,
    out: str | os.PathLike[str],
    workers: int | None = None,
    progress: Progress | None = None,
    pipeline: Pipeline = PIPELINE,
) -> Transforms:
    """Place all slices and write the report, but no volume: a person can look first, and `run` goes on from there.

    Raises the same errors as `run`; a run that a gate stops has its report, too.
    """
    if pipeline.approval is None:
        raise UserError("the pipeline names no step (approval) that fixes where the slices lie")
    store = _run_here(config, out, workers, progress, pipeline, last=pipeline.approval)
    return store.document(Transforms, TRANSFORMS)


def _run_here(
    config: Request,
    out: str | os.PathLike[str],
    workers: int | None,
    progress: Progress | None,
    pipeline: Pipeline,
    last: str | None = None,
) -> Store:
    refuse_containers(pipeline)
    store, reports = Store(os.fspath(out)), progress or Quiet()
    _make_buckets(config, store.url, reports)
    with _environment({REQUEST: config.model_dump_json()}), worker_pool(workers or _workers(config)) as pool:
        walk(pipeline, store.url, pool, reports, last)
    return store


def _make_buckets(config: Request, url: str, progress: Progress) -> None:
    if config.make_buckets.location is not None:
        # loads OpenCV, which this process needs for nothing else
        from clio_argo.store.roles import prepare

        for done in prepare(config, url):
            progress.note(done)


def refuse_containers(pipeline: Pipeline) -> None:
    """Refuse a pipeline whose steps need a cluster: a container is not run on this machine."""
    if names := [f"{s.name} (image {s.image})" for s in pipeline.steps if not s.entry]:
        raise UserError(
            f"these steps are containers, which only a cluster runs: {', '.join(names)}; "
            "give them an entry (module:function) to run them here too"
        )


def walk(pipeline: Pipeline, url: str, pool: ProcessPoolExecutor, progress: Progress, last: str | None = None) -> None:
    """Run all steps in order, as far as step `last`; what is done already is found done."""
    results: dict[str, StepResult] = {}
    for step in pipeline.until(last) if last else pipeline.steps:
        parts = parts_of(step, results)
        progress.stage(step.name, step.title, parts)
        calls = [partial(_run_part, step, url, part, pipeline) for part in parts]
        for part, result in spread(pool, calls):
            results[step.name] = result
            progress.part(step.name, part, result)


def _run_part(step: Step, url: str, part: Part, pipeline: Pipeline) -> tuple[Part, StepResult]:
    return part, run_step(step, url, part.part, pipeline)


def spread(pool: ProcessPoolExecutor, calls: Iterable[Callable[[], R]]) -> Iterator[R]:
    """Results of calls that the workers do, as they come; after an error no further call begins."""
    with _uninterrupted():  # workers start here
        futures = [pool.submit(call) for call in calls]
    for future in as_completed(futures):
        yield _result(future, futures)


def _result(future: "Future[R]", all_futures: "list[Future[R]]") -> R:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise OutOfMemory(f"a worker process was killed, most likely because {NO_MEMORY}") from error
    finally:
        if future.exception() is not None:
            for other in all_futures:
                other.cancel()


def _workers(config: Request) -> int:
    return config.workers or int(os.environ.get("CLIO_WORKERS", "0")) or cores()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are set up as workers; they start when there is work."""
    allow_files()
    with _environment(WORKER_ENVIRONMENT), _pool(workers) as pool:
        yield pool


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """One pool of processes for the whole run; what has not begun when it fails never begins."""
    before = set(multiprocessing.active_children())
    try:
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent)
    except OSError as error:
        raise ClioError(f"workers need shared memory: /dev/shm must be there and writable ({error})") from error
    try:
        yield pool
    except KeyboardInterrupt:
        # nobody waits for units that are under way: they are done again
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that start meanwhile never see Ctrl-C, which a terminal sends to all: their parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Let this worker end when its parent was killed: nobody would give it work or take its results."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(KILLED)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes that start meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})
