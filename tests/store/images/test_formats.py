"""Image formats: each is one value, and another package adds one."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clio_argo.errors import UserError
from clio_argo.runner import run
from clio_argo.steps.plan import plan
from clio_argo.store.images import FORMATS, decode, format_names, formats, is_image
from clio_argo.store.images.base import Page, Undecodable
from tests.stacks import NAME, demo_slices, digests, plain, request, run_here, write_stack
from tests.store.images.samples import HUGE_FILES
from tests.store.images.toy import encode

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a format, MODULE:NAME, as pip installs a package."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)

    def installed(value: str) -> None:
        folder = site / "toy_format-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-format\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[clio_argo.formats]\npgm = {value}\n")
        formats.cache_clear()

    yield installed
    formats.cache_clear()


@pytest.mark.parametrize(
    ("name", "image"),
    [("a.PNG", True), ("a.tiff", True), ("a.jpeg", True), ("a.pgm", False), ("a.txt", False), ("png", False)],
)
def test_images_are_known_by_their_suffix(name: str, image: bool) -> None:
    assert is_image(name) == image


def test_no_two_formats_share_a_suffix_or_take_each_others_files() -> None:
    suffixes = [s for f in FORMATS for s in f.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(s.startswith(".") and s == s.lower() for s in suffixes)
    for name, make in HUGE_FILES.items():
        assert [f.name for f in FORMATS if f.takes(make())] == [name]


def test_messages_name_the_formats_that_are_there(tmp_path: Path, install: Install) -> None:
    assert format_names() == "PNG, TIFF, JPEG, DAT or MRC"
    with pytest.raises(UserError, match="found no slice; there is no PNG, TIFF, JPEG, DAT or MRC file"):
        plan(request(tmp_path))
    install("tests.store.images.toy:PGM")
    assert is_image("a.pgm")
    with pytest.raises(UserError, match="found no slice; there is no PNG, TIFF, JPEG, DAT, MRC or PGM file"):
        plan(request(tmp_path))
    (tmp_path / "1.pgm").write_text("a picture of a fly")
    with pytest.raises(UserError, match="not a PNG, TIFF, JPEG, DAT, MRC or PGM file"):
        plan(request(tmp_path))


@pytest.mark.properties
def test_a_run_reads_a_format_of_another_package(tmp_path: Path, install: Install) -> None:
    slices = demo_slices(3, 96)
    (tmp_path / "pgm").mkdir()
    for z, image in slices.items():
        (tmp_path / "pgm" / (NAME % z)).with_suffix(".pgm").write_bytes(encode(image))
    install("tests.store.images.toy:PGM")
    # its workers are processes of their own, which find the format by themselves
    assert run(plain(tmp_path / "pgm"), tmp_path / "run", 2).slices == 3
    run_here(plain(write_stack(tmp_path / "png", slices)), tmp_path / "expected")
    volumes, expected = digests(tmp_path / "run"), digests(tmp_path / "expected")
    assert volumes["aligned"] == expected["aligned"] != []
    assert volumes["ng"] == expected["ng"] != []


def test_damaged_files_of_another_package_are_problems_of_their_slices(tmp_path: Path, install: Install) -> None:
    install("tests.store.images.toy:PGM")
    whole = encode(next(iter(demo_slices(1, 96).values())))
    for name, data in {"1": whole, "2": whole[:-1], "3": b"P5 x", "4": whole}.items():
        (tmp_path / f"{name}.pgm").write_bytes(data)
    found = {p.z: p for p in plan(request(tmp_path)).problems}
    assert {z: p.kind for z, p in found.items()} == {2: "truncated", 3: "unreadable"}
    assert "broken header: ValueError" in found[3].detail
    with pytest.raises(Undecodable, match="does not decode: ValueError"):
        decode(io.BytesIO(whole[:-1]), Page())
    assert np.array_equal(decode(io.BytesIO(whole), Page())[0], next(iter(demo_slices(1, 96).values())))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("tests.store.images.gone:PGM", "No module named 'tests.store.images.gone'"),
        ("tests.store.images.toy:GONE", "has no attribute 'GONE'"),
        ("tests.store.images.toy:pixels", "instance of Format"),
    ],
)
def test_a_format_that_cannot_be_loaded_is_named(install: Install, value: str, reason: str) -> None:
    install(value)
    with pytest.raises(UserError, match=rf"image format pgm \({value}\): (.|\n)*{reason}"):
        formats()
