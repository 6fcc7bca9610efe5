"""A run under chaos is complete, and every object of its volume is that of a local run. The seed is told."""

import os
import random
from pathlib import Path

import pytest

from tests.e2e.chaos import blows, chaos, stumbles
from tests.stacks import contents, demo_slices, request, run_here, write_stack

SLICES, FIRST = 12, 3514
# as many as keep the test below 90 s
BLOWS = 6
pytestmark = pytest.mark.xdist_group("cluster")


def test_a_seed_tells_the_same_chaos_again() -> None:
    assert (blows(3, BLOWS), stumbles(3)) == (blows(3, BLOWS), stumbles(3))
    assert blows(3, BLOWS) != blows(4, BLOWS)


def test_chaos_changes_no_object(tmp_path: Path) -> None:
    seed = int(os.environ.get("CLIO_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    # pytest shows it if the test fails
    print(f"seed {seed}: CLIO_CHAOS_SEED={seed} brings the same faults again")
    folder = write_stack(tmp_path / "stack", demo_slices(SLICES, first=FIRST))
    here = run_here(request(folder, id="e2e", image="iso.%05d.png"), tmp_path / "here")
    with chaos(os.environ["CLIO_GCS_ENDPOINT"], folder, contents(here)) as installed:
        outcome = installed.run(seed, BLOWS)
    assert outcome.complete, outcome.told
    assert len(installed.expected) > 20
    assert outcome.differing == (), outcome.told
    assert {"503", "reset", "lost"} <= outcome.met.keys()
