"""Runs whose volumes and temporary data lie in folders and buckets of their own."""

from pathlib import Path
from urllib.request import urlopen

import pytest

from clio_argo.errors import UserError
from clio_argo.maintenance.places import trusted_run
from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import verify
from clio_argo.model.layout import COMPLETE
from clio_argo.model.request import Request
from clio_argo.model.run import Completion
from clio_argo.model.storage import Buckets
from clio_argo.store.documents import Store
from clio_argo.workspace.run import open_run
from tests.serving import served, serving, shown
from tests.stacks import contents, demo_slices, request, run_here, write_stack
from tests.stores import Bucket

FOLDERS = {"viewer": "ng", "lossless": "aligned", "temporary": "tmp", "process": "process"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stack(tmp_path_factory.mktemp("slices"), demo_slices(4, 96))


@pytest.fixture(scope="module")
def together(folder: Path) -> dict[str, str]:
    """What a run with all in one folder gives."""
    return contents(run_here(request(folder), folder.parent / f"{folder.name}-run"))


def apart(folder: Path, base: Path | str) -> Request:
    """The request with everything in a folder of its own beside the run's."""
    return request(folder, **{f"buckets__{role}": f"{base}/the {role}" for role in FOLDERS})


def trusted(run: Path | str) -> Store:
    return trusted_run(run, trust_places=True)


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    return run_here(apart(folder, tmp_path), tmp_path / "run")


@pytest.mark.properties
def test_volumes_lie_where_the_request_says(run: Path, together: dict[str, str], tmp_path: Path) -> None:
    assert contents(run) == together
    assert not {n.partition("/")[0] for n in Store(str(run)).names()} & set(FOLDERS.values())
    done = open_run(str(run)).document(Completion, COMPLETE)
    assert (done.ng, done.aligned) == ((tmp_path / "the viewer").as_uri(), (tmp_path / "the lossless").as_uri())
    assert any((tmp_path / "the temporary").iterdir())
    assert not verify(trusted(run)).faults


@pytest.mark.properties
def test_volumes_lie_in_other_buckets(folder: Path, together: dict[str, str], bucket: Bucket) -> None:
    out = run_here(apart(folder, f"{bucket.url}/of the run"), f"{bucket.url}/run")
    assert contents(out) == together
    assert not any(n.startswith("ng/") for n in Store(out).names())
    done = open_run(out).document(Completion, COMPLETE)
    # moto's buckets are private, as Amazon's are; the emulator of Google's lets everybody read
    private = bucket.server.scheme == "s3"
    assert (f"view {bucket.url}/run" if private else f"{bucket.name}/of%20the%20run/the%20viewer") in done.link
    assert not verify(trusted(out), "deep").faults


@pytest.mark.properties
def test_a_run_is_mended_there_and_goes_on(run: Path, folder: Path, together: dict[str, str], tmp_path: Path) -> None:
    for role in ("viewer", "lossless"):
        files = (f for f in (tmp_path / f"the {role}").rglob("*") if f.is_file())
        max(files, key=lambda f: f.stat().st_size).write_bytes(b"")
    assert len(verify(trusted(run)).faults) == 2
    assert repair(trusted(run)).left.faults == ()
    assert contents(run) == together
    (tmp_path / "the temporary" / "facts" / "000000.npz").unlink()
    assert contents(run_here(apart(folder, tmp_path), run)) == together


@pytest.mark.properties
def test_a_damaged_request_still_tells_where(run: Path, together: dict[str, str]) -> None:
    (run / "config.json").write_bytes(b"{")
    assert repair(trusted(run)).left.faults == ()
    assert contents(run) == together


@pytest.mark.properties
def test_the_viewer_finds_it(run: Path, tmp_path: Path) -> None:
    volume = tmp_path / "the viewer"
    with serving(shown(run, volume)) as link, urlopen(served(link)[1] + "/ng/info") as answer:
        assert answer.read() == (volume / "info").read_bytes()


@pytest.mark.parametrize(
    ("role", "place", "said"),
    [("viewer", "run/ng", "overlap"), ("temporary", ".", "overlap"), ("lossless", "used", "is not empty")],
)
def test_places_are_this_run_s_alone(folder: Path, tmp_path: Path, role: str, place: str, said: str) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("somebody's")
    with pytest.raises(UserError, match=said):
        run_here(request(folder, **{f"buckets__{role}": str(tmp_path / place)}), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_two_roles_need_two_folders() -> None:
    with pytest.raises(ValueError, match="a folder of its own"):
        Buckets(viewer="gs://bucket/a", lossless="gs://bucket/a")


@pytest.mark.properties
def test_parts_do_not_move(run: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="the buckets of a run cannot change"):
        run_here(request(folder, update=True), run)
