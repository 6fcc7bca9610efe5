"""Runs that many tests look at, made once for all test processes and not to be changed; and a small disk."""

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stacks import DEMO, demo_slices, request, run_here, write_stack


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """What the first process that asks for it makes in a folder that all see."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if lock.tell() == 0:
            make(folder)
            lock.write("made")
    return folder


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six slices of 192 x 192, misaligned by a few pixels."""
    return once(tmp_path_factory, "stack", lambda folder: write_stack(folder, demo_slices(6)))


@pytest.fixture(scope="session")
def aligned(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `stack` with all defaults."""
    return once(tmp_path_factory, "aligned", lambda folder: run_here(request(stack), folder))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo stack: 60 slices, one of them noise."""
    config = request(DEMO, image="iso.%05d.png", max_bad=1)
    return once(tmp_path_factory, "demo", lambda folder: run_here(config, folder))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system that holds nearly nothing."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
