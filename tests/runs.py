"""Runs that many tests look at."""

from pathlib import Path

import pytest

from tests.stacks import DEMO, demo_slices, request, run_here, write_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six slices of 192 x 192, misaligned by a few pixels. Not to be changed."""
    return write_stack(tmp_path_factory.mktemp("stack"), demo_slices(6))


@pytest.fixture(scope="session")
def aligned(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `stack` with all defaults."""
    return run_here(request(stack), tmp_path_factory.mktemp("aligned"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo stack: 60 slices, one of them noise."""
    return run_here(request(DEMO, image="iso.%05d.png", max_bad=1), tmp_path_factory.mktemp("demo"))
