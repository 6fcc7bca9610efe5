"""The bar of text below the picture of a scanning electron microscope is found to the row; nothing else is one."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.kernels.data_bar import data_bar_rows
from tests.defects import bytes_of
from tests.stacks import FIRST, NOISE, Image, demo_slice

SIZE = 300


def text_bar(rows: int, background: int = 0, text: int = 255) -> Image:
    """Rows of text and a scale bar, as microscopes write them."""
    bar = np.full((rows, SIZE), background, np.uint8)
    for x, words in ((5, "HV 2.00 kV"), (100, "mag 25 000 x")):
        cv2.putText(bar, words, (x, rows // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.3, text, 1, cv2.LINE_AA)
    bar[rows // 2 : rows // 2 + 3, 220:280], bar[:, 210] = text, text
    return bar


@given(st.integers(20, 60), st.sampled_from([(0, 255), (255, 0), (70, 250)]), st.integers(FIRST, NOISE - 1))
@settings(max_examples=20)
def test_a_bar_is_found_to_the_row(rows: int, greys: tuple[int, int], z: int) -> None:
    image = np.vstack([demo_slice(z, SIZE), text_bar(rows, *greys)])
    assert data_bar_rows(image) == rows
    assert data_bar_rows(image.astype(np.uint16) * 257) == rows


@pytest.mark.parametrize("quality", [75, 95])
def test_a_bar_of_a_jpeg_is_found_to_a_block(quality: int) -> None:
    image = np.vstack([demo_slice(FIRST, SIZE), text_bar(44)])
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    assert 44 - 8 < data_bar_rows(np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))) <= 44


def turned(image: Image) -> Image:
    turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 4, 1)
    return np.asarray(cv2.warpAffine(image, turn, (SIZE, SIZE)))


@pytest.mark.parametrize(
    "image",
    [
        demo_slice(FIRST, SIZE),
        bytes_of(cv2.GaussianBlur(demo_slice(FIRST, SIZE), (0, 0), 4)),
        np.pad(demo_slice(FIRST, SIZE - 60), 30),
        turned(demo_slice(FIRST, SIZE)),
        np.full((SIZE, SIZE), 255, np.uint8),
        text_bar(SIZE),
        np.vstack([demo_slice(FIRST, SIZE), text_bar(4)]),
        np.zeros((3, 1), np.uint8),
    ],
    ids=["tissue", "blurred", "padded", "turned", "blank", "text", "thin", "tiny"],
)
def test_nothing_else_is_a_bar(image: Image) -> None:
    assert data_bar_rows(image) == 0
