"""A run under chaos is complete, and every object of its volume is that of a local run. The seed is told."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chaos import BLOWS as KINDS
from tests.e2e.chaos import SOURCE, STUMBLES, Chaos, blows, stumbles
from tests.e2e.cluster import BUCKET, Cluster, own_address, upload
from tests.proxy import Faults, disturbed
from tests.stacks import contents, demo_slices, request, run_here, write_stack

SLICES, FIRST = 12, 3514
# A blow costs a pod that starts once more, a request that fails a second: one of each kind, and a round of requests.
BLOWS, EVERY = 3, 500
# what tells people of the end has tests of its own
AT_THE_END = {"finish", "notify"}


@pytest.fixture
def store() -> Iterator[Faults]:
    with disturbed(os.environ["CLIO_GCS_ENDPOINT"], host=own_address()) as faults:
        yield faults


@pytest.fixture
def template(cluster: Cluster, store: Faults, tmp_path: Path) -> str:
    """The name of a template whose pods reach the store through `store`, and which tells nobody of the end."""
    found = cluster.objects("workflowtemplates", "clio-argo/current=true")[0]
    del found["spec"]["onExit"]
    found["spec"]["templates"] = [t for t in found["spec"]["templates"] if t["name"] not in AT_THE_END]
    text = json.dumps({**found, "metadata": {"name": "chaos"}})
    file = tmp_path / "template.json"
    file.write_text(text.replace(os.environ["CLIO_GCS_ENDPOINT"], store.endpoint))
    cluster.kubectl("create", "--filename", file)
    return "chaos"


def test_a_seed_tells_the_same_chaos_again() -> None:
    assert (blows(3, BLOWS), stumbles(3, EVERY)) == (blows(3, BLOWS), stumbles(3, EVERY))
    assert blows(3, BLOWS) != blows(4, BLOWS)


def test_chaos_changes_no_object(cluster: Cluster, store: Faults, template: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("CLIO_CHAOS_SEED", "1"))
    # pytest shows it if the test fails
    print(f"seed {seed}: CLIO_CHAOS_SEED names another, python -m benchmarks chaos tries many")
    folder = write_stack(tmp_path / "stack", demo_slices(SLICES, first=FIRST))
    upload(folder, f"{BUCKET}/{SOURCE}")
    here = contents(run_here(request(folder, id="e2e", image="iso.%05d.png"), tmp_path / "here"))
    outcome = Chaos(cluster, store, BUCKET, here, ("--template", template)).run(seed, BLOWS, EVERY)
    assert len(here) > 20
    assert outcome.complete, outcome.told
    assert outcome.differing == (), outcome.told
    assert {*KINDS, *STUMBLES} <= outcome.met.keys(), outcome.told
