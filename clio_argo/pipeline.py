"""The graph of a run as pure data. Local runs, containers and workflows all walk this one value."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Step:
    """One stage.

    after: names of the steps that must be done before.
    fan_out: `STEP.OUTPUT`, the list of parts that this step is run for; None runs it once, as part 0.
    settings: fields of the request that the step may read; its units are done again when one of them changes.
    image: which container image holds what it needs.
    entry: `module:function`, called with (run, part).
    """

    name: str
    entry: str
    after: tuple[str, ...] = ()
    fan_out: str | None = None
    settings: tuple[str, ...] = ()
    image: str = "align"


@dataclass(frozen=True)
class Pipeline:
    """Steps in an order in which each comes after those it needs."""

    steps: tuple[Step, ...]

    def __getitem__(self, name: str) -> Step:
        return next(s for s in self.steps if s.name == name)

    def with_step(self, step: Step) -> "Pipeline":
        """The same graph with one step more."""
        return replace(self, steps=(*self.steps, step))


ALL_SETTINGS = (
    "id", "source", "image", "image_regex", "minz", "maxz", "resolution", "alignment", "contrast", "background",
    "viewer", "lossless", "max_pixels", "max_bad", "max_breaks", "memory_gib",
)  # fmt: skip
PIPELINE = Pipeline(
    (
        Step("plan", "clio_argo.steps.plan:run", settings=ALL_SETTINGS),
        Step("reduce", "clio_argo.steps.reduce:run", ("plan",), "plan.reduce_parts", ("alignment",)),
        Step("match", "clio_argo.steps.match:run", ("reduce",), "plan.match_parts", ("alignment",)),
        Step("solve", "clio_argo.steps.solve:run", ("match",), settings=ALL_SETTINGS),
        Step("render", "clio_argo.steps.render:run", ("solve",), "solve.render_parts", ("contrast",)),
        Step("write", "clio_argo.steps.write:run", ("render",), "solve.write_parts", image="write"),
        Step("coarsen", "clio_argo.steps.coarsen:run", ("write",), "solve.coarsen_parts", image="write"),
        Step("verify", "clio_argo.steps.verify:run", ("coarsen",), image="write"),
        Step("publish", "clio_argo.steps.publish:run", ("verify",), settings=ALL_SETTINGS),
    )
)
