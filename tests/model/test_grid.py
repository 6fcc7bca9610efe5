"""Shapes of random volumes, against the two libraries that read them and against their own laws."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import assume, example, given
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.model.appearance import Viewer
from clio_argo.model.formats import info, zarr_array
from clio_argo.model.grid import Channels, build_volume, memory_for_slab, slab_depth
from clio_argo.model.layout import lossless_shard_name, viewer_shard_name
from clio_argo.model.plan import FanOut
from clio_argo.model.request import MAX_PARTS, Request
from clio_argo.model.volume import (
    GIB,
    Box,
    ScaleSpec,
    Tier,
    VolumeChannel,
    VolumeSpec,
    Zyx,
    minimum,
    over,
    plus,
    times,
    zyx,
)
from clio_argo.workspace.expected import shard_names as expected_shards

Unit = tuple[Tier, int, int]
depths = st.one_of(st.integers(1, 200), st.integers(400, 1300), st.integers(1, 2500))
sides = st.one_of(
    st.integers(1, 200),
    st.sampled_from([511, 512, 513, 1023, 1024, 1025]),
    st.integers(400, 1300),
    st.integers(1, 9000),
)
begins = st.one_of(st.sampled_from([0, 1, 3, 3493]), st.integers(0, 20_000))
resolutions = st.one_of(
    st.sampled_from([(8.0, 8.0, 8.0), (4.0, 4.0, 40.0), (8.0, 8.0, 30.0), (16.0, 16.0, 8.0), (5.0, 7.0, 12.0)]),
    st.tuples(*[st.floats(1, 100)] * 3),
)
memories = st.one_of(st.sampled_from([0.25, 0.5, 1.0, 4.0, 64.0]), st.floats(0.25, 16))


def volume(
    size: Zyx,
    z: int = 0,
    resolution: tuple[float, float, float] = (8.0, 8.0, 8.0),
    chunk: int = 64,
    memory_gib: float = 4.0,
    dtype: str = "uint8",
) -> VolumeSpec:
    config = Request(id="stack", source="s", resolution=resolution, viewer=Viewer(chunk=chunk), memory_gib=memory_gib)
    return build_volume(config, (z, 0, 0), size, dtype, None)


@st.composite
def volumes(draw: st.DrawFn) -> VolumeSpec:
    size = draw(st.tuples(depths, sides, sides))
    memory, dtype = draw(memories), draw(st.sampled_from(["uint8", "uint16"]))
    assume(slab_depth(memory, size[0], size[1] * size[2] * (1 if dtype == "uint8" else 2)))
    return volume(size, draw(begins), draw(resolutions), draw(st.sampled_from([16, 32, 64, 128])), memory, dtype)


def units(spec: VolumeSpec) -> Iterator[Unit]:
    """(tier, unit, scale) of everything that write and coarsen do."""
    for tier, fan in ((spec.write_tier, spec.write), (spec.coarsen_tier, spec.coarsen)):
        yield from ((tier, unit, k) for unit, k in itertools.product(range(fan.units), tier.scales))


def owners(boxes: list[Box], whole: Box) -> np.ndarray:
    """How many boxes cover each cell of the grid that all their sides span."""
    corners = np.array([(b.begin, b.end) for b in [*boxes, whole]])
    cuts = [np.unique(corners[:, :, axis]) for axis in range(3)]
    index = np.stack([np.searchsorted(cuts[a], corners[:-1, :, a]) for a in range(3)], axis=-1)
    steps = np.zeros([len(c) for c in cuts], np.int64)
    for ends in itertools.product((0, 1), repeat=3):
        z, y, x = (index[:, e, a] for a, e in enumerate(ends))
        np.add.at(steps, (z, y, x), (-1) ** sum(ends))
    return steps.cumsum(0).cumsum(1).cumsum(2)[:-1, :-1, :-1]


@given(volumes())
def test_every_voxel_of_every_scale_is_owned_by_exactly_one_unit(spec: VolumeSpec) -> None:
    boxes: dict[int, list[Box]] = {k: [] for k in range(len(spec.scales))}
    for tier, unit, k in units(spec):
        boxes[k].append(spec.unit_box(tier, unit, k))
    for k, scale in enumerate(spec.scales):
        kept = [b for b in boxes[k] if not b.empty]
        assert (owners(kept, scale.box) == 1).all(), f"scale {k}"


@given(volumes())
def test_units_share_their_source_evenly(spec: VolumeSpec) -> None:
    for tier, fan in ((spec.write_tier, spec.write), (spec.coarsen_tier, spec.coarsen)):
        source = spec.scales[tier.source]
        owned = [spec.unit_box(tier, unit, tier.source) for unit in range(fan.units)]
        shapes = [box.shape for box in owned if not box.empty]
        assert all(side <= most for shape in shapes for side, most in zip(shape, tier.unit, strict=True))
        # an axis that starts between two coarse voxels may need a last unit that owns nothing of the source
        units = math.prod(-(-s // u) for s, u in zip(source.size, tier.unit, strict=True))
        assert len(shapes) == (units if fan.units else 0)


@given(volumes())
def test_slabs_of_render_cover_every_plane_once(spec: VolumeSpec) -> None:
    slabs = [spec.slab_box(unit) for unit in range(spec.render.units)]
    assert (owners(slabs, spec.scales[0].box) == 1).all()
    assert not any(s.empty for s in slabs)


def assert_whole(box: Box, scale: ScaleSpec, shard: Zyx) -> None:
    for begin, end, first, side, size in zip(box.begin, box.end, scale.begin, shard, scale.size, strict=True):
        assert (begin - first) % side == 0
        assert (end - first) % side == 0 or end == first + size


@given(volumes())
def test_a_unit_owns_whole_shards_of_both_volumes(spec: VolumeSpec) -> None:
    for tier, unit, k in units(spec):
        box = spec.unit_box(tier, unit, k)
        if not box.empty:
            assert_whole(box, spec.scales[k], spec.ng_shard(k))
            assert_whole(box, spec.scales[k], spec.scales[k].shard)


@given(volumes())
def test_a_slab_of_render_is_whole_shards_of_the_finest_scale(spec: VolumeSpec) -> None:
    for unit in range(spec.render.units):
        assert_whole(spec.slab_box(unit), spec.scales[0], spec.scales[0].shard)


@given(volumes())
def test_shards_consist_of_whole_inner_chunks_and_are_no_larger_than_a_unit(spec: VolumeSpec) -> None:
    for k, scale in enumerate(spec.scales):
        tier = spec.write_tier if k <= spec.write_tier.last else spec.coarsen_tier
        ratio = over(scale.factor, spec.scales[tier.source].factor)
        for axis, (side, inner) in enumerate(zip(scale.shard, scale.inner, strict=True)):
            assert side % inner == 0
            assert tier.grid[axis] == 1 or side <= tier.unit[axis] // ratio[axis]
        assert math.prod(scale.shard) <= 2**27
        assert math.prod(spec.ng_shard(k)) <= 2**27


def open_array(spec: VolumeSpec, context: ts.Context, k: int, driver: str) -> ts.TensorStore:
    viewer = {"driver": driver, "scale_index": k, "kvstore": "memory://ng/"}
    lossless = {"driver": driver, "metadata": zarr_array(spec, spec.scales[k]), "create": True}
    lossless["kvstore"] = f"memory://{spec.aligned}/{k}/"
    if driver == "zarr3":
        return ts.open(lossless, context=context).result()
    return ts.open(viewer, context=context, open=True).result()


def memory_with_info(spec: VolumeSpec) -> tuple[ts.Context, ts.KvStore]:
    context = ts.Context()
    store = ts.KvStore.open("memory://", context=context).result()
    store.write("ng/info", json.dumps(info(spec)).encode()).result()
    return context, store


@pytest.mark.properties
@given(volumes())
def test_shapes_of_viewer_shards_agree_with_tensorstore_and_igneous(spec: VolumeSpec) -> None:
    from igneous.shards import image_shard_shape_from_spec  # takes a second

    context, _ = memory_with_info(spec)
    for k, scale in enumerate(spec.scales):
        array = open_array(spec, context, k, "neuroglancer_precomputed")
        assert array.domain.origin == (*scale.begin[::-1], 0)
        assert array.shape == (*scale.size[::-1], 1)
        chunks = (spec.chunk,) * 3
        # both clip a shard to the chunks that there are
        ours = minimum(spec.ng_shard(k), times(spec.chunks(k), chunks))[::-1]
        assert array.chunk_layout.write_chunk.shape[:3] == ours
        theirs = image_shard_shape_from_spec(info(spec)["scales"][k]["sharding"], scale.size[::-1], chunks)
        assert minimum(zyx(theirs), times(spec.chunks(k), chunks)[::-1]) == ours


@pytest.mark.properties
@given(volumes(), st.data())
def test_names_of_shards_are_those_that_tensorstore_writes(spec: VolumeSpec, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(spec.scales) - 1))
    scale = spec.scales[k]
    voxel = data.draw(st.tuples(*[st.integers(0, s - 1) for s in scale.size]))
    context, store = memory_with_info(spec)
    open_array(spec, context, k, "zarr3")[voxel] = 7
    open_array(spec, context, k, "neuroglancer_precomputed")[*plus(voxel, scale.begin)[::-1], 0] = 7
    written = {n.decode() for n in store.list().result()}
    expected = {
        viewer_shard_name(spec, k, over(voxel, (spec.chunk,) * 3)),
        lossless_shard_name(spec, k, over(voxel, scale.shard)),
    }
    assert written == expected | {"ng/info", f"{spec.aligned}/{k}/zarr.json"}
    assert expected <= set(expected_shards(spec))


def shard_names(spec: VolumeSpec, unit: Unit) -> Iterator[str]:
    tier, number, k = unit
    scale = spec.scales[k]
    box = spec.unit_box(tier, number, k)
    if box.empty:
        return
    inside = box.shift(times(scale.begin, (-1, -1, -1)))
    for shard in inside.grid(spec.ng_shard(k)):
        yield viewer_shard_name(spec, k, over(shard.begin, (spec.chunk,) * 3))
    for shard in inside.grid(scale.shard):
        yield lossless_shard_name(spec, k, over(shard.begin, scale.shard))


@given(volumes())
def test_no_two_units_write_the_same_object_and_none_is_left_out(spec: VolumeSpec) -> None:
    # render writes the shards of aligned/0, which units of write only read; their boxes hold them whole all the same
    writers = Counter(name for unit in units(spec) for name in shard_names(spec, unit))
    assert set(writers.values()) == {1}
    expected = list(expected_shards(spec))
    assert len(set(expected)) == len(expected)
    assert set(writers) == set(expected)


@pytest.mark.properties
@given(volumes())
def test_a_unit_reads_all_that_its_scales_need(spec: VolumeSpec) -> None:
    for tier, unit, k in units(spec):
        owned, source = spec.unit_box(tier, unit, k), spec.source_box(tier, unit)
        if owned.empty:
            continue
        ratio = over(spec.scales[k].factor, spec.scales[tier.source].factor)
        needed = Box(begin=times(owned.begin, ratio), end=times(owned.end, ratio))
        needed = needed.clip(spec.scales[tier.source].box)
        assert not needed.empty
        assert needed.clip(source) == needed


@given(volumes())
def test_a_unit_reads_no_more_than_one_coarse_voxel_beyond_its_block(spec: VolumeSpec) -> None:
    for tier, unit, _ in units(spec):
        read, coarsest = spec.source_box(tier, unit).shape, spec.ratio(tier.source, tier.last)
        limit = plus(tier.unit, coarsest)
        assert all(r <= s for r, s in zip(read, limit, strict=True))


@given(volumes())
def test_scales_lie_on_one_absolute_grid(spec: VolumeSpec) -> None:
    first = spec.scales[0]
    for scale in spec.scales:
        for axis in range(3):
            factor, begin, end = scale.factor[axis], first.begin[axis], first.begin[axis] + first.size[axis]
            assert factor & (factor - 1) == 0
            assert scale.begin[axis] == math.floor(begin / factor)
            assert scale.begin[axis] + scale.size[axis] == math.ceil(end / factor)
            assert scale.resolution[axis] == pytest.approx(first.resolution[axis] * factor, rel=1e-12)


@given(volumes())
def test_the_pyramid_ends_at_the_first_scale_below_512(spec: VolumeSpec) -> None:
    largest = [max(s.size) for s in spec.scales]
    assert largest[-1] < 512
    assert all(side >= 512 for side in largest[:-1])


@given(volumes())
def test_each_scale_halves_the_finest_axes_and_never_a_side_of_one(spec: VolumeSpec) -> None:
    for fine, coarse in itertools.pairwise(spec.scales):
        ratio = over(coarse.factor, fine.factor)
        voxels = [r for r, s in zip(fine.resolution, fine.size, strict=True) if s > 1]
        assert set(ratio) <= {1, 2}
        assert 2 in ratio
        for r, voxel, size in zip(ratio, fine.resolution, fine.size, strict=True):
            assert r == 1 or size > 1
            assert r == 2 or size == 1 or voxel > min(voxels)


@pytest.mark.parametrize(
    ("z_nm", "steps"), [(8, [(2, 2, 2)]), (16, [(1, 2, 2), (2, 4, 4)]), (40, [(1, 2, 2), (1, 4, 4)])]
)
def test_anisotropic_volumes_halve_x_and_y_first(z_nm: float, steps: list[Zyx]) -> None:
    spec = volume((600, 4096, 4096), resolution=(8, 8, z_nm))
    assert [s.factor for s in spec.scales[1 : 1 + len(steps)]] == steps


def test_scales_have_different_keys_even_where_resolutions_are_odd() -> None:
    spec = volume((600, 5000, 5000), resolution=(4.0000001, 4.0000001, 4.0000004))
    assert len({s.key for s in spec.scales}) == len(spec.scales)


@given(volumes())
def test_keys_of_scales_differ(spec: VolumeSpec) -> None:
    assert len({s.key for s in spec.scales}) == len(spec.scales)


@given(st.integers(0, 100_000))
def test_parts_cover_all_units_once(count: int) -> None:
    fan = FanOut.of(count, MAX_PARTS)
    assert fan.parts <= MAX_PARTS
    parts = [fan.part(p) for p in range(fan.parts)]
    assert [u for part in parts for u in part] == list(range(count))
    assert all(parts)
    assert max(map(len, parts), default=0) - min(map(len, parts), default=0) <= 1


@given(st.integers(0, 3000), st.integers(1, 600), st.integers(1, 7))
def test_units_that_stay_together_share_a_part(count: int, most: int, together: int) -> None:
    fan = FanOut.of(count, most, together)
    parts = [fan.part(p) for p in range(fan.parts)]
    assert [unit for part in parts for unit in part] == list(range(count))
    assert all(part and part.start % together == 0 for part in parts)
    assert fan.parts <= most


def test_render_keeps_pictures_in_what_memory_is_left() -> None:
    channels = tuple(VolumeChannel(name=name, number=i) for i, name in enumerate("RGB"))

    def of(side: int, memory_gib: float) -> VolumeSpec:
        config, held = Request(id="s", source="s", memory_gib=memory_gib), Channels(channels, True, 1, 3 * side**2)
        return build_volume(config, (0, 0, 0), (256, side, side), "uint8", None, held)

    small, large, full = of(1000, 4), of(10_000, 4), of(10_000, memory_for_slab(10_000**2))
    assert small.held_bytes == small.slab * 3 * 1000**2
    assert (large.slab, large.held_bytes) == (16, 4 * 3 * 10_000**2)
    assert large.memory_gib("render") <= 4
    assert full.held_bytes == 0
    assert (small.render.together, small.shapes()) == (3, small.model_copy(update={"held_bytes": 0}).shapes())
    assert "held_bytes" not in volume((300, 500, 600)).model_dump()


@pytest.mark.parametrize("number", [-1, 3])
def test_a_part_that_does_not_exist_is_refused(number: int) -> None:
    with pytest.raises(UserError, match=f"part {number} does not exist; 3 parts exist"):
        FanOut.of(3, MAX_PARTS).part(number)


@example(1.0, 1000, 60_000_000)  # 0.4 GiB hold 7 such planes, half a GiB would hold 8
@given(st.floats(0.25, 64), st.integers(1, 100_000), st.integers(1, 2 * 10**9))
def test_a_slab_never_exceeds_two_fifths_of_the_memory(memory: float, slices: int, plane_bytes: int) -> None:
    depth = slab_depth(memory, slices, plane_bytes)
    assert depth * plane_bytes <= 0.4 * memory * GIB
    assert depth in (0, 4, 8, 16, 32, 64)
    assert depth or 4 * plane_bytes > 0.4 * memory * GIB


@given(volumes())
def test_the_memory_asked_for_holds_what_a_unit_reads_and_makes_of_it(spec: VolumeSpec) -> None:
    itemsize = np.dtype(spec.dtype).itemsize
    assert spec.itemsize == itemsize
    for tier, step, fan in ((spec.write_tier, "write", spec.write), (spec.coarsen_tier, "coarsen", spec.coarsen)):
        read = [math.prod(spec.source_box(tier, unit).shape) for unit in range(fan.units)]
        assert spec.memory_gib(step) * GIB >= 2 * max(read, default=0) * itemsize
    assert spec.memory_gib("render") * GIB >= (spec.slab + 3) * math.prod(spec.scales[0].size[1:]) * itemsize


def test_all_scales_are_shown_unless_some_are_chosen() -> None:
    spec = volume((300, 5000, 6000))
    assert list(spec.model_copy(update={"shown": None}).ng_scales) == [0, 1, 2, 3, 4] == list(spec.ng_scales)
    assert list(spec.model_copy(update={"shown": (1, 3)}).ng_scales) == [1, 2, 3]


@pytest.mark.parametrize(("dtype", "itemsize"), [("uint8", 1), ("uint16", 2)])
def test_memory_is_that_of_a_slab_and_eight_planes_or_of_two_and_a_half_blocks(dtype: str, itemsize: int) -> None:
    spec = volume((300, 5000, 6000), memory_gib=4, dtype=dtype)
    assert spec.memory_gib("render") == 0.5 + (spec.slab + 8) * 5000 * 6000 * itemsize / 2**30
    block = 300 * spec.write_tier.unit[1] * spec.write_tier.unit[2]
    assert spec.memory_gib("write") == 0.5 + 2.5 * block * itemsize / 2**30
    assert spec.memory_gib("coarsen") == 0.5 + 2.5 * 19 * 313 * 375 * itemsize / 2**30


def test_a_canvas_too_large_for_the_memory_is_refused_with_the_memory_needed() -> None:
    with pytest.raises(UserError, match=r"memory_gib.*at least 1\.4"):
        volume((10, 12_000, 12_000), memory_gib=1)


@example(Box(begin=(0, 0, 0), end=(1, 1, 1)), (1, 1, 1))
@given(
    st.builds(
        lambda b, s: Box(begin=b, end=plus(b, s)),
        st.tuples(*[st.integers(0, 50)] * 3),
        st.tuples(*[st.integers(1, 30)] * 3),
    ),
    st.tuples(*[st.integers(1, 40)] * 3),
)
def test_the_grid_of_a_box_covers_it_once(box: Box, step: Zyx) -> None:
    cells = list(box.grid(step))
    assert (owners(cells, box) == 1).all()
    assert all(a <= b for c in cells for a, b in zip(c.shape, step, strict=True))


@given(volumes())
def test_the_units_that_touch_a_box_are_those_whose_voxels_lie_in_it(spec: VolumeSpec) -> None:
    """`coarsen` finds by it which blocks it is made from; the tiers of random volumes have many rows and columns."""
    for tier in (spec.write_tier, spec.coarsen_tier):
        scale = tier.source
        boxes = {u: spec.unit_box(tier, u, scale) for u in range(min(math.prod(tier.grid), 64))}
        last = max(boxes)
        for box in (boxes[0], boxes[last], spec.scales[scale].box):
            touching = {u for u, b in boxes.items() if not b.empty and not b.clip(box).empty}
            assert touching == {u for u in spec.units_touching(tier, scale, box) if u <= last and not boxes[u].empty}
