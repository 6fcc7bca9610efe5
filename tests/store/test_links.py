"""Symbolic links in a source: those that leave it are read on request, those that lead to no file are named."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clio_argo.cli.doctor_store import look_at_source
from clio_argo.errors import UserError
from clio_argo.store.links import LEAVES
from clio_argo.store.slices import Source
from clio_argo.workspace.first_look import first_look
from clio_argo.workspace.renumber import renumbering
from clio_argo.workspace.survey import survey
from tests.stacks import Image, demo_slices, encoded, plain, request, run_here, transforms, write_stack

SLICES = dict(enumerate(demo_slices(4, 64).values()))


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder of links to slices elsewhere, renumbered."""
    elsewhere = write_stack(tmp_path / "elsewhere", SLICES, "s_%d.png")
    folder = tmp_path / "linked"
    folder.mkdir()
    for z in SLICES:
        (folder / f"img.{z:05d}.png").symlink_to(elsewhere / f"s_{z}.png")
    return folder


def pixels(folder: Path, **settings: object) -> list[Image]:
    plan, units, _ = survey(request(folder, **settings))
    assert plan.problems == ()
    return [Source(plan.source).decode(s) for unit in units for s in unit.slices]


def faults(folder: Path, **settings: object) -> list[str]:
    plan, _, _ = survey(request(folder, **settings))
    return [f"{p.kind}: {p.detail}" for p in plan.problems]


def test_links_that_leave_the_folder_are_read_on_request(linked: Path) -> None:
    assert all(map(np.array_equal, pixels(linked, follow_links=True), SLICES.values()))


def test_the_refusal_names_the_setting(linked: Path) -> None:
    (linked / "img.00001.png").unlink()
    (linked / "img.00001.png").write_bytes(encoded(SLICES[1]))
    refused = f"outside of the source: {LEAVES}"
    assert faults(linked) == [refused] * 3


@pytest.mark.parametrize("name", ["raw", "part1"])
def test_a_linked_folder_is_read_on_request(linked: Path, name: str) -> None:
    folder = linked.parent / "folder"
    folder.mkdir()
    (folder / name).symlink_to(linked.parent / "elsewhere")
    assert all(map(np.array_equal, pixels(folder, follow_links=True), SLICES.values()))


@pytest.mark.parametrize("follow", [False, True])
def test_links_to_no_file_are_named_and_never_opened(linked: Path, follow: bool) -> None:
    for z, image in SLICES.items():
        (linked / f"img.{z:05d}.png").unlink()
        (linked / f"img.{z:05d}.png").write_bytes(encoded(image))
    os.mkfifo(linked.parent / "pipe")
    os.mkfifo(linked / "img.00008.png")
    for z, target in enumerate(["img.00004.png", "gone.png", "../pipe", "/dev/zero"], 4):
        (linked / f"img.{z:05d}.png").symlink_to(target)
    words = ["a link in a circle", "a link to what does not exist", *["a device or pipe"] * 3]
    assert faults(linked, follow_links=follow) == [f"outside of the source: {w}" for w in words]


@pytest.mark.parametrize(
    "look",
    [
        faults,
        lambda folder: first_look({"id": "x", "source": str(folder)}, 8),
        lambda folder: [*look_at_source(str(folder))],
        lambda folder: renumbering(request(folder), False, None, 0, None),
    ],
)
@pytest.mark.parametrize("is_link", [False, True])
def test_nothing_waits_for_a_pipe(tmp_path: Path, look: Callable[[Path], object], is_link: bool) -> None:
    folder, pipe = tmp_path / "source", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe if is_link else folder / "1.tif")
    if is_link:
        (folder / "1.tif").symlink_to(pipe)
    try:
        said = str(look(folder))
    except UserError as error:
        said = str(error)
    assert "1.tif" in said
    assert "a device or pipe" in said


def test_a_chain_of_links_is_followed_to_its_end(linked: Path) -> None:
    (linked / "img.00004.png").symlink_to("img.00003.png")
    assert len(pixels(linked, follow_links=True)) == 5
    (linked.parent / "elsewhere" / "s_3.png").unlink()
    assert faults(linked, follow_links=True) == ["outside of the source: a link to what does not exist"] * 2


def test_a_run_of_links_places_the_slices_that_they_lead_to(linked: Path, tmp_path: Path) -> None:
    out = run_here(plain(linked, follow_links=True), tmp_path / "out")
    assert [(s.z, s.file) for s in transforms(out).slices] == [(z, f"img.{z:05d}.png") for z in SLICES]


def test_a_link_to_another_file_is_a_changed_slice(linked: Path) -> None:
    plan, units, _ = survey(request(linked, follow_links=True))
    (linked / "img.00002.png").unlink()
    (linked / "img.00002.png").symlink_to(linked.parent / "elsewhere" / "s_0.png")
    after, _, _ = survey(request(linked, follow_links=True))
    assert plan.digest != after.digest
    assert len(units) == 4
