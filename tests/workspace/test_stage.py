"""Positions of the stage that files tell are offered, and used as recorded positions where a request asks for them."""

from pathlib import Path

import numpy as np
import pytest

from clio_argo.errors import UserError
from clio_argo.model.layout import CONFIG, USER_INPUTS
from clio_argo.model.request import Request
from clio_argo.model.user_inputs import UserInputs
from clio_argo.store.documents import Store
from clio_argo.workspace.preflight import preflight
from tests.stacks import demo_slices, plain, request, run_here, transforms
from tests.store.images.test_tiff_scale import written

FEI = "[Scan]\r\nPixelWidth=1e-08\r\nPixelHeight=1e-08\r\n[Stage]\r\nStageX={x}\r\nStageY={y}\r\n"


def stack(folder: Path, *at_um: tuple[float, float] | None) -> Path:
    """Slices of 10 nm a pixel, and where their stage stood in µm."""
    folder.mkdir()
    for (z, image), at in zip(demo_slices(len(at_um), 160).items(), at_um, strict=True):
        text = FEI.format(x=f"{at[0]}e-06" if at else "", y=f"{at[1]}e-06" if at else "").encode()
        (folder / f"{z}.tif").write_bytes(written(image, extratags=[(34682, 2, len(text), text, True)]))
    return folder


def test_they_become_positions_in_pixels_relative_to_the_first_slice(tmp_path: Path) -> None:
    source = stack(tmp_path / "s", (500, -3), (500.05, -3), (500.05, -2.9))
    out = run_here(plain(source, positions="from-files"), tmp_path / "out")
    given = Store(str(out)).document(UserInputs, USER_INPUTS)
    assert [(p.x_px, p.y_px) for p in given.positions] == [
        (0, 0),
        (pytest.approx(5), 0),
        (pytest.approx(5), pytest.approx(-10)),
    ]
    assert given.files == {}
    placed = np.array([s.matrix for s in transforms(out).slices])[:, :, 2]
    assert placed - placed[0] == pytest.approx(np.array([(0, 0), (5, 0), (5, -10)]), abs=1e-3)
    assert Store(str(out)).document(Request, CONFIG).positions == "from-files"


def test_they_are_offered_where_all_files_tell_them_and_the_stage_moved(tmp_path: Path) -> None:
    told = {
        "all": ((1, 1), (2, 1), (3, 1)),
        "some": ((1, 1), (2, 1), None),
        "one": ((1, 1), (1, 1), (1, 1)),
        "none": (None, None, None),
    }
    said = {
        name: preflight(request(stack(tmp_path / name, *at))).plan.found.get("positions") for name, at in told.items()
    }
    assert said == {
        "all": "files tell stage positions: `positions: from-files` uses them",
        "some": "files tell stage positions of 2 of 3 slices, which are not used",
        "one": None,
        "none": None,
    }
    used = preflight(request(tmp_path / "all", positions="from-files"))
    assert used.plan.found["positions"] == "of the stage, by the files"


def test_slices_without_one_are_refused_all_at_once(tmp_path: Path) -> None:
    source = stack(tmp_path / "s", None, (1, 1), None)
    with pytest.raises(UserError, match=r"from-files: their files tell no position of the stage: slices 3490, 3492"):
        preflight(request(source, positions="from-files")).refuse()


def test_a_file_of_that_name_is_given_with_a_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = stack(tmp_path / "s", None, None)
    (tmp_path / "from-files").write_text("z,x_px,y_px\n3490,0,0\n3491,7,8\n")
    monkeypatch.chdir(tmp_path)
    given = preflight(request(source, positions="./from-files")).given.user_inputs
    assert [(p.x_px, p.y_px) for p in given.positions] == [(0, 0), (7, 8)]
