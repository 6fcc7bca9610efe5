"""Formats that are not read are refused by their name, with the way to convert them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clio_argo.cli.doctor_store import look_at_source
from clio_argo.errors import UserError
from clio_argo.steps.plan import plan
from clio_argo.store.documents import Store
from clio_argo.store.images import FORMATS, is_image
from clio_argo.store.images.others import OTHERS, other_by_content, other_by_name
from tests.stacks import demo_slices, request, write_stack
from tests.store.images.samples import GREY8, SAMPLES, pillow
from tests.stores import Bucket


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, GREY8)
    return buffer.getvalue()


PICTURE = Image.fromarray(GREY8)
FILES = {
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(1000),
    "CZI": b"ZISRAWFILE" + bytes(1000),
    "DM3 or DM4": b"\0\0\0\x04\0" + bytes(1000),
    "NumPy": npy(),
    "DICOM": bytes(128) + b"DICM" + bytes(1000),
    "NIfTI": bytes(344) + b"n+1\0",
    "GIF": pillow(PICTURE, "gif"),
    "BMP": pillow(PICTURE, "bmp"),
    "WebP": pillow(PICTURE, "webp"),
    "JPEG 2000": pillow(PICTURE, "jpeg2000"),
    "MP4 or MOV": b"\0\0\0\x20ftypisom" + bytes(100),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_format_is_named_by_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / "1.png").write_bytes(FILES[name])
    with pytest.raises(UserError, match=rf"1\.png: unreadable \({name} is not read: \w"):
        plan(request(tmp_path))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("stack.ims", r"stack\.ims: Imaris is not read: open it in Fiji"),
        ("stack.H5", r"stack\.H5: HDF5 is not read: write it as TIFF"),
        ("film.avi", r"film\.avi: AVI is not read: take its frames out"),
        ("all.zip", r"all\.zip: an archive is not read: unpack it"),
    ],
)
def test_a_folder_without_slices_names_what_lies_there(tmp_path: Path, file: str, told: str) -> None:
    (tmp_path / file).write_bytes(bytes(100))
    (tmp_path / f"z{file}").write_bytes(bytes(100))
    (tmp_path / "readme.txt").write_text("no image")
    with pytest.raises(UserError, match=f"^source .*: found no slice; there is (?!.*readme){told}"):
        plan(request(tmp_path))
    [listed] = look_at_source(str(tmp_path))
    assert "is not read" in listed.found


def test_beside_slices_they_are_left_out(tmp_path: Path) -> None:
    write_stack(tmp_path / "png", demo_slices(3, 64))
    (tmp_path / "png" / "film.mp4").write_bytes(b"")
    assert plan(request(tmp_path / "png")).problems == ()


def test_a_source_that_is_such_a_file_is_named_in_a_folder_and_in_a_bucket(tmp_path: Path, gcs: Bucket) -> None:
    (tmp_path / "scan.czi").write_bytes(FILES["CZI"])
    with pytest.raises(UserError, match="CZI is not read: open it in Fiji"):
        plan(request(tmp_path / "scan.czi"))
    Store(gcs.url).write("scan.czi", FILES["CZI"])
    for source in (gcs.url, f"{gcs.url}/scan.czi"):
        with pytest.raises(UserError, match=r"scan\.czi: CZI is not read: open it in Fiji"):
            plan(request(source))


def test_a_file_that_is_given_is_read_whatever_its_name_is(tmp_path: Path) -> None:
    (tmp_path / "stack.bin").write_bytes(SAMPLES["grey TIFF"]().data)
    assert plan(request(tmp_path / "stack.bin")).usable == 1


def test_no_format_that_is_read_is_among_them() -> None:
    suffixes = [s for f in OTHERS for s in f.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert not any(is_image(f"a{s}") for s in suffixes)
    assert not any(other_by_name(f"a{s}") for f in FORMATS for s in f.suffixes)
    assert not [kind for kind, make in SAMPLES.items() if other_by_content(make().data) and "MRC" not in kind]
