"""Metadata of volumes with anything in them: the volume is read, or refused by name; nothing else happens."""

import copy
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clio_argo.errors import ClioError
from clio_argo.store.images.base import Undecodable
from clio_argo.store.sources import open_source
from clio_argo.workspace.survey import survey
from tests.stacks import request
from tests.store.sources.volumes import WRITERS

VALUES = np.random.default_rng(1).integers(1, 2**16, (6, 33, 47), np.uint16)
NAMES = ("zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json", "info")
ODD = (None, -1, 0, 1, 3, 2**31, 2**63, 1e30, float("nan"), "", "x", "../..", "/etc", [], {}, [1], [0, 0, 0], True)
TRIES, SLOW_S = 1500, 2


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*place, key))


def mutated(value: Any, rnd: random.Random) -> Any:
    """The same value but for one place in it."""
    *folders, key = rnd.choice([*places(value)])
    at = value
    for folder in folders:
        at = at[folder]
    if rnd.random() < 0.3:
        del at[key]
    else:
        at[key] = copy.deepcopy(rnd.choice(ODD))
    return value


@pytest.mark.properties
def test_any_metadata_are_read_or_refused_within_two_seconds(tmp_path: Path) -> None:
    for kind, write in WRITERS.items():
        write(tmp_path / kind, VALUES)
    files, rnd = sorted(f for f in tmp_path.rglob("*") if f.name in NAMES), random.Random(1)
    whole = {f: f.read_text() for f in files}
    files = [f for f in files if json.loads(whole[f])]
    for _ in range(TRIES):
        file = rnd.choice(files)
        file.write_text(json.dumps(mutated(json.loads(whole[file]), rnd)))
        began = time.process_time()
        try:
            found, units, _ = survey(request(tmp_path / file.relative_to(tmp_path).parts[0]))
            open_source(found.source, found.source_kind, found.together).decode(units[0].slices[0])
        except (ClioError, Undecodable):
            pass
        assert time.process_time() - began < SLOW_S
        file.write_text(whole[file])
