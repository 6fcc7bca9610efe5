"""The refinement of a pair: known transforms come back, and slices that share nothing are not found."""

import cv2
import numpy as np
import pytest

from clio_argo.kernels import register as register_module
from clio_argo.kernels.features import Reduced, reduce_slice
from clio_argo.kernels.register import FitModel, NotFound, register
from clio_argo.model.alignment import IDENTITY, Floats, apply, corners, homogeneous
from tests.stacks import FIRST, demo_slice

SIDE = 320
START = np.array(IDENTITY, float)
MODELS: tuple[FitModel, ...] = ("translation", "rigid", "affine")


def reduced(image: Floats) -> Reduced:
    return reduce_slice(np.asarray(image, np.uint8), (SIDE, SIDE), detect=False)


def moved(matrix: Floats, scale: int = 1) -> Reduced:
    """The slice that `matrix` maps onto the first one."""
    image = cv2.resize(demo_slice(FIRST, SIDE), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    size = (image.shape[1], image.shape[0])
    return reduced(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))


def turned(degrees: float, x: float, y: float) -> Floats:
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, 1.0)
    return np.asarray(matrix + np.array([[0, 0, x], [0, 0, y]]))


def error_px(found: Floats, wanted: Floats) -> float:
    points = corners(SIDE, SIDE)
    return float(np.hypot(*(apply(found, points) - apply(wanted, points)).T).max())


@pytest.mark.parametrize("model", MODELS)
def test_slice_on_itself_stays(model: FitModel) -> None:
    matrix, correlation = register(moved(START), moved(START), START, model)
    assert error_px(matrix, START) < 1e-3
    assert correlation > 0.9999


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("translation", turned(0, 2.25, -1.5)),
        ("rigid", turned(0.4, 1.25, 0.75)),
        ("affine", turned(0.4, -1.25, 0.75) @ np.diag([1.004, 0.997, 1.0])),
    ],
)
def test_known_transform_comes_back(model: FitModel, wanted: Floats) -> None:
    matrix, correlation = register(moved(START), moved(wanted), START, model)
    assert error_px(matrix, wanted) < 0.05
    assert correlation > 0.99


def test_rigid_stays_rigid() -> None:
    matrix, _ = register(moved(START), moved(turned(0.4, 1, 0) @ np.diag([1.004, 0.997, 1])), START, "rigid")
    assert np.allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2), atol=1e-9)


def test_swapped_slices_give_the_inverse() -> None:
    a, b = moved(START), moved(turned(0.3, 1.5, -1))
    there, back = register(a, b, START, "affine")[0], register(b, a, START, "affine")[0]
    assert error_px((homogeneous(there) @ homogeneous(back))[:2], START) < 0.05


def test_every_second_pixel_of_a_large_slice_tells_as_much() -> None:
    """1280 px are looked at on a grid."""
    wanted = np.array([[1, 0, 3.25], [0, 1, -2.5]])
    matrix, _ = register(moved(START, 4), moved(wanted, 4), START, "translation")
    assert error_px(matrix, wanted) < 0.05


@pytest.mark.parametrize(
    ("image", "offset"), [(np.full((SIDE, SIDE), 128), 0), (demo_slice(FIRST, SIDE), 10 * SIDE)], ids=["flat", "apart"]
)
def test_slices_that_share_nothing_are_not_found(image: Floats, offset: float) -> None:
    with pytest.raises(NotFound, match="too little in common"):
        register(moved(START), reduced(image), START + np.array([[0, 0, offset], [0, 0, 0]]), "affine")


def test_inverted_slices_do_not_correlate() -> None:
    _, correlation = register(moved(START), reduced(255 - demo_slice(FIRST, SIDE)), START, "affine")
    assert correlation < 0


def test_steps_between_noisy_slices_are_taken_further_than_their_slopes_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slopes of noise make steps too short; what they lead to stays."""
    random = np.random.default_rng(0)
    fixed, moving = (reduced(demo_slice(FIRST + i, SIDE) + random.normal(0, 25, (SIDE, SIDE))) for i in (0, 1))
    steps, solve = list[Floats](), register_module._solve_model

    def ends(longer: float, still_px: float) -> tuple[Floats, int]:
        steps.clear()
        monkeypatch.setattr(register_module, "MOST_LONGER", longer)
        monkeypatch.setattr(register_module, "STILL_PX", still_px)
        return register(fixed, moving, START, "affine")[0], len(steps)

    monkeypatch.setattr(register_module, "_solve_model", lambda *given: steps.append(solve(*given)) or steps[-1])
    limit, still_px = register_module.MOST_LONGER, register_module.STILL_PX
    converged, _ = ends(1.0, 1e-7)
    (slow, many), (fast, few) = ends(1.0, still_px), ends(limit, still_px)
    assert few < many
    assert error_px(fast, converged) <= error_px(slow, converged) < 5e-3
