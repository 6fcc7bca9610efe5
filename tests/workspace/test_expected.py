"""What the units of a run own is computed from its volume's shapes: all that is there, and nothing twice."""

from collections import Counter
from pathlib import Path

from clio_argo.model.layout import is_kept
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.comparison import listing, volume_steps
from clio_argo.workspace.expected import expected_names, shard_names
from clio_argo.workspace.run import Run
from tests.stacks import FIRST, demo_slices, plain, records, run_here, write_stack


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


def test_a_run_that_becomes_shorter_keeps_no_record_of_the_units_it_had(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(20, 64))
    longer, shorter = plain(source), plain(source, maxz=FIRST + 3, update=True)
    out = run_here(longer, tmp_path / "out")
    before = records(out).keys()
    after = records(run_here(shorter, out)).keys()
    assert after == records(run_here(shorter, tmp_path / "fresh")).keys()
    assert before - after
