"""What a run needs of a machine, a store and a cluster: each thing is looked at, and told with a remedy if it is wrong.

Nothing here waits for ever, and nothing that is found wrong keeps the rest from being looked at.
"""

import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from clio_argo.cli.findings import Finding, Untold, look

TASKS = Path("/proc/self/task")
LIBRARIES = ("clio-argo", "numpy", "opencv-python-headless", "tensorstore")


def examine(source: str | None, run: str | None, namespace: str | None) -> Iterator[Finding]:
    """Look at this machine; at source and run if they are named; at the cluster if a namespace is.

    A probe object is written to `run`, read and deleted; nothing else is changed anywhere.
    """
    from clio_argo.cli.doctor_cluster import look_at_cluster
    from clio_argo.cli.doctor_store import look_at_run, look_at_source

    yield from look_at_machine()
    if source:
        yield from look_at_source(source)
    if run:
        yield from look_at_run(run)
    if namespace:
        yield from look_at_cluster(namespace, run)


def look_at_machine() -> Iterator[Finding]:
    yield look("versions", _versions, "install the package again: make demo, or use one of its images")
    yield look("threads", _threads)
    yield look("temporary files", _temporary, "free space, or let TMPDIR name a folder that can be written")


def _versions() -> str:
    known = (f"{name} {version(name)}" for name in LIBRARIES)
    return ", ".join([*known, f"Python {platform.python_version()}"])


def _threads() -> str:
    """Threads of this process after work that libraries like to spread over all cores."""
    import numpy as np

    from clio_argo.kernels import limit_threads
    from clio_argo.kernels.features import area_mean
    from clio_argo.runner import cores

    limit_threads()
    before = _own_threads()
    area_mean((np.ones((512, 512)) @ np.ones((512, 512))).astype(np.uint8), 4)
    if _own_threads() > before:
        raise Untold(f"libraries use {1 + _own_threads() - before} threads: set OMP_NUM_THREADS=1 in pods")
    return f"1 per worker, {cores()} cores"


def _own_threads() -> int:
    return len(list(TASKS.iterdir())) if TASKS.exists() else 0


def _temporary() -> str:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(2**20))
    return f"{tempfile.gettempdir()} can be written"
