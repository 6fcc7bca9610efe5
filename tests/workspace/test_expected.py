"""What the units of a run own is computed from its volume's shapes: all that is there, and nothing twice."""

from collections import Counter
from pathlib import Path

import pytest

from clio_argo.model.grid import Channels, build_volume
from clio_argo.model.layout import is_kept
from clio_argo.model.volume import VolumeChannel, VolumeSpec
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.comparison import listing, volume_steps
from clio_argo.workspace.expected import expected_names, remove_outgrown_objects, shard_names
from clio_argo.workspace.run import Run
from tests.stacks import FIRST, demo_slices, plain, records, request, run_here, write_stack


def expected(run: Run) -> Counter[str]:
    return Counter(
        name
        for step in volume_steps(run)
        for unit in run.unit_numbers(step)
        for name in expected_names(run, step, unit)
    )


def test_units_own_every_object_of_the_volumes_and_each_has_one_owner(demo: Path) -> None:
    run = Run(Store(str(demo)), PIPELINE["verify"], PIPELINE)
    assert expected(run) == Counter(o.name for o in listing(run))
    assert set(shard_names(run.volume)) <= expected(run).keys()


def test_what_lies_under_tmp_is_expected_of_no_unit(stack: Path, tmp_path: Path) -> None:
    run = Run(Store(str(run_here(plain(stack, lossless=False), tmp_path))), PIPELINE["verify"], PIPELINE)
    assert expected(run) == Counter(o.name for o in listing(run))
    assert not all(map(is_kept, shard_names(run.volume)))


@pytest.mark.properties
def test_a_run_that_becomes_shorter_keeps_no_record_of_the_units_it_had(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(20, 64))
    longer, shorter = plain(source), plain(source, maxz=FIRST + 3, update=True)
    out = run_here(longer, tmp_path / "out")
    before = records(out).keys()
    after = records(run_here(shorter, out)).keys()
    assert after == records(run_here(shorter, tmp_path / "fresh")).keys()
    assert before - after


def test_channels_that_change_places_leave_no_empty_folder(tmp_path: Path) -> None:
    def of(*channels: str) -> VolumeSpec:
        held = Channels(tuple(VolumeChannel(name=name, number=i) for i, name in enumerate(channels)))
        return build_volume(request("slices"), (0, 0, 0), (8, 64, 64), "uint8", None, held)

    store, before, after = Store(str(tmp_path)), of("EM", "GFP"), of("GFP", "EM")
    for name in (*shard_names(before), "ng/channels/mine.txt"):
        store.write(name, b"1")
    remove_outgrown_objects(store, before, after)
    assert [path.name for path in (tmp_path / "ng" / "channels").iterdir()] == ["mine.txt"]
    (tmp_path / "ng" / "channels" / "mine.txt").unlink()
    remove_outgrown_objects(store, before, of("EM"))
    assert not (tmp_path / "ng" / "channels").exists()
    assert tmp_path.exists()
