"""A volume as the library cloud-volume opens it."""

from pathlib import Path
from typing import Any


def cloud_volume(folder: Path, mip: int = 0) -> Any:
    """The precomputed volume in a folder; what lies outside of it or was not written is an error."""
    # imported here: it takes seconds, in every process that only collects tests
    from cloudvolume import CloudVolume

    return CloudVolume(f"file://{folder}", mip=mip, fill_missing=False, progress=False, bounded=True)
