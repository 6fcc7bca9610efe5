"""Damage that a decoder passes over is heard: the slice is suspect, and the decoder's words are the reason."""

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from clio_argo.placement.verdicts import judge
from clio_argo.runner import run
from clio_argo.store.images import decode
from clio_argo.store.images.base import Page
from clio_argo.store.images.decoder_words import heard
from tests.placement.test_verdicts import facts, fits
from tests.stacks import demo_slices, plain, transforms
from tests.store.images.samples import SAMPLES, encoded, texture, tiff

NOISE = texture(height=200, width=200)


def damaged(data: bytes, begin: int = 0) -> bytes:
    """A JPEG, or a file with one from byte `begin` on, with a mark within its pixels."""
    middle = begin + (len(data) - begin) * 2 // 3
    return data[:middle] + b"\xff\xd3\x12\x34" + data[middle + 4 :]


def jpeg_in_tiff(**options: int | tuple[int, int]) -> bytes:
    return tiff(NOISE, compression="jpeg", compressionargs={"level": 95}, **options)


@pytest.mark.parametrize(
    "data",
    [encoded(".jpg", NOISE), jpeg_in_tiff(), jpeg_in_tiff(rowsperstrip=64), jpeg_in_tiff(tile=(128, 128))],
    ids=["JPEG", "TIFF", "strips", "tiles"],
)
def test_what_a_decoder_says_of_damage_is_heard(data: bytes) -> None:
    assert decode(io.BytesIO(data), Page())[1] == ""
    assert decode(io.BytesIO(damaged(data)), Page())[1].startswith("Corrupt JPEG data")


@pytest.mark.parametrize("kind", SAMPLES)
def test_nothing_is_said_of_whole_files(kind: str) -> None:
    assert decode(io.BytesIO(SAMPLES[kind]().data), Page())[1] == ""


def test_what_others_write_meanwhile_appears_in_full(capfd: pytest.CaptureFixture[str]) -> None:
    with heard() as words:
        os.write(2, b"out of paper\nCorrupt JPEG data: bad Huffman code\n")
    assert words == ["Corrupt JPEG data: bad Huffman code"]
    assert capfd.readouterr().err.strip() == "out of paper"
    with pytest.raises(ValueError, match="decoder"), heard():
        raise ValueError("decoder")
    os.write(2, b"as before")
    assert capfd.readouterr().err == "as before"


def test_a_process_without_standard_error_decodes() -> None:
    text = "from clio_argo.store.images.decoder_words import heard\nwith heard() as words: pass\nprint(words)"
    found = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -c '{text}' 2>&-"], capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


def test_a_slice_of_which_its_decoder_warns_is_suspect() -> None:
    stack = [f.model_copy(update={"warning": "Corrupt JPEG data: x" if f.z == 7 else ""}) for f in facts()]
    for pairs in (fits(), None):
        assert {z: (r.verdict, r.reason) for z, r in judge(stack, pairs).items()} == {
            7: ("suspect", "damaged: Corrupt JPEG data: x")
        }


@pytest.mark.properties
def test_a_damaged_jpeg_makes_its_slice_suspect(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for z, pixels in demo_slices(4, 160).items():
        data = encoded(".jpg", pixels, cv2.IMWRITE_JPEG_QUALITY, 95)
        (tmp_path / "in" / f"{z}.jpg").write_bytes(damaged(data) if z % 4 == 2 else data)
    run(plain(tmp_path / "in", image="%d.jpg"), tmp_path / "run", 1)
    [suspect] = [s for s in transforms(tmp_path / "run").slices if "Corrupt JPEG data" in (s.reason or "")]
    assert suspect.verdict == "suspect"
    assert suspect.z % 4 == 2
