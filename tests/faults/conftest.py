"""One small stack, and the run of it that every disturbed one is compared with."""

from pathlib import Path

import pytest

from tests.stacks import demo_slices, request, run_here, write_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine slices of 128 x 128: several units of every early stage. Not to be changed."""
    return write_stack(tmp_path_factory.mktemp("stack"), demo_slices(9, 128))


@pytest.fixture(scope="session")
def undisturbed(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `stack` with all defaults. Not to be changed."""
    return run_here(request(stack, max_parts=1), tmp_path_factory.mktemp("undisturbed"))
