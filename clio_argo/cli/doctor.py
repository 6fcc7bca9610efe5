"""Checks of all that a run needs of a machine, a store and a cluster; what is wrong is reported with its remedy.

No check waits for ever, and none that fails keeps the others from running.
"""

import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from clio_argo.cli.findings import Finding, Inconclusive, look
from clio_argo.cli.options import Cluster

TASKS = Path("/proc/self/task")
LIBRARIES = ("clio-argo", "numpy", "opencv-python-headless", "tensorstore")


def examine(source: str | None, run: str | None, cluster: Cluster | None) -> Iterator[Finding]:
    """Check this machine, and source, run and cluster if they are given.

    A probe object is written to `run`, read and deleted; nothing else is changed anywhere.
    """
    from clio_argo.cli.doctor_cluster import look_at_cluster
    from clio_argo.cli.doctor_store import look_at_run, look_at_source

    yield from _look_at_machine()
    if source:
        yield from look_at_source(source)
    if run:
        yield from look_at_run(run)
    if cluster:
        yield from look_at_cluster(cluster, run)


def _look_at_machine() -> Iterator[Finding]:
    yield look("versions", _versions, "install the package again: make demo, or use one of its images")
    yield look("threads", _threads)
    yield look("temporary files", _temporary, "free space, or set TMPDIR to a folder that can be written")


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
        raise Inconclusive(f"libraries use {1 + _own_threads() - before} threads: set OMP_NUM_THREADS=1 in pods")
    return f"1 per worker, {cores()} cores"


def _own_threads() -> int:
    return len(list(TASKS.iterdir())) if TASKS.exists() else 0


def _temporary() -> str:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(2**20))
    return f"{tempfile.gettempdir()} can be written"
