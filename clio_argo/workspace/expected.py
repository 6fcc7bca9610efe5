"""Which objects each unit of a volume owns, metadata included, and which units it is made from."""

from collections.abc import Iterable, Iterator

from clio_argo.model.layout import MANIFEST, in_volumes, is_kept, record_name, thumbnail_name, thumbnails
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store
from clio_argo.store.manifest import read_record
from clio_argo.store.volumes import Shard, metadata_names, slab_shards, tier_shards
from clio_argo.workspace.run import Run


def metadata(run: Run, unit: int) -> Iterator[str]:
    """Metadata of both volumes as far as they stay."""
    return filter(in_volumes, metadata_names(run.volume))


def rendered(run: Run, unit: int) -> Iterator[str]:
    """Small pictures and shards of one slab."""
    box = run.volume.slab_box(unit)
    yield from (thumbnail_name(z) for z in range(box.begin[0], box.end[0]))
    yield from _kept(slab_shards(run.volume, unit))


def written(run: Run, unit: int) -> Iterator[str]:
    """Shards of one block."""
    return _kept(tier_shards(run.volume, run.volume.write_tier, unit))


def coarsened(run: Run, unit: int) -> Iterator[str]:
    """Shards of one block of the coarse scales."""
    return _kept(tier_shards(run.volume, run.volume.coarsen_tier, unit))


def _kept(shards: Iterable[Shard]) -> Iterator[str]:
    return (s.name for s in shards if is_kept(s.name))


def unit_shards(spec: VolumeSpec, step: str, unit: int) -> list[Shard]:
    """All shards that a unit of a step owns; none where the step writes no volume."""
    tiers = {"write": spec.write_tier, "coarsen": spec.coarsen_tier}
    if step == "render":
        return list(slab_shards(spec, unit))
    return list(tier_shards(spec, tiers[step], unit)) if step in tiers else []


def needed_by_write(run: Run, unit: int) -> range:
    """The slabs that a block is made from, as units of `render`."""
    spec = run.volume
    box, first = spec.source_box(spec.write_tier, unit), spec.scales[0].begin[0]
    return range((box.begin[0] - first) // spec.slab, -(-(box.end[0] - first) // spec.slab))


def needed_by_coarsen(run: Run, unit: int) -> list[int]:
    """The blocks that a block of the coarse scales is made from, as units of `write`."""
    spec, tier = run.volume, run.volume.coarsen_tier
    return spec.units_touching(spec.write_tier, tier.source, spec.source_box(tier, unit))


def remove_outgrown_units(run: Run, document: str) -> None:
    """Delete records of units that a new `document` (plan, suspects, volume) no longer has, with their objects."""
    for step in run.pipeline.steps:
        if step.units.partition(".")[0] == document:
            numbers = set(run.numbered_units(step))
            for unit in _units_on_record(run.store, step.name) - numbers:
                _remove_unit(run.store, step.name, unit)


def _units_on_record(store: Store, step: str) -> set[int]:
    return {int(name.rpartition("/")[2].partition(".")[0]) for name in store.names(f"{MANIFEST}/{step}")}


def _remove_unit(store: Store, step: str, unit: int) -> None:
    record = read_record(store, step, unit)
    for name in [o.name for o in record.objects] if record else []:
        store.delete(name)
    # last, so that a run that is killed in between finds the objects in it again
    store.delete(record_name(step, unit))


def remove_outgrown_objects(store: Store, before: VolumeSpec, spec: VolumeSpec) -> None:
    """Delete shards and small pictures that an earlier volume of this run had and the new one has not."""
    for name in _voxel_objects(before) - _voxel_objects(spec):
        store.delete(name)


def _voxel_objects(spec: VolumeSpec) -> set[str]:
    return {*shard_names(spec), *thumbnails(spec)}


def shard_names(spec: VolumeSpec) -> Iterator[str]:
    """Names of all shards of both volumes."""
    for step, work in spec.work.items():
        for unit in range(work.units):
            yield from (shard.name for shard in unit_shards(spec, step, unit))
