"""Slices that were measured while they were recorded, one object each: `reduce` takes them instead of the files."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import MissingInput, UserError
from clio_argo.kernels.features import Reduced
from clio_argo.kernels.fill import Mask
from clio_argo.model.alignment import SliceStatistics
from clio_argo.model.base import canonical_json, digest
from clio_argo.model.layout import followed_name
from clio_argo.model.plan import SliceFile
from clio_argo.store.documents import Store, crc32c
from clio_argo.store.reduced import read_arrays, write_arrays
from clio_argo.workspace.measure_slice import Measured, largest
from clio_argo.workspace.reduced import CHANNELS, pack, unpack
from clio_argo.workspace.run import Run


def mask_checksum(excluded: Mask | None) -> list[str]:
    """CRC32C of what the user's mask leaves out, bool [y, x]; empty without one."""
    return [] if excluded is None else [crc32c(excluded.tobytes())]


def write_followed(run: Run, slice_file: SliceFile, mask: Sequence[str], measured: Measured) -> None:
    """Keep what was measured of a slice. run: as `reduce` sees it. mask: as `mask_checksum`."""
    text = canonical_json(measured.statistics.model_dump())
    values = np.flatnonzero(measured.counts)
    arrays: dict[str, NDArray[Any]] = {
        "key": np.frombuffer(_key(run, slice_file, mask).encode(), np.uint8),
        "facts": np.frombuffer(text, np.uint8),
        "values": values, "pixels": measured.counts[values], "depth": np.array(measured.counts.size),
        CHANNELS: np.zeros(0, np.int64) if measured.channels is None else measured.channels,
        **(pack(slice_file.z, measured.reduced) if measured.reduced is not None else {}),
    }  # fmt: skip
    write_arrays(run.store, followed_name(slice_file.z), arrays)


def read_followed(run: Run, slices: Sequence[SliceFile], mask: Sequence[str]) -> dict[int, Measured]:
    """What was measured before of slices that are still the same, by z. mask: as `mask_checksum`."""
    found = ((s, followed_name(s.z)) for s in slices)
    there = [(s, name) for s, name in found if name in run.followed]
    measured = {s.z: _read(run, s, name, mask) for s, name in there}
    return {z: m for z, m in measured.items() if m is not None}


def read_reduced(store: Store, z: int) -> Reduced | None:
    """Slice z in small, as it was kept; None if it was not, or is damaged."""
    try:
        return unpack(read_arrays(store, followed_name(z)), z)
    except (MissingInput, UserError, KeyError, ValueError):
        return None


def _read(run: Run, slice_file: SliceFile, name: str, mask: Sequence[str]) -> Measured | None:
    """As `read_followed`; None if it is of another file or other settings, or damaged."""
    try:
        arrays = read_arrays(run.store, name)
        if arrays["key"].tobytes().decode() != _key(run, slice_file, mask):
            return None
        counts = np.zeros(int(arrays["depth"]), np.int64)
        counts[arrays["values"]] = arrays["pixels"]
        statistics = SliceStatistics.model_validate_json(arrays["facts"].tobytes())
        reduced = unpack(arrays, slice_file.z) if f"image{slice_file.z}" in arrays else None
        channels = arrays[CHANNELS]
        return Measured(statistics, reduced, counts, channels if channels.size else None)
    except (UserError, KeyError, ValueError):
        return None


def _key(run: Run, slice_file: SliceFile, mask: Sequence[str]) -> str:
    """Digest of all that what `reduce` measures of a slice depends on."""
    return digest([slice_file.model_dump(), mask, run.settings_digest, run.step.version, largest(run)])
