"""Damaged and hostile image files for an hour: each is a picture that other readers see alike, or refused in words."""

import random
import time
from collections import Counter
from pathlib import Path

from benchmarks.figures import Figure
from tests.store.images.door import opened
from tests.store.images.spoiled import seeds, spoiled

# no further file is begun after so long
MOST_S, QUICK_S = 3600, 20


def measure(_work: Path, quick: bool) -> list[Figure]:
    """Damage small files of every kind at random, and read them as `plan` and `reduce` do."""
    files, kinds, broken = seeds(), Counter[str](), 0
    names, slowest_s, end = sorted(files), 0.0, time.monotonic() + (QUICK_S if quick else MOST_S)
    seed = first = random.randrange(2**31)
    with opened() as door:
        while time.monotonic() < end:
            seed += 1
            rng = random.Random(seed)
            answer = door.ask(spoiled(rng, files[rng.choice(names)], files[rng.choice(names)]))
            kinds[answer.kind] += 1
            slowest_s = max(slowest_s, answer.cpu_s)
            if answer.broken:
                broken += 1
                print(seed, answer.broken)
    return [
        Figure("files", sum(kinds.values()), "", note=f"seeds from {first + 1}"),
        *(Figure(f"of these: {kind}", n, "") for kind, n in sorted(kinds.items())),
        Figure("longest time for one", slowest_s, "CPU s", 2),
        Figure("neither refused nor as other readers see it", broken, "", 0),
    ]
