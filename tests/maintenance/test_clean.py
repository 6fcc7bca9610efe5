"""Temporary objects of finished runs go; the run counts as done without them, and what needs them makes them again."""

from pathlib import Path

import pytest

from clio_argo.errors import MissingInput, UserError
from clio_argo.maintenance.clean import clean
from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import verify
from clio_argo.model.layout import CLEANED, PATTERN, is_removable
from clio_argo.model.step import StepResult
from clio_argo.store.documents import Store
from clio_argo.workspace import cleaning
from tests.properties.worlds import overrides
from tests.stacks import FIRST, cli, completion, contents, demo_slices, request, run_here, write_stack

UNITS = ("reduce", "match", "rematch", "render", "write")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "source", demo_slices(9, 128))


def removable(out: Path) -> list[str]:
    return [n for n in Store(str(out)).names("tmp") if is_removable(n)]


def done(results: dict[str, StepResult]) -> list[int]:
    return [results[step].counts.done for step in UNITS if step in results]


@pytest.mark.properties
@pytest.mark.parametrize("lossless", [False])
def test_the_same_request_counts_as_done(source: Path, tmp_path: Path, lossless: bool) -> None:
    config, results = request(source, lossless=lossless), dict[str, StepResult]()
    out = run_here(config, tmp_path / "out")
    before, names = contents(out), removable(out)
    held = sum((out / name).stat().st_size for name in names)
    assert clean(out) == held
    assert removable(out) == []
    assert (out / PATTERN).exists()
    assert verify(out, workers=1).faults == ()
    assert clean(out) == 0
    run_here(config, out, results=results)
    assert done(results) == [0, 0, 0, 0]
    assert contents(out) == before


@pytest.mark.properties
def test_a_cleaned_run_is_repaired(source: Path, tmp_path: Path) -> None:
    out = run_here(request(source, lossless=False), tmp_path / "out")
    before = contents(out)
    for name in ("quality.json", "fits/000000.json", next(iter(Store(str(out)).names("ng/10_10_10")))):
        clean(out)
        (out / name).unlink()
        assert repair(out, workers=1).left.faults == ()
        assert contents(out) == before


@pytest.mark.properties
def test_a_run_mends_what_is_damaged_in_a_cleaned_one(source: Path, tmp_path: Path) -> None:
    config = request(source, lossless=False)
    out = run_here(config, tmp_path / "out")
    before = contents(out)
    clean(out)
    shard = out / Store(str(out)).names("ng/10_10_10")[0]
    shard.unlink()
    assert contents(run_here(config, out)) == before
    clean(out)
    # listings of files do not show it
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(MissingInput, match="tmp/aligned"):
        run_here(config, out)
    assert contents(run_here(config, out)) == before


@pytest.mark.properties
def test_corrections_make_what_they_need_again(source: Path, tmp_path: Path) -> None:
    given = tmp_path / "overrides.yaml"
    given.write_text(overrides(FIRST + 3, "bad"))
    corrected = request(source, overrides=str(given), max_bad=3)
    fresh = contents(run_here(corrected, tmp_path / "fresh"))
    out = run_here(request(source, max_bad=3), tmp_path / "out")
    clean(out)
    assert contents(run_here(corrected, out)) == fresh
    assert not (out / CLEANED).exists()


@pytest.mark.properties
def test_what_stays_is_a_tenth_of_the_volumes(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "LEAST_BYTES", 0)
    config, results = request(source), dict[str, StepResult]()
    out = run_here(config, tmp_path / "out")
    assert sum((out / name).stat().st_size for name in removable(out)) <= 0.1 * completion(out).bytes
    run_here(config, out, results=results)
    assert done(results) == [0, 0, 0, 0]


@pytest.mark.properties
def test_an_unfinished_run_is_left_alone(source: Path, tmp_path: Path) -> None:
    out = run_here(request(source), tmp_path / "out", stop_before="render")
    with pytest.raises(UserError, match="is not complete"):
        clean(out)
    assert removable(out)


@pytest.mark.properties
def test_the_command_says_what_it_removed(source: Path, tmp_path: Path) -> None:
    out = run_here(request(source), tmp_path / "out")
    assert cli("clean", out).stdout.startswith("removed ")
    assert '"removed_bytes": 0' in cli("clean", out, "-o", "json").stdout
    assert cli("clean", tmp_path).returncode == 2
