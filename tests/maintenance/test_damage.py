"""Whatever happens to an object of a finished run: verify names it, repair mends it and nothing else."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from clio_argo.errors import UserError
from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import NO_VOLUMES, verify
from clio_argo.model.alignment import Planes, Suspects, Transforms
from clio_argo.model.base import Document
from clio_argo.model.plan import Plan, SliceUnit
from clio_argo.model.quality import Quality
from clio_argo.model.request import Request
from clio_argo.model.run import Completion, UnitRecord, Verification
from clio_argo.model.step import StepResult
from clio_argo.model.user_inputs import UserInputs
from clio_argo.model.volume import VolumeSpec
from tests.maintenance.conftest import SETTINGS
from tests.stacks import FIRST, completion, contents, done_at, flip_a_bit, plain, records, run_here, written_at

pytestmark = pytest.mark.usefixtures("here")
HARMS = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-5]),
    "flipped": flip_a_bit,
}
# each object with the steps whose units are done again
SHARDS = {
    "aligned/0/c/0/0/1": {"render"},
    "aligned/1/c/0/0/0": {"write"},
    "aligned/3/c/0/0/0": {"coarsen"},
    "ng/10_10_10/0.shard": {"write"},
    "ng/80_80_80/0.shard": {"coarsen"},
    f"thumbnails/{FIRST:06d}.jpg": {"render"},
}
METADATA = ["ng/info", "ng/provenance", "aligned/zarr.json", "aligned/0/zarr.json"]
LAID_OUT = ["volume.json", "transforms.csv", "planes/000000.json"]


def faults(out: Path, mode: str = "default") -> dict[str, str]:
    """What verify names, and why."""
    return {f.name: f.what for f in verify(out, mode).faults}  # type: ignore[arg-type]


def told(out: Path) -> dict[str, Any]:
    """The last document, but for where the run lies."""
    return completion(out).model_dump(exclude={"ng", "aligned", "link"})


@pytest.mark.properties
def test_the_run_has_units_of_every_step(whole: Path) -> None:
    units = [r.step for r in records(whole).values()]
    assert [units.count(s) for s in ("render", "write", "coarsen")] == [2, 3, 1]


@pytest.mark.parametrize("mode", ["quick", "default", "deep"])
def test_a_whole_run_is_whole(whole: Path, mode: str) -> None:
    before = written_at(whole, "")
    found = verify(whole, mode)  # type: ignore[arg-type]
    assert (found.faults, found.objects, found.bytes) == ((), completion(whole).objects, completion(whole).bytes)
    assert bool(found.notes) == (mode == "quick")
    assert written_at(whole, "") == before


@pytest.fixture(scope="module")
def only_aligned(wide_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_here(plain(wide_source, **SETTINGS), tmp_path_factory.mktemp("aligned"), stop_before="render")


@pytest.mark.parametrize("mode", ["quick", "default", "deep"])
def test_what_is_not_made_yet_is_not_broken(only_aligned: Path, tmp_path: Path, mode: str) -> None:
    found = verify(only_aligned, mode)  # type: ignore[arg-type]
    assert (found.faults, found.notes[0]) == ((), NO_VOLUMES)
    assert found.objects > 0
    out = Path(shutil.copytree(only_aligned, tmp_path / "out"))
    (out / "transforms.csv").write_bytes(b"")
    (out / "ng" / "info").unlink()
    assert faults(out, mode).keys() == {"transforms.csv", "ng/info"}
    done = repair(out)
    assert (done.again, done.left.faults, done.left.notes[0]) == ({"solve": 1}, (), NO_VOLUMES)


@pytest.mark.parametrize("name", ["transforms.json", "volume.json", "plan/000000.json", "suspects.json"])
def test_repair_of_what_was_placed_makes_no_volume(only_aligned: Path, tmp_path: Path, name: str) -> None:
    out = Path(shutil.copytree(only_aligned, tmp_path / "out"))
    (out / name).unlink()
    done = repair(out)
    assert (done.left.faults, done.left.notes[0], done.again.keys() & {"render", "write"}) == ((), NO_VOLUMES, set())
    assert contents(out) == contents(only_aligned)


def test_a_volume_that_was_begun_lacks_what_is_missing(only_aligned: Path, whole: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(only_aligned, tmp_path / "out"))
    shard = next(iter(SHARDS))
    (out / shard).parent.mkdir(parents=True)
    shutil.copy(whole / shard, out / shard)
    assert {shard, "complete.json", "manifest/render/000000.json"} <= faults(out).keys()


@pytest.mark.properties
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", SHARDS)
def test_damaged_object_is_named_and_mended_alone(whole: Path, out: Path, name: str, harm: str) -> None:
    HARMS[harm](out / name)
    untouched = {n: t for n, t in written_at(out, "").items() if n.startswith(("aligned/", "ng/"))}
    assert faults(out).keys() == {name}
    assert faults(out, "quick").keys() == ({name} if harm != "flipped" else set())
    done = repair(out)
    assert done.again == dict.fromkeys(SHARDS[name], 1)
    assert (done.left.faults, faults(out)) == ((), {})
    assert contents(out) == contents(whole)
    mended = {n for n, t in written_at(out, "").items() if untouched.get(n, t) != t}
    assert len(mended) <= len(next(r for r in records(out).values() if name in {o.name for o in r.objects}).objects)


@pytest.mark.parametrize("harm", ["missing", "flipped"])
@pytest.mark.parametrize("name", [*METADATA, *LAID_OUT])
def test_damaged_metadata_are_named_and_written_anew(whole: Path, out: Path, name: str, harm: str) -> None:
    HARMS[harm](out / name)
    before = done_at(out)
    assert faults(out, "quick").keys() == {name}
    assert repair(out).again == {"solve": 1}
    assert (faults(out), contents(out)) == ({}, contents(whole))
    assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert done_at(out) == before


@pytest.mark.parametrize("harm", ["missing", "flipped"])
@pytest.mark.parametrize("name", ["transforms.json", "plan.json", "plan/000000.json", "suspects.json"])
def test_damaged_documents_of_the_alignment_are_made_again(whole: Path, out: Path, name: str, harm: str) -> None:
    HARMS[harm](out / name)
    assert name in faults(out, "quick")
    assert repair(out).left.faults == ()
    assert (faults(out), contents(out)) == ({}, contents(whole))


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_request_is_taken_from_the_last_document(whole: Path, out: Path, harm: str) -> None:
    HARMS[harm](out / "config.json")
    assert "config.json" in faults(out, "quick")
    assert (repair(out).again, faults(out)) == ({}, {})
    assert (out / "config.json").read_bytes() == (whole / "config.json").read_bytes()
    (out / "complete.json").unlink()
    HARMS[harm](out / "config.json")
    with pytest.raises(UserError, match=r"config\.json is damaged, and complete\.json does not have it"):
        repair(out)


@pytest.mark.parametrize("harm", HARMS)
def test_a_lost_request_is_replaced_on_request(whole: Path, out: Path, harm: str) -> None:
    config = Request.from_bytes((out / "config.json").read_bytes(), "config.json")
    (out / "complete.json").unlink()
    HARMS[harm](out / "config.json")
    with pytest.raises(UserError, match=r"config\.json is (damaged \(.*\)|lost): .* with --update"):
        run_here(config, out)
    results: dict[str, StepResult] = {}
    run_here(config.model_copy(update={"update": True}), out, results=results)
    assert [results[step].counts.done for step in ("reduce", "render", "write")] == [0, 0, 0]
    assert (faults(out), told(out)) == ({}, told(whole))


DOCUMENTS: dict[str, type[Document]] = {
    "config.json": Request, "plan.json": Plan, "transforms.json": Transforms, "suspects.json": Suspects,
    "volume.json": VolumeSpec, "quality.json": Quality, "verify.json": Verification, "complete.json": Completion,
    "user_inputs.json": UserInputs, "plan/000000.json": SliceUnit, "planes/000000.json": Planes,
    "manifest/solve/000000.json": UnitRecord,
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_another_document_of_the_run_is_called_what_it_is(whole: Path, name: str) -> None:
    for other in DOCUMENTS.keys() - {name}:
        with pytest.raises(UserError) as error:
            DOCUMENTS[name].from_bytes((whole / other).read_bytes(), name)
        held, wanted = DOCUMENTS[other].__name__, DOCUMENTS[name].__name__
        assert str(error.value) == f"{name}: holds a {held} document instead of {wanted}"


@pytest.mark.parametrize("other", ["plan.json", "transforms.json", "complete.json"])
@pytest.mark.parametrize("name", ["config.json", "plan.json", "transforms.json", "volume.json", "quality.json"])
def test_a_document_in_the_place_of_another_is_mended(whole: Path, out: Path, name: str, other: str) -> None:
    if name == other:
        return
    request = Request.from_bytes((out / "config.json").read_bytes(), "config.json")
    shutil.copy(out / other, out / name)
    assert name in faults(out, "quick")
    if name == "config.json":
        why = rf"is damaged \(holds a {DOCUMENTS[other].__name__} document instead of Request\): clio-argo repair"
        with pytest.raises(UserError, match=why):
            run_here(request, out)
    assert repair(out).left.faults == ()
    assert (faults(out), contents(out), told(out)) == ({}, contents(whole), told(whole))


@pytest.mark.properties
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", ["complete.json", "quality.json", "views/xz_after.png"])
def test_damaged_last_documents_are_written_anew(whole: Path, out: Path, name: str, harm: str) -> None:
    HARMS[harm](out / name)
    assert faults(out, "quick").keys() == {name}
    assert repair(out).again == {"verify": 1, "publish": 1}
    assert (faults(out), told(out)) == ({}, told(whole))


@pytest.mark.parametrize("harm", ["missing", "cut"])
@pytest.mark.parametrize("step", ["solve", "render", "write", "coarsen"])
def test_objects_without_an_entry_are_named_and_recorded_again(whole: Path, out: Path, step: str, harm: str) -> None:
    record = out / f"manifest/{step}/000000.json"
    HARMS[harm](record)
    named = faults(out)
    assert named[f"manifest/{step}/000000.json"] == "is missing or cannot be read"
    if step != "solve":
        kept = [o.name for o in records(whole)[f"manifest/{step}/000000.json"].objects if "tmp/" not in o.name]
        assert {n for n, what in named.items() if what == "is not in the manifest"} == set(kept)
    assert repair(out).left.faults == ()
    assert (faults(out), contents(out)) == ({}, contents(whole))
    assert told(out) == told(whole)


def test_damage_is_not_handed_on(whole: Path, out: Path) -> None:
    """The viewer volume of a block is lost, and what it is made from is damaged unseen."""
    flip_a_bit(out / "aligned/0/c/0/0/0")
    (out / "ng/10_10_10/0.shard").unlink()
    assert repair(out).again == {"render": 1, "write": 1}
    assert (faults(out), contents(out)) == ({}, contents(whole))


def test_many_damages_at_once(whole: Path, out: Path) -> None:
    for (name, _), harm in zip(SHARDS.items(), [*HARMS.values()] * 2, strict=False):
        harm(out / name)
    (out / "ng/info").unlink()
    assert faults(out).keys() == {*SHARDS, "ng/info"}
    assert repair(out).left.faults == ()
    assert (faults(out), contents(out)) == ({}, contents(whole))


@pytest.mark.parametrize("name", ["ng/10_10_10/ff.shard", "aligned/0/c/9/0/0", "thumbnails/x.jpg", "ng/x/info"])
def test_foreign_object_is_named_and_removed_on_request_only(whole: Path, out: Path, name: str) -> None:
    (out / name).parent.mkdir(exist_ok=True, parents=True)
    (out / name).write_bytes(b"mine")
    assert faults(out, "quick") == {name: "does not belong to this volume"}
    done = repair(out)
    assert ([f.name for f in done.left.faults], done.again, done.removed) == ([name], {}, ())
    assert (out / name).read_bytes() == b"mine"
    assert repair(out, remove_unexpected=True).removed == (name,)
    assert (faults(out), contents(out)) == ({}, contents(whole))
