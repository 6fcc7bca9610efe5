"""Large stacks made of real slices: mosaics of turned tiles from different depths, shifted by known steps."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

# grey levels, standard deviation
NOISE_LEVELS = 12
# further than any slice is moved
MARGIN_PX = 64


def mosaic_slice(volume: NDArray[np.uint8], side: int, z: int) -> NDArray[np.uint8]:
    """Slice `z` of a field of side x side pixels [y, x], tiled from `volume` [z, y, x]; no tile stands twice."""
    tile = volume.shape[1]
    count = -(-side // tile)
    rows = [np.hstack([_tile(volume, r * count + c, z) for c in range(count)]) for r in range(count)]
    return np.ascontiguousarray(np.vstack(rows)[:side, :side])


def _tile(volume: NDArray[np.uint8], number: int, z: int) -> NDArray[np.uint8]:
    """Tile `number`: its own orientation and depth, so that no other transform fits the whole; turns at the ends."""
    random = np.random.default_rng(number)
    turns, mirrored, start = random.integers(4), random.integers(2), random.integers(2 * len(volume))
    turned = np.rot90(_there_and_back(volume, int(z + start)), turns)
    return turned[:, ::-1] if mirrored else turned


def _there_and_back(volume: NDArray[np.uint8], z: int) -> NDArray[np.uint8]:
    """Slice [y, x] that comes `z` steps after the first one, if those of `volume` [z, y, x] turn at its ends."""
    last = len(volume) - 1
    depth = z % (2 * last)
    return volume[min(depth, 2 * last - depth)]


def _volume(source: Path) -> NDArray[np.uint8]:
    """Slices [z, y, x] of the PNGs in a folder."""
    return np.stack([cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in sorted(source.glob("*.png"))])


def shifts(slices: int, seed: int = 0) -> NDArray[np.float64]:
    """Shift (x, y) of every slice in pixels: jitter of 2 px on a slow walk; slice 0 stays."""
    random = np.random.default_rng(seed)
    walk = np.cumsum(random.normal(0, 0.3, (slices, 2)), 0) + random.normal(0, 2.0, (slices, 2))
    return walk - walk[0]


def noisy_slice(volume: NDArray[np.uint8], side: int, z: int) -> NDArray[np.uint8]:
    """Slice `z` of `volume` [z, y, x], enlarged to side x side pixels [y, x], with the noise of a detector."""
    large = cv2.resize(_there_and_back(volume, z), (side, side), interpolation=cv2.INTER_CUBIC)
    seen = large + np.random.default_rng(z).normal(0, NOISE_LEVELS, large.shape)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def write_noisy_stack(source: Path, out: Path, side: int, slices: int) -> None:
    """Write `slices` noisy PNGs of side x side pixels as iso.%05d.png into `out`, moved by whole pixels."""
    out.mkdir(parents=True, exist_ok=True)
    volume = _volume(source)
    for z, move in enumerate(np.rint(shifts(slices)).astype(int)):
        left, top = MARGIN_PX - move
        seen = noisy_slice(volume, side + 2 * MARGIN_PX, z)[top : top + side, left : left + side]
        cv2.imwrite(str(out / f"iso.{z:05d}.png"), seen, [cv2.IMWRITE_PNG_COMPRESSION, 4])


def write_stack(source: Path, out: Path, side: int, slices: int, first: int = 0) -> NDArray[np.float64]:
    """Write `slices` PNGs of side x side pixels as iso.%05d.png into `out`; returns their true shifts."""
    out.mkdir(parents=True, exist_ok=True)
    volume = _volume(source)
    moves = shifts(slices)
    for z in range(slices):
        matrix = np.array([[1, 0, moves[z, 0]], [0, 1, moves[z, 1]]])
        moved = cv2.warpAffine(mosaic_slice(volume, side, z), matrix, (side, side), flags=cv2.INTER_CUBIC)
        cv2.imwrite(str(out / f"iso.{first + z:05d}.png"), moved, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return moves
