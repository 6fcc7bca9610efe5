"""Compiled code: found again by later processes, and made anew where it cannot be kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import clio_argo
from clio_argo.sampling import COMPILED

LOAD = """
import time
from clio_argo.kernels.equalise import equalise
import numpy
print(equalise(numpy.full((8, 8), 9, numpy.uint8), 4.0, (4, 4))[0, 0], time.process_time())
"""


def loaded(**environment: str) -> tuple[int, float]:
    """What compiled code says in a new process, and how many CPU seconds that takes."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD], check=False, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert not done.stderr
    value, seconds = done.stdout.split()
    return int(value), float(seconds)


@pytest.mark.properties
def test_code_is_compiled_once(tmp_path: Path) -> None:
    first, second = (loaded(NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first[0] == second[0]
    kept = list(tmp_path.rglob("*.nbc"))
    assert len(kept) == 1
    # as after a full disk
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    assert loaded(NUMBA_CACHE_DIR=str(tmp_path))[0] == first[0]


@pytest.mark.properties
def test_where_nothing_can_be_kept_code_is_compiled_each_time() -> None:
    nowhere = {"NUMBA_CACHE_DIR": "/proc/no", "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    assert loaded(**nowhere)[0] == loaded()[0]


@pytest.mark.properties
def test_an_image_finds_the_code_that_was_made_with_it() -> None:
    beside = {"NUMBA_CACHE_LOCATOR_CLASSES": "clio_argo.compiled.Beside"}
    assert loaded(**beside)[0] == loaded()[0]


def test_an_estimate_loads_all_that_is_compiled_before_it_measures() -> None:
    root = Path(clio_argo.__file__).parent
    using = {p for p in root.rglob("*.py") if "\n@compiled(" in p.read_text()}
    assert {root.parent.joinpath(*module.split(".")).with_suffix(".py") for module in COMPILED} == using


def test_an_image_is_made_with_all_that_is_compiled() -> None:
    dockerfile = (Path(clio_argo.__file__).parents[1] / "images" / "Dockerfile").read_text()
    assert f"import {', '.join(COMPILED)}" in dockerfile
