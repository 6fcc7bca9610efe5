"""What a machine or pod can do for a run: its threads, its disk, and the store."""

import os
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from clio_argo.errors import BrokenVolume, ClioError
from clio_argo.store.documents import Store

TASKS = Path("/proc/self/task")
LIBRARIES = ("numpy", "opencv-python-headless", "tensorstore")


def examine(run: str | None) -> Iterator[tuple[str, str, bool]]:
    """(what was looked at, what was found, whether it is right) of every check.

    run: where a run may write; an object is written there, read and deleted.
    """
    yield _try("libraries", _libraries)
    yield _try("threads", _threads)
    yield _try("temporary files", _temporary)
    if run:
        yield _try(run, lambda: _store(run))


def _try(name: str, check: Callable[[], str]) -> tuple[str, str, bool]:
    try:
        return name, check(), True
    except (ClioError, ImportError, OSError) as error:
        return name, str(error), False


def _libraries() -> str:
    return ", ".join(f"{name} {version(name)}" for name in LIBRARIES)


def _threads() -> str:
    """Threads of this process after work that libraries like to spread over all cores."""
    import numpy as np

    from clio_argo.kernels import limit_threads
    from clio_argo.kernels.features import area_mean

    limit_threads()
    area_mean((np.ones((512, 512)) @ np.ones((512, 512))).astype(np.uint8), 4)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = len(list(TASKS.iterdir())) if TASKS.exists() else "unknown"
    return f"{threads} in this process, {cores} cores"


def _temporary() -> str:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(2**20))
    return f"{tempfile.gettempdir()} can be written"


def _store(run: str) -> str:
    store, name = Store(run), f"tmp/doctor-{uuid4().hex}"
    store.write(name, b"probe")
    if store.read(name) != b"probe" or name not in store.names("tmp"):
        raise BrokenVolume(f"{store.url}{name}: was written, and is not there as it was")
    store.delete(name)
    return "an object was written, read, listed and deleted"
