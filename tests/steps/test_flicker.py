"""Flicker is evened out in the volume, and what was done is on record."""

import json
from pathlib import Path

import numpy as np
import pytest

from clio_argo.kernels.contrast import apply_gain
from clio_argo.pipeline import PIPELINE
from clio_argo.placement.flicker import even_out
from clio_argo.store.documents import Store
from clio_argo.workspace.reduced import read_all_statistics
from clio_argo.workspace.run import Run
from tests.stacks import DEMO, demo_slices, lossless, plain, run_here, transforms, write_stack


@pytest.mark.parametrize("statistic", ["mean", "std"])
def test_the_demo_comes_closer_to_its_undistorted_brightness_and_contrast(demo: Path, statistic: str) -> None:
    truth = {s["index"]: s for s in json.loads((DEMO / "truth.json").read_text())["slices"]}
    facts = read_all_statistics(Run(Store(str(demo)), PIPELINE["solve"], PIPELINE)).slices
    placed = [s for s in even_out(transforms(demo), facts, 50).slices if s.verdict == "good"]
    by_z = {f.z: f for f in facts}
    file = np.array([(by_z[s.z].mean, by_z[s.z].std) for s in placed])
    grey = np.array([s.grey for s in placed])
    made = np.array([(truth[s.z]["gain"], truth[s.z]["offset"]) for s in placed])
    if statistic == "mean":
        before, after, right = file[:, 0], file[:, 0] * grey[:, 0] + grey[:, 1], file[:, 0] - made[:, 1]
    else:
        before, after, right = file[:, 1], file[:, 1] * grey[:, 0], file[:, 1] / made[:, 0]
    assert np.std(after - right) < 0.7 * np.std(before - right)


@pytest.mark.parametrize("factor", [1, 200])
def test_a_flickering_slice_is_rendered_like_its_neighbours(factor: int, tmp_path: Path) -> None:
    dtype = np.uint8 if factor == 1 else np.uint16
    slices = {z: (image // 2 + 40).astype(dtype) * dtype(factor) for z, image in demo_slices(9, 64).items()}
    odd = min(slices) + 4
    slices[odd] = apply_gain(slices[odd], 1.3, -20.0 * factor)
    source = write_stack(tmp_path / "source", slices)
    volume = lossless(run_here(plain(source, contrast__flicker=4), tmp_path / "out"))
    placed = transforms(tmp_path / "out").slices
    assert all(s.grey for s in placed)
    expected = [apply_gain(slices[s.z], *(s.grey or (1, 0))) for s in placed]
    assert np.array_equal(volume, np.stack(expected))
    means, spreads = volume.mean((1, 2)), volume.std((1, 2))
    assert np.ptp(means) < 3 * factor
    assert np.ptp(spreads) < 0.1 * spreads.mean()
