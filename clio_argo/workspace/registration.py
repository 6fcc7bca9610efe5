"""A finished run in a clio-store: which layers show it, and what is said if the store does not take it."""

import os
from shlex import quote

from clio_argo.clio_store import TOKEN, ClioStore, Registered, Shown, register
from clio_argo.errors import ClioError, UserError
from clio_argo.model.base import counted
from clio_argo.model.registration import Register
from clio_argo.model.run import Completion
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store
from clio_argo.viewer.channels import volume_layers


def register_run(
    done: Completion, volume: VolumeSpec, store: ClioStore, dataset: str | None, public: bool, dry_run: bool
) -> Registered:
    """Make a dataset show the run; the id of the run if none is named.

    Raises:
        UserError: the volume lies where no web site finds it, or the store's URL or the token cannot be used.
        StoreError, TransientError: as `clio_store.register`.
    """
    if Store(done.ng).local is not None:
        raise UserError(f"{done.ng}: lies on this machine; a web site shows only what lies in a bucket")
    return register(store, dataset or done.id, shown_by(done, volume), public, dry_run)


def shown_by(done: Completion, volume: VolumeSpec) -> Shown:
    """What shows the viewer volume of a run, at its middle."""
    # the finest scale that ng/ has: position and dimensions are in its voxels
    scale = volume.scales[volume.ng_scales[0]]
    z, y, x = (begin + size // 2 for begin, size in zip(scale.begin, scale.size, strict=True))
    resolution_z, resolution_y, resolution_x = scale.resolution
    return Shown(
        name=done.id, source=done.ng, layers=volume_layers(volume, f"precomputed://{done.ng}", done.id),
        resolution_nm=(resolution_x, resolution_y, resolution_z), position=(x, y, z),
        description=f"{counted(done.slices, 'slice')}, aligned by clio-argo {done.version}",
    )  # fmt: skip


def register_if_wanted(wanted: Register, done: Completion, volume: VolumeSpec, run: str) -> str:
    """Register a run as its request asks; a line for people about it, empty if nothing was asked for.

    Whatever keeps it from being registered is a line, too: the volume is whole nevertheless.
    """
    if wanted.store is None:
        return ""
    try:
        store = ClioStore.at(wanted.store, os.environ.get(TOKEN, "").strip())
        made = register_run(done, volume, store, wanted.dataset, public=False, dry_run=False)
    except ClioError as error:
        return f"not registered, clio-argo register {quote(run)} does it later: {error}"
    # not what changed: of two runners of the same request one changes it, and both write the same document
    return f"dataset {made.dataset} in {made.url}"
