"""Which objects each unit of a volume owns, metadata included, and which units it is made from."""

from collections.abc import Iterator

from clio_argo.model import layout
from clio_argo.model.reference import load
from clio_argo.model.step import Step
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store
from clio_argo.store.manifest import read_record
from clio_argo.store.volumes import Shard, aligned_shards, metadata_names, slab_shards, tier_shards, viewer_shards
from clio_argo.workspace.run import Run


def expected_names(run: Run, step: Step, unit: int) -> Iterator[str]:
    """Names of the objects that a unit of a step must have written and that stay after the run."""
    # computed from volume.json, not read from the manifest: a lost record must not make its objects unexpected
    if step.objects:
        yield from load(step.objects)(run, unit)
    yield from (shard.name for shard in kept_shards(run, step, unit))


def kept_shards(run: Run, step: Step, unit: int) -> list[Shard]:
    """Shards that a unit of a step must have written and that stay; none where the step writes no volume."""
    shards: Iterator[Shard] = load(step.shards)(run, unit) if step.shards else iter(())
    return [shard for shard in shards if layout.is_kept(shard.name)]


def metadata(run: Run, unit: int) -> Iterator[str]:
    """Metadata of both volumes as far as they stay."""
    return filter(layout.in_volumes, metadata_names(run.volume))


def slab_thumbnails(run: Run, unit: int) -> Iterator[str]:
    """Small pictures of the planes of one slab; one channel of it has them."""
    box = run.volume.slab_box(unit)
    if run.volume.channel_and_slab(unit)[0] != run.volume.main:
        return iter(())
    return map(layout.thumbnail_name, range(box.begin[0], box.end[0]))


def shards_of_slab(run: Run, unit: int) -> Iterator[Shard]:
    """Shards of one slab."""
    return slab_shards(run.volume, unit)


def shards_of_block(run: Run, unit: int) -> Iterator[Shard]:
    """Shards of one block."""
    return tier_shards(run.volume, run.volume.write_tier, unit)


def shards_of_coarse_block(run: Run, unit: int) -> Iterator[Shard]:
    """Shards of one block of the coarse scales."""
    return tier_shards(run.volume, run.volume.coarsen_tier, unit)


def needed_by_write(run: Run, unit: int) -> list[int]:
    """The slabs that a block is made from, as units of `render`: of each channel of its layer."""
    spec = run.volume
    box, first = spec.source_box(spec.write_tier, unit), spec.scales[0].begin[0]
    slabs = range((box.begin[0] - first) // spec.slab, -(-(box.end[0] - first) // spec.slab))
    return [slab * len(spec.all_channels) + c for slab in slabs for c in spec.layers[spec.layer_of(unit)]]


def needed_by_coarsen(run: Run, unit: int) -> list[int]:
    """The blocks that a block of the coarse scales is made from, as units of `write`."""
    spec, tier = run.volume, run.volume.coarsen_tier
    return spec.units_touching(spec.write_tier, tier.source, spec.source_box(tier, unit), spec.layer_of(unit))


def remove_outgrown_units(run: Run, document: str) -> None:
    """Delete records of units that a new `document` (plan, suspects, volume) no longer has, with their objects."""
    for step in run.pipeline.steps:
        if step.units.partition(".")[0] == document:
            numbers = set(run.unit_numbers(step))
            for unit in _units_on_record(run.store, step.name) - numbers:
                _remove_unit(run.store, step.name, unit)


def _units_on_record(store: Store, step: str) -> set[int]:
    names = (name.rpartition("/")[2].partition(".")[0] for name in store.names(f"{layout.MANIFEST}/{step}"))
    # what somebody else put there is none of ours
    return {int(name) for name in names if name.isdecimal()}


def _remove_unit(store: Store, step: str, unit: int) -> None:
    record = read_record(store, step, unit)
    store.delete_all([o.name for o in record.objects] if record else [])
    # The record goes last: a run that is killed in between still finds the other objects through it.
    store.delete(layout.record_name(step, unit))


def remove_outgrown_objects(store: Store, before: VolumeSpec, spec: VolumeSpec) -> None:
    """Delete what an earlier volume of this run had and the new one has not."""
    # By name, not by record: the same unit may own other shards now, and its new record replaces the old one. A run
    # that was killed before its record may have left metadata and planes, too.
    gone = _names_of(before) - _names_of(spec)
    store.delete_all(gone)
    store.remove_empty_folders(gone)


def _names_of(spec: VolumeSpec) -> set[str]:
    planes = map(layout.planes_name, range(spec.slabs))
    return {*shard_names(spec), *layout.thumbnails(spec), *metadata_names(spec), *planes}


def remove_former_records(run: Run) -> None:
    """Delete what version 0.1 recorded of steps by other names; by now these have records of their own."""
    for step, former in layout.FORMER_STEPS.items():
        for unit in _units_on_record(run.store, former):
            if unit not in run.unit_numbers(run.pipeline[step]):
                _remove_unit(run.store, former, unit)
            run.store.delete(layout.record_name(former, unit))


def shard_names(spec: VolumeSpec) -> Iterator[str]:
    """Names of all shards of both volumes."""
    for scale, grid in enumerate(spec.scales):
        for channel in range(len(spec.all_channels)):
            yield from (shard.name for shard in aligned_shards(spec, scale, grid.box, channel))
        for layer in range(len(spec.layers)) if scale in spec.ng_scales else ():
            yield from (shard.name for shard in viewer_shards(spec, scale, grid.box, layer))
