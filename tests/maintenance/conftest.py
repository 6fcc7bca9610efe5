"""A small run with several units of every step, to be damaged."""

import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clio_argo.maintenance import repair, verify
from tests.stacks import FIRST, Image, demo_slice, plain, run_here, write_stack

WIDTH, HEIGHT, SLICES = 2100, 24, 6
SETTINGS: dict[str, Any] = {"viewer__chunk": 256}


class Here(Executor):
    """Does what it gets at once, in this process: tests of many small damages need not start workers for each."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **options))
        except Exception as error:  # noqa: BLE001, as pools do
            done.set_exception(error)
        return done


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify and repair in this process."""

    @contextmanager
    def pool(_: int) -> Iterator[Here]:
        yield Here()

    for module in (repair, verify):
        monkeypatch.setattr(module, "worker_pool", pool)


def wide(z: int) -> Image:
    """A slice of three blocks."""
    return np.ascontiguousarray(np.tile(demo_slice(z)[:HEIGHT], -(-WIDTH // 192))[:, :WIDTH])


@pytest.fixture(scope="session")
def wide_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    slices = {z: wide(z) for z in range(FIRST, FIRST + SLICES)}
    return write_stack(tmp_path_factory.mktemp("wide"), slices)


@pytest.fixture(scope="session")
def whole(wide_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: two slabs, three blocks, and a scale that `coarsen` makes. Not to be changed."""
    return run_here(plain(wide_source, **SETTINGS), tmp_path_factory.mktemp("whole"))


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """The same run, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A run that version 0.1 made."""
    with zipfile.ZipFile(Path(__file__).parents[1] / "data" / "runs" / "0.1.zip") as archive:
        archive.extractall(tmp_path / "older")
    return tmp_path / "older"
