"""The graph of a run as pure data. Local runs, containers and workflows all walk this one value."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Step:
    """One stage.

    entry: `module:function`, called with (run, part). A step without one is a container that only a cluster runs.
    after: names of the steps that must be done before.
    fan_out: `STEP.OUTPUT`, the list of parts that this step is run for; None runs it once, as part 0.
    settings: fields of the request that the step may read; its units are done again when one of them changes.
    image: which of the cluster's container images holds what it needs, or the image of a step of one's own.
    memory: MiB of its pod, or `STEP.OUTPUT`, which says how many.
    cpu: cores of its pod, as Kubernetes writes them. A part runs in one process with one thread.
    outputs: outputs that a workflow shows as its own.
    report: whether the report may have changed, so that the pod keeps it for people.
    reads_request: whether it gets the request itself, which all others read from the store.
    command, args, env: of a container of one's own. `$(CLIO_RUN)` and `$(CLIO_PART)` in them are the run's root
        and the part. Without a command the container runs `clio-argo-step`.
    """

    name: str
    entry: str = ""
    after: tuple[str, ...] = ()
    fan_out: str | None = None
    settings: tuple[str, ...] = ()
    image: str = "align"
    memory: str = "1024"
    cpu: str = "1"
    outputs: tuple[str, ...] = ()
    report: bool = False
    reads_request: bool = False
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """Steps in an order in which each comes after those it needs.

    approval: the step after which a person may be asked whether to go on.
    on_exit: what a workflow runs when it ended, well or not; a local run has its person beside it.
    """

    steps: tuple[Step, ...]
    approval: str | None = None
    on_exit: Step | None = None

    def __getitem__(self, name: str) -> Step:
        return next(s for s in self.all_steps if s.name == name)

    @property
    def all_steps(self) -> tuple[Step, ...]:
        return self.steps if self.on_exit is None else (*self.steps, self.on_exit)

    def with_step(self, step: Step, before: tuple[str, ...] = ()) -> "Pipeline":
        """The same graph with one step more, for which the steps named in `before` wait."""
        waiting = tuple(
            replace(s, after=(*s.after, step.name)) if s.name in before else s for s in self.steps
        )
        place = min((i for i, s in enumerate(waiting) if s.name in before), default=len(waiting))
        return replace(self, steps=(*waiting[:place], step, *waiting[place:]))

    def until(self, name: str) -> "Pipeline":
        """The same graph as far as step `name`."""
        names = [s.name for s in self.steps]
        return replace(self, steps=self.steps[: names.index(name) + 1])

    def outputs_of(self, name: str) -> tuple[str, ...]:
        """Outputs of a step that another step or the workflow refers to, sorted."""
        references = [r.partition(".") for s in self.steps for r in (s.fan_out or "", s.memory)]
        return tuple(
            sorted({*self[name].outputs, *(o for source, _, o in references if source == name and o)})
        )

    def after(self, name: str) -> set[str]:
        """Names of all steps that come after a step."""
        found: set[str] = set()
        for step in self.steps:
            if {name, *found} & set(step.after):
                found.add(step.name)
        return found


ALL_SETTINGS = (
    "id", "source", "image", "image_regex", "minz", "maxz", "resolution", "alignment", "positions", "overrides",
    "transforms", "crop", "contrast", "background",
    "viewer", "lossless", "max_pixels", "bad_slices", "max_bad", "max_breaks", "max_gap",
    "max_residual_px", "max_parts", "memory_gib",
)  # fmt: skip
PIPELINE = Pipeline(
    (
        Step("plan", "clio_argo.steps.plan:run", settings=ALL_SETTINGS, reads_request=True),
        Step("reduce", "clio_argo.steps.reduce:run", ("plan",), "plan.reduce_parts", ("alignment", "transforms"),
             memory="plan.reduce_mib"),
        Step("match", "clio_argo.steps.match:run", ("reduce",), "plan.match_parts", ("alignment",),
             memory="plan.match_mib"),
        Step("inspect", "clio_argo.steps.inspect:run", ("match",), memory="plan.solve_mib"),
        Step("relink", "clio_argo.steps.relink:run", ("inspect",), "inspect.relink_parts", ("alignment",),
             memory="plan.match_mib"),
        Step("solve", "clio_argo.steps.solve:run", ("relink",), settings=ALL_SETTINGS, memory="plan.solve_mib",
             report=True),
        Step("render", "clio_argo.steps.render:run", ("solve",), "solve.render_parts", ("contrast",),
             memory="solve.render_mib"),
        Step("write", "clio_argo.steps.write:run", ("render",), "solve.write_parts", image="write",
             memory="solve.write_mib"),
        Step("coarsen", "clio_argo.steps.coarsen:run", ("write",), "solve.coarsen_parts", image="write",
             memory="solve.coarsen_mib"),
        Step("verify", "clio_argo.steps.verify:run", ("coarsen",), image="write", memory="solve.publish_mib"),
        Step("publish", "clio_argo.steps.publish:run", ("verify",), settings=ALL_SETTINGS,
             memory="solve.publish_mib", outputs=("link", "volume", "flagged"), report=True),
    ),
    approval="solve",
    on_exit=Step("notify", "clio_argo.steps.notify:run", reads_request=True, memory="512", cpu="100m"),
)  # fmt: skip
