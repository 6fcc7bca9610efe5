"""What no checksum shows: chunks that hold something else than they should, as they were written."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from clio_argo.errors import TransientError
from clio_argo.maintenance import check_voxels
from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import verify
from clio_argo.model.run import UnitRecord
from clio_argo.model.volume import Box, VolumeSpec, plus
from clio_argo.steps import render
from clio_argo.store.documents import Store
from clio_argo.store.manifest import read_record, write_record
from clio_argo.store.volumes import Volumes
from tests.maintenance.conftest import SETTINGS
from tests.stacks import FIRST, contents, plain, run_here

pytestmark = pytest.mark.usefixtures("here")


def write_wrongly(out: Path, step: str, name: str, planes: slice = slice(None)) -> None:
    """Let a unit have written other voxels into a shard than it should, and have recorded that."""
    store = Store(str(out))
    spec = store.document(VolumeSpec, "volume.json")
    volumes, record = Volumes(store, spec), read_record(store, step, 0)
    assert record is not None
    if name.startswith("ng"):
        box = spec.scales[0].box.clip(Box(begin=(0, 0, 0), end=(10**6, 10**6, 1024)))
        made = volumes.write_viewer(0, box, 255 - volumes.read_viewer(0, box))
    else:
        scale = int(name.split("/")[1])
        begin, shape = spec.scales[scale].begin, spec.scales[scale].shard
        box = Box(begin=begin, end=plus(begin, shape)).clip(spec.scales[scale].box)
        voxels = volumes.read(scale, box).copy()
        voxels[planes] ^= np.uint8(1)
        made = volumes.write_aligned(scale, box, voxels)
    objects = {o.name: o for o in (*record.objects, *made)}
    write_record(store, UnitRecord(**{**record.model_dump(), "objects": tuple(objects.values())}))


@pytest.mark.properties
@pytest.mark.parametrize(
    ("step", "name", "what"),
    [
        ("render", "aligned/0/c/0/0/0", f"plane {FIRST} differs from the same plane rendered again"),
        ("write", "aligned/1/c/0/0/0", "is not the mean of the finer scale"),
        ("coarsen", "aligned/3/c/0/0/0", "is not the mean of the finer scale"),
        ("write", "ng/10_10_10/0.shard", "is not that of the aligned volume"),
    ],
)
def test_wrong_voxels_are_named_by_deep_alone_and_mended(
    whole: Path, out: Path, step: str, name: str, what: str
) -> None:
    write_wrongly(out, step, name)
    assert {f.name for f in verify(out).faults} == {"complete.json"}
    found = {f.name: f.what for f in verify(out, "deep").faults}
    assert what in found[name]
    assert repair(out, deep=True).left.faults == ()
    assert verify(out, "deep").faults == ()
    assert contents(out) == contents(whole)


def test_every_plane_that_is_due_is_compared(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_voxels, "EVERY_PLANE", 3)
    write_wrongly(out, "render", "aligned/0/c/0/0/0", planes=slice(1, None))
    found = {f.name: f.what for f in verify(out, "deep").faults}
    wrong = f"plane {FIRST + 3} differs from the same plane rendered again"
    assert found["aligned/0/c/0/0/0"] == wrong


def test_a_store_that_fails_while_samples_are_compared_does_not_read_as_clean(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise TransientError("the store does not answer")

    monkeypatch.setattr(render, "render_plane", fails)
    with pytest.raises(TransientError, match="does not answer"):
        verify(out, "deep")


def test_a_shard_that_does_not_decode_is_named(out: Path) -> None:
    store, name = Store(str(out)), "ng/10_10_10/0.shard"
    record = read_record(store, "write", 0)
    assert record is not None
    data = bytearray(store.need(name))
    data[16:400] = bytes(384)
    changed = store.write(name, bytes(data))
    objects = tuple(changed if o.name == name else o for o in record.objects)
    write_record(store, record.model_copy(update={"objects": objects}))
    found = {f.name: f.what for f in verify(out, "deep").faults}
    assert "does not decode" in found[name] or "is not that of the aligned volume" in found[name]


@pytest.mark.properties
def test_without_its_slices_a_run_is_compared_as_far_as_it_can_be(wide_source: Path, tmp_path: Path) -> None:
    source = shutil.copytree(wide_source, tmp_path / "source")
    out = run_here(plain(source, **SETTINGS), tmp_path / "out")
    shutil.rmtree(source)
    found = verify(out, "deep")
    assert found.faults == ()
    [note] = found.notes
    assert note.startswith("a sample of unit 0 of render was not compared: slice")
    assert note.endswith("the file is gone since it was planned; it was readable before")


@pytest.mark.properties
def test_what_needs_no_slice_is_mended_without_them(wide_source: Path, tmp_path: Path) -> None:
    source = shutil.copytree(wide_source, tmp_path / "source")
    out = run_here(plain(source, **SETTINGS), tmp_path / "out")
    wanted = contents(out)
    shutil.rmtree(source)
    (out / "ng/10_10_10/0.shard").unlink()
    (out / "ng/info").unlink()
    assert repair(out).left.faults == ()
    assert contents(out) == wanted


@pytest.mark.properties
def test_a_run_that_keeps_no_lossless_volume_is_whole_without_it(wide_source: Path, tmp_path: Path) -> None:
    out = run_here(plain(wide_source, **SETTINGS, lossless=False), tmp_path)
    wanted = contents(out)
    shutil.rmtree(out / "tmp")
    found = verify(out, "deep")
    assert found.faults == ()
    assert found.notes == ("the aligned volume was not kept: the viewer volume was decoded, not compared with it",)
    (out / "ng/10_10_10/0.shard").unlink()
    assert repair(out).left.faults == ()
    assert contents(out) == wanted
