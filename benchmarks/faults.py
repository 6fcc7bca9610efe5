"""Every fault at every verb on each kind of object of a run, and what the next run makes of it; an hour at most."""

import random
import time
from collections import Counter
from pathlib import Path

from benchmarks.figures import Figure
from tests.faults.injection import FOLLOWERS, trial

QUICK = 3
# no further fault is begun after so long
MOST_S = 3600


def measure(work: Path, quick: bool) -> list[Figure]:
    """Disturb a run, go on with one of three requests, compare; needs strace."""
    end, tried, problems = time.monotonic() + MOST_S, Counter[str](), list[str]()
    with trial(work) as attempts:
        random.shuffle(attempts.faults)
        for fault in attempts.faults[: QUICK if quick else None]:
            if time.monotonic() < end:
                tried[fault.fault] += 1
                found = attempts.problems(fault, random.choice(FOLLOWERS))
                print(*found, sep="\n")
                problems += found[:1]
        kinds = len({f.kind for f in attempts.faults})
    return [
        Figure("faults that there are", len(attempts.faults), "", note=f"on {kinds} kinds of objects"),
        *(Figure(f"of these tried: {fault}", n, "") for fault, n in tried.items()),
        Figure("runs afterwards that differ from a clean one", len(problems), "", 0),
    ]
