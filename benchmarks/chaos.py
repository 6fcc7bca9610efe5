"""Runs on a real cluster (docs/testing.md) under chaos, one seed after the other, for as long as one wants.

Pods are deleted, Argo's controller is killed, and the store refuses and breaks requests. CLIO_CHAOS_MINUTES: no further
run begins after so long; CLIO_CHAOS_SEED: the first seed, a random one without it.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks.cluster_rig import settings
from benchmarks.figures import Figure
from benchmarks.rig import namespace
from benchmarks.sources import real_slices
from benchmarks.stacks import write_stack
from clio_argo.argo.settings import ClusterSettings, Retries
from tests.e2e.chaos import BLOWS, SOURCE, STUMBLES, Chaos, Outcome
from tests.e2e.cluster import SAME_DIGITS, Cluster, make_bucket, own_address, upload
from tests.proxy import disturbed
from tests.stacks import contents, request, run_here

NAMESPACE = "clio-chaos"
SLICES, SIDE_PX, QUICK_SLICES = 24, 192, 8
MINUTES, MINUTE_S = 30, 60
# one for each stage: with more of them a run would mostly begin again
MOST_BLOWS, QUICK_BLOWS = 12, 4
# of so many requests, three fail
EVERY = 50


def measure(work: Path, quick: bool) -> list[Figure]:
    """How runs end under chaos, what they met, and how many objects differ from those of a run on this machine."""
    endpoint = os.environ["CLIO_GCS_ENDPOINT"]
    os.environ["STORAGE_EMULATOR_HOST"] = endpoint
    source = work / "source"
    write_stack(real_slices(), source, SIDE_PX, QUICK_SLICES if quick else SLICES)
    here = contents(run_here(request(source, id="e2e", image="iso.%05d.png"), work / "here"))
    bucket = make_bucket(f"gs://{NAMESPACE}-{time.time_ns():x}")
    upload(source, f"{bucket}/{SOURCE}")
    with disturbed(endpoint, host=own_address()) as store, namespace(_settings(store.endpoint)):
        installed = Chaos(Cluster(NAMESPACE, {}), store, bucket, here)
        return _figures(list(_runs(installed, quick)), len(here))


def _settings(endpoint: str) -> ClusterSettings:
    """As of the other benchmarks on a small node, with the most tries."""
    tries = Retries(limit=20, wait="1s", longest="2s")
    env = {"STORAGE_EMULATOR_HOST": endpoint, **SAME_DIGITS}
    return settings(env).model_copy(update={"namespace": NAMESPACE, "retries": tries})


def _runs(installed: Chaos, quick: bool) -> Iterator[Outcome]:
    """A run for each seed, until the time is over."""
    minutes = 0 if quick else float(os.environ.get("CLIO_CHAOS_MINUTES", MINUTES))
    first = int(os.environ.get("CLIO_CHAOS_SEED") or random.randrange(10**6))
    end = time.monotonic() + minutes * MINUTE_S
    for seed in count(first):
        yield installed.run(seed, QUICK_BLOWS if quick else MOST_BLOWS, EVERY)
        if time.monotonic() > end:
            return


def _figures(outcomes: list[Outcome], objects: int) -> list[Figure]:
    met, tries = Counter[str](), Counter[str]()
    for outcome in outcomes:
        met.update(outcome.met)
        tries.update(outcome.tries)
    bad = [o.told for o in outcomes if o.differing or not o.complete]
    return [
        Figure("runs, one for each seed", len(outcomes), "", note=f"seeds {outcomes[0].seed} to {outcomes[-1].seed}"),
        Figure("pods, tries included", tries.total(), "", note=", ".join(f"{n} {how}" for how, n in tries.items())),
        *(Figure(f"met: {kind}", met[kind], "") for kind in (*BLOWS, *STUMBLES)),
        Figure("runs that did not end well", sum(not o.complete for o in outcomes), "", 0, note="; ".join(bad)),
        Figure("objects that differ from those of a local run", sum(len(o.differing) for o in outcomes), "", 0,
               note=f"of {objects} of each run"),
    ]  # fmt: skip
