"""The graph of a run as one value, which local runs, containers, workflows, verify and repair read."""

from clio_argo.model.pod import Mount, Toleration
from clio_argo.model.request import VOXEL_SETTINGS
from clio_argo.model.step import Pipeline, Step

__all__ = ["PIPELINE", "Mount", "Pipeline", "Step", "Toleration"]

# Entries are text, so that the command line reads the graph without loading OpenCV and tensorstore.
_STEPS, _EXPECTED = "clio_argo.steps", "clio_argo.workspace.expected"
PIPELINE = Pipeline(
    (
        Step("plan", f"{_STEPS}.plan:run",
             title="read headers", settings=VOXEL_SETTINGS, reads_request=True,
             makes=("reduce_parts", "match_parts", "reduce_mib", "match_mib", "solve_mib", "single", "single_mib"),
             # before sizes are known: it decodes three slices to see whether they have colour (docs/design.md)
             memory="3072"),
        Step("reduce", f"{_STEPS}.reduce:run", ("plan",), "plan.reduce_parts",
             title="find features", units="plan.reduce", memory="plan.reduce_mib", version=5,
             settings=("alignment.skip", "alignment.downsample", "transforms", "source_crop", "ignore",
                       "ignore_mask")),
        Step("frame", f"{_STEPS}.frame:run", ("reduce",),
             title="find what stays in the frame", memory="plan.solve_mib"),
        Step("match", f"{_STEPS}.match:run", ("frame",), "plan.match_parts",
             title="fit neighbours", units="plan.match", memory="plan.match_mib", version=8,
             settings=("alignment.model",)),
        Step("suspects", f"{_STEPS}.suspects:run", ("match",),
             title="find suspects", memory="plan.solve_mib", version=2, makes=("rematch_parts",)),
        Step("rematch", f"{_STEPS}.rematch:run", ("suspects",), "suspects.rematch_parts",
             title="fit around suspects", units="suspects.rematch", memory="plan.match_mib", version=7,
             settings=("alignment.model",)),
        Step("solve", f"{_STEPS}.solve:run", ("rematch",),
             title="place slices", objects=f"{_EXPECTED}:metadata", memory="plan.solve_mib", version=6,
             makes=("render_parts", "write_parts", "coarsen_parts", "render_mib", "write_mib", "coarsen_mib",
                    "publish_mib", "flagged"),
             settings=VOXEL_SETTINGS, report=True),
        Step("render", f"{_STEPS}.render:run", ("solve",), "solve.render_parts",
             title="warp, contrast", units="volume.render", objects=f"{_EXPECTED}:slab_thumbnails",
             shards=f"{_EXPECTED}:shards_of_slab", memory="solve.render_mib", version=5,
             settings=("contrast.clip_limit", "contrast.invert", "background")),
        Step("write", f"{_STEPS}.write:run", ("render",), "solve.write_parts",
             title="write the viewer volume", units="volume.write", shards=f"{_EXPECTED}:shards_of_block",
             made_from="render", needs=f"{_EXPECTED}:needed_by_write", image="write", memory="solve.write_mib"),
        Step("coarsen", f"{_STEPS}.coarsen:run", ("write",), "solve.coarsen_parts",
             title="write coarse scales", units="volume.coarsen", shards=f"{_EXPECTED}:shards_of_coarse_block",
             made_from="write", needs=f"{_EXPECTED}:needed_by_coarsen", image="write", memory="solve.coarsen_mib"),
        Step("verify", f"{_STEPS}.verify:run", ("coarsen",),
             title="compare objects", image="write", memory="solve.publish_mib"),
        Step("publish", f"{_STEPS}.publish:run", ("verify",),
             title="write the report", settings=VOXEL_SETTINGS, memory="solve.publish_mib",
             outputs=("link", "volume", "flagged", "registered"), secret="registration_secret", report=True),
    ),
    approval="solve",
    single="plan.single",
    follow=Step("follow", "clio_argo.follow.loop:run", title="judge slices while they are recorded", reads_request=True,
                secret="notification_secret", endless=True,
                # it decodes one slice at a time, of any size
                memory="3072"),
    on_exit=Step("notify", "clio_argo.notify:run", title="notify people", reads_request=True,
                 secret="notification_secret",
                 # it computes nothing, and should find room beside other pods
                 memory="512", cpu="100m"),
)  # fmt: skip
