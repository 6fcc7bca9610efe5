"""What the program must know of a setting beside its type."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """Facts of a setting, which its field is annotated with.

    voxels: whether it can change a voxel. A run can be resumed with another value of one that cannot.
    correction: whether users change it after they looked at a run: only what depends on it is rerun.
    file: whether it names a file that the user provides beside the slices.
    """

    voxels: bool = True
    correction: bool = False
    file: bool = False


NO_VOXEL, FILE, CORRECTIONS = Facts(voxels=False), Facts(file=True), Facts(file=True, correction=True)
