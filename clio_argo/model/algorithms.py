"""Versions of what units compute. Where one is raised, units of the older version are done again."""

from collections.abc import Mapping

# Raise a step's when the same inputs and settings would give other bytes than before. Another compression of the
# same voxels counts, too: the manifest compares bytes. Steps that are not named have version 1.
ALGORITHMS: Mapping[str, int] = {
    "reduce": 1,
    "match": 3,
    "relink": 2,
    "solve": 2,
    "render": 1,
    "write": 1,
    "coarsen": 1,
}


def algorithm(step: str) -> int:
    return ALGORITHMS.get(step, 1)


def newer(recorded: Mapping[str, int]) -> list[str]:
    """Steps that were done by a newer algorithm than this software has, each with both versions."""
    return [
        f"{step}: version {theirs}, this one has {algorithm(step)}"
        for step, theirs in sorted(recorded.items())
        if theirs > algorithm(step)
    ]
