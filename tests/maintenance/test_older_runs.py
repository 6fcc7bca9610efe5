"""A run that version 0.1 made (tests/data/runs/0.1.zip: six slices of 64 px, the third is noise) is still whole."""

from pathlib import Path

import numpy as np
import pytest

from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import verify
from clio_argo.model.alignment import Fits, PlacedSlice, Planes, Suspects, Transforms
from clio_argo.model.base import Document
from clio_argo.model.layout import FORMER_SUSPECTS, QUALITY, TRANSFORMS, fits_name, planes_name
from clio_argo.model.quality import Quality
from clio_argo.store.documents import Store
from tests.stacks import FIRST, completion, contents, demo_slices, request, run_here, transforms, write_stack

NOISE = FIRST + 2
DOCUMENTS: dict[str, type[Document]] = {
    FORMER_SUSPECTS: Suspects,
    QUALITY: Quality,
    TRANSFORMS: Transforms,
    fits_name(0): Fits,
    planes_name(0): Planes,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_its_documents_are_read_by_their_former_names(older: Path, name: str) -> None:
    document = Store(str(older)).document(DOCUMENTS[name], name)
    assert document.schema_version == 2
    again = DOCUMENTS[name].from_bytes(document.to_bytes(), name)
    assert again == document


def test_its_places_say_the_same_in_other_words(older: Path) -> None:
    by_z: dict[int, PlacedSlice] = {s.z: s for s in transforms(older).slices}
    assert (by_z[NOISE].verdict, by_z[NOISE].source_slices, by_z[NOISE].placed_by) == ("bad", (NOISE - 1,), "pairs")
    assert {f.method for f in transforms(older).fits} <= {"features", "enhanced", "coarse", "phase", "none"}


@pytest.mark.properties
def test_it_is_verified_and_repaired(older: Path) -> None:
    assert verify(older, workers=1).faults == ()
    (older / "inspection.json").write_bytes(b"{}")
    assert [f.name for f in verify(older, workers=1).faults] == ["inspection.json"]


@pytest.mark.properties
def test_a_damaged_shard_is_repaired_from_what_it_has(older: Path) -> None:
    shard = next(p for p in (older / "ng").rglob("*.shard"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    done = repair(older, workers=1)
    assert (done.again["write"], done.left.faults) == (1, ())
    assert shard.read_bytes() == whole
    assert completion(older).status == "complete_with_flags"


def test_its_places_are_taken_for_a_new_run(older: Path, tmp_path: Path) -> None:
    slices = {**demo_slices(6, 64), NOISE: np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)}
    source = write_stack(tmp_path / "slices", slices)
    config = request(source, max_bad=2, transforms=str(older / TRANSFORMS))
    out = run_here(config, tmp_path / "out")
    assert [s.matrix for s in transforms(out).slices] == [s.matrix for s in transforms(older).slices]


@pytest.mark.properties
def test_it_is_continued_and_leaves_nothing_of_its_former_names(older: Path, tmp_path: Path) -> None:
    slices = {**demo_slices(6, 64), NOISE: np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)}
    config = request(write_stack(tmp_path / "slices", slices), max_bad=2)
    fresh = run_here(config, tmp_path / "fresh")
    run_here(config.model_copy(update={"update": True}), older)
    assert verify(older, workers=1).faults == ()
    names, theirs = (set(Store(str(out)).names()) for out in (older, fresh))
    assert {n for n in names - theirs if not n.startswith("process/")} == set()
    assert contents(older) == contents(fresh)
