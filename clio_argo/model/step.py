"""Steps and the graph that they form, as pure data, and what a step returns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from clio_argo.errors import UserError
from clio_argo.model.base import Document, Value
from clio_argo.model.costs import ALL, Estimate
from clio_argo.model.pod import Mount, Toleration, faults

# images of the cluster's settings, each of which holds what those before it hold
IMAGES = ("write", "align")
# output of the step that plans: what a pod that does several steps needs
SINGLE_MIB = "single_mib"
# the kind of parts that only have numbers
NUMBERED = "parts"


@dataclass(frozen=True)
class Step:
    """One stage of a run, with all that is special about it. Nothing else keeps a list of steps.

    title: what it does, as users read it.
    entry: `module:function`, called with (run, units), which returns a `StepResult`; repair calls it for single units.
        A step without one is a container that only a cluster runs.
    after: names of the steps that must be done before.
    fan_out: `STEP.OUTPUT`, the list of parts that this step is run for; None runs it once.
    units: `DOCUMENT.FIELD` of the run that holds the number of its units; "" is one unit per part.
    objects: `module:function`, called with (run, unit): names of the objects that a unit must have written and that
        stay. "" leaves that to the unit's record.
    shards: the same for shards of the volumes, as `Shard` values, under tmp/ or not.
    made_from, needs: the step whose units its units are made from, and `module:function`, called with (run, unit), that
        names those of a unit. "": made from slices or documents.
    settings: fields of the request that the step may read, whole sections or `SECTION.FIELD`; its units are rerun when
        one of them changes.
    version: version of its algorithm. Raise it when the same inputs and settings give other bytes than before; another
        compression of the same voxels counts, too.
    image: the container image of the cluster's settings that holds what it needs, or the image of a custom step.
    memory: MiB of its pod, or the `STEP.OUTPUT` that gives them.
    cpu: cores of its pod, as Kubernetes writes them. A part runs in one process with one thread.
    outputs: outputs that a workflow shows as its own.
    makes: all its outputs that other steps may read; empty: nobody knows them.
    secret: setting of the cluster that names the secret whose variables its pod gets.
    report: whether the step may change the report, so that its pod keeps it as an artifact.
    reads_request: whether it gets the request itself, which all others read from the store.
    endless: whether it takes as long as people do: neither time nor the number of its tries is limited.
    steps: names of the steps that it stands for, which one process runs one after another.
    gpu: GPUs of its pod (`nvidia.com/gpu`), whose node must be chosen by `node_selector` and `tolerations`.
    resources: what else its pod needs, e.g. `("ephemeral-storage", "20Gi")`.
    node_selector, tolerations: of its pod, in place of those of the cluster's settings.
    service_account: of its pod, in place of that of the cluster's settings.
    volumes: what its container mounts, besides the volumes of the cluster's settings.
        Local runs use none of these five.
    command, args, env: of the container of a custom step. `$(CLIO_RUN)` and `$(CLIO_PART)` in them are the run's root,
        without a slash at its end, and the part, as its `item` says it. Without a command the container runs
        `clio-argo-step`.
    """

    name: str
    entry: str = ""
    after: tuple[str, ...] = ()
    fan_out: str | None = None
    title: str = ""
    units: str = ""
    objects: str = ""
    shards: str = ""
    made_from: str = ""
    needs: str = ""
    settings: tuple[str, ...] = ()
    version: int = 1
    image: str = "align"
    memory: str = "1024"
    # four parts on a node of four cores, of which the system and GKE's own pods need half a core
    cpu: str = "800m"
    outputs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    secret: str = ""
    report: bool = False
    reads_request: bool = False
    endless: bool = False
    steps: tuple[str, ...] = ()
    gpu: int = 0
    resources: tuple[tuple[str, str], ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    service_account: str = ""
    volumes: tuple[Mount, ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    @property
    def makes_volumes(self) -> bool:
        """Whether its units are parts of the volumes, each of which can be rerun by itself."""
        return self.units.startswith("volume.")

    @property
    def on_workers(self) -> bool:
        """Whether its pods run on the nodes for the large stages."""
        return bool(self.fan_out or self.steps)

    @property
    def reads(self) -> tuple[str, ...]:
        """`STEP.OUTPUT` of all that it reads from other steps."""
        return tuple(r for r in (self.fan_out or "", self.memory) if "." in r)

    @property
    def references(self) -> tuple[tuple[str, str], ...]:
        """What it needs of other steps, in words, and their names."""
        read = (r.partition(".")[0] for r in self.reads)
        made_from = [("is made from units of", self.made_from)] if self.made_from else []
        return (*(("waits for", n) for n in self.after), *(("reads from", n) for n in read), *made_from)

    @property
    def runs_whole(self) -> bool:
        """Whether a process of the images can run all its units, without being told a part."""
        return bool(self.entry) and self.image in IMAGES and bool(self.fan_out) == bool(self.units)

    def fits(self, other: "Step") -> bool:
        """Whether one pod can run both."""
        alike = self._pod == other._pod and len({self.secret, other.secret, ""}) <= 2
        return alike and self.runs_whole and other.runs_whole

    @property
    def _pod(self) -> tuple[object, ...]:
        """What its pod is besides its image, memory and secret."""
        own = (self.gpu, self.resources, self.node_selector, self.tolerations, self.service_account, self.volumes)
        return (self.env, self.cpu, *own)


@dataclass(frozen=True)
class Pipeline:
    """Steps in an order in which each comes after those it needs.

    approval: the step that fixes where all slices lie. A workflow can wait for approval after it, and `align` stops
        after it.
    follow: the step that a workflow runs before all others if it is asked to; local runs do not run it.
    on_exit: the step that a workflow runs when it ends, whether or not it succeeded; local runs do not run it.
    single: the `STEP.OUTPUT` that tells whether all that comes after the step is so little work that one pod does it.
    """

    steps: tuple[Step, ...]
    approval: str | None = None
    follow: Step | None = None
    on_exit: Step | None = None
    single: str = ""

    def __repr__(self) -> str:
        return f"<Pipeline: {', '.join(s.name for s in self.steps)}>"

    def __getitem__(self, name: str) -> Step:
        self._refuse_unknown(name)
        return next(s for s in self.all_steps if s.name == name)

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """Steps of the graph, then those beside it."""
        return (*self.steps, *filter(None, (self.follow, self.on_exit)))

    @property
    def versions(self) -> dict[str, int]:
        """Version of each step's algorithm."""
        return {s.name: s.version for s in self.steps}

    def with_step(self, step: Step, before: tuple[str, ...] = ()) -> "Pipeline":
        """The same graph with one more step, for which the steps named in `before` wait.

        Raises:
            UserError: names what does not fit: a name that is taken, a step that is waited for or read from and is not
                there, or comes later. So do `without` and `replace`.
        """
        self._refuse_unknown(*before)
        waiting = tuple(replace(s, after=(*s.after, step.name)) if s.name in before else s for s in self.steps)
        index = min((i for i, s in enumerate(waiting) if s.name in before), default=len(waiting))
        return replace(self, steps=(*waiting[:index], step, *waiting[index:])).checked()

    def without(self, name: str) -> "Pipeline":
        """The same graph without a step: what waited for it waits for what it waited for."""
        self._refuse_unknown(name)
        after = self[name].after
        rest = self.changed(lambda s: None if s.name == name else replace(s, after=_instead(s.after, name, after)))
        return rest.checked()

    def replace(self, step: Step) -> "Pipeline":
        """The same graph with another step of that name."""
        self._refuse_unknown(step.name)
        return self.changed(lambda s: step if s.name == step.name else s).checked()

    def changed(self, change: Callable[[Step], Step | None]) -> "Pipeline":
        """The same graph with each step as `change` makes it, less those that it makes None."""
        steps = tuple(s for s in map(change, self.steps) if s)
        follow, on_exit = (s and change(s) for s in (self.follow, self.on_exit))
        return replace(self, steps=steps, follow=follow, on_exit=on_exit)

    def checked(self) -> "Pipeline":
        """The pipeline itself. Raises `UserError` with all that does not fit in its graph."""
        own = [f"{s.name or 'a step'}: {p}" for s in self.all_steps for p in faults(s)]
        if problems := own or [*self._problems()]:
            raise UserError("\n".join(["this pipeline cannot run:", *(f"  {p}" for p in problems)]))
        return self

    def _problems(self) -> Iterator[str]:
        names = [s.name for s in self.all_steps]
        yield from (f"two steps are called {n}" for n in dict.fromkeys(names) if names.count(n) > 1)
        for number, step in enumerate(self.steps):
            for what, other in step.references:
                if other not in names[:number]:
                    yield f"{step.name}: {what} {other}, which is no step before it"
            yield from (f"{step.name}: reads {r}, and {why}" for r in step.reads if (why := self._unmade(r)))
        special = {"approval": self.approval, "single": self.planner}
        yield from (f"{what}: there is no step {n}" for what, n in special.items() if n and n not in names)

    def _unmade(self, reference: str) -> str:
        """What the step of a `STEP.OUTPUT` makes, if it is known and the output is not among it."""
        name, _, output = reference.partition(".")
        makes = next((s.makes for s in self.steps if s.name == name), ())
        return f"{name} makes {', '.join(makes)}" if makes and output not in makes else ""

    def _refuse_unknown(self, *names: str) -> None:
        known = [s.name for s in self.all_steps]
        if unknown := [n for n in names if n not in known]:
            raise UserError(f"there is no step {', '.join(unknown)}; steps are {', '.join(known)}")

    def until(self, name: str) -> tuple[Step, ...]:
        """Steps in order, as far as step `name`."""
        return self.steps[: self.steps.index(self[name]) + 1]

    def outputs_of(self, name: str) -> tuple[str, ...]:
        """Outputs of a step that another step or the workflow refers to, sorted."""
        references = [r.partition(".") for r in (*(r for s in self.steps for r in s.reads), self.single)]
        own = (*self[name].outputs, *((SINGLE_MIB,) if name == self.planner else ()))
        return tuple(sorted({*own, *(o for source, _, o in references if source == name and o)}))

    def begins_with(self, step: Step) -> bool:
        """Whether a step makes the run out of the request."""
        return step.reads_request and step != self.on_exit

    def may_write(self, step: Step) -> bool:
        """Whether a step may write to the run: `on_exit` also runs where the root turned out to be another run's."""
        return step != self.on_exit

    def after(self, name: str) -> set[str]:
        """Names of all steps that come after a step."""
        later: set[str] = set()
        for step in self.steps:
            if {name, *later} & set(step.after):
                later.add(step.name)
        return later

    @property
    def planner(self) -> str:
        """The step that tells whether one pod does all that comes after it; empty if none does."""
        return self.single.partition(".")[0]

    @property
    def joined_steps(self) -> tuple[Step, ...]:
        """All steps that stand for several."""
        forms = (self.joined(asked) for asked in (False, True))
        return tuple({s.name: s for form in forms for s in form.steps if s.steps}.values())

    def joined(self, asked: bool) -> "Pipeline":
        """The same pipeline with as few steps after `planner` as can be.

        A step that only its own container can run stands between joined ones; so does approval if a person is `asked`.
        """
        groups = self._groups(asked)
        names = {step.name: self._name(group) for group in groups for step in group}
        approval = names[self.approval] if asked and self.approval else None
        return replace(self, steps=tuple(self._join(group, names) for group in groups), approval=approval)

    def _groups(self, asked: bool) -> list[list[Step]]:
        behind = self.after(self.planner)
        groups: list[list[Step]] = []
        for step in self.steps:
            last = groups[-1] if groups else []
            cut = not last or (asked and last[-1].name == self.approval)
            if not cut and {last[-1].name, step.name} <= behind and all(step.fits(s) for s in last):
                last.append(step)
            else:
                groups.append([step])
        return groups

    def _name(self, group: Sequence[Step]) -> str:
        whole = {s.name for s in group} == self.after(self.planner)
        return group[0].name if len(group) == 1 else ALL if whole else f"{group[0].name}-{group[-1].name}"

    def _join(self, group: Sequence[Step], names: Mapping[str, str]) -> Step:
        """One step for a group; `names` are the new names of all steps."""

        def moved(reference: str) -> str:
            source, dot, output = reference.partition(".")
            return f"{names[source]}.{output}" if dot else reference

        first, own = group[0], names[group[0].name]
        after = tuple(dict.fromkeys(names[n] for s in group for n in s.after if names[n] != own))
        if len(group) == 1:
            fan_out = first.fan_out and moved(first.fan_out)
            return replace(first, after=after, fan_out=fan_out, memory=moved(first.memory))
        return Step(
            own, after=after, title=f"{first.name} to {group[-1].name}", steps=tuple(s.name for s in group),
            image=max((s.image for s in group), key=IMAGES.index), memory=f"{self.planner}.{SINGLE_MIB}",
            cpu=first.cpu, env=first.env, outputs=tuple(o for s in group for o in s.outputs),
            secret=max(s.secret for s in group), report=any(s.report for s in group),
            reads_request=any(s.reads_request for s in group),
        )  # fmt: skip


def _instead(names: Sequence[str], gone: str, others: Sequence[str]) -> tuple[str, ...]:
    """Names with `others` in the place of one of them."""
    return tuple(dict.fromkeys(m for n in names for m in (others if n == gone else (n,))))


class Part(Value):
    """One part of a stage: its number, and the first and last of the slices or blocks that it covers."""

    part: int
    kind: str = NUMBERED
    first: int = 0
    last: int = 0

    @property
    def amount(self) -> int:
        """Number of slices or blocks that it covers."""
        return self.last - self.first + 1

    @property
    def item(self) -> str:
        """The part as an item of a workflow's `withParam`: what it covers, e.g. 3518-3519, else its number.

        Argo's graph shows it, and a pod gets it as its `--part`.
        """
        # also of one slice or block: a single number is that of a part
        return str(self.part) if self.kind == NUMBERED else f"{self.first}-{self.last}"


class PartItems(Document):
    """Items of the parts of later stages, in the order of their numbers, by the output that `Step.fan_out` names."""

    items: dict[str, tuple[str, ...]]


class Counts(Value):
    """Number and size of what a part did."""

    done: int = Field(1, description="Units that were done.")
    skipped: int = Field(0, description="Units that had been done before.")
    again: dict[str, int] = Field({}, description="Units that were rerun, by the reason.")
    bytes: int = Field(0, description="Size of the objects that the units wrote, or that verify read.")
    peak_mib: float = Field(0.0, description="Largest resident memory of the process in MiB.")


class StepResult(Value):
    """The result of a step, for later steps, the workflow and users.

    parts: parts of later stages, by the name of the output that `Step.fan_out` refers to.
    memory_mib: memory of later stages' pods, by the name of the output that `Step.memory` refers to.
    published: outputs that a workflow shows as its own.
    note: one line for users.
    estimate: what the whole run will take, by `plan`.
    single: whether one pod does all that comes after `plan`.
    """

    parts: dict[str, tuple[Part, ...]] = Field({})
    memory_mib: dict[str, int] = Field({})
    counts: Counts = Counts()
    published: dict[str, str | int] = Field({})
    note: str = ""
    estimate: Estimate | None = None
    single: bool | None = None

    @property
    def items(self) -> PartItems:
        """The parts of later stages as a workflow names them."""
        return PartItems(items={name: tuple(part.item for part in parts) for name, parts in self.parts.items()})

    @property
    def outputs(self) -> dict[str, Any]:
        """All outputs by name, as a workflow reads them."""
        single = {} if self.single is None else {"single": self.single}
        return {**self.items.items, **self.memory_mib, **self.published, **single}


def parts_of(step: Step, results: Mapping[str, StepResult]) -> Sequence[Part]:
    """The parts that `step` is run for, from the results of earlier steps; one part if it does not fan out."""
    if step.fan_out is None:
        return (Part(part=0),)
    source, _, output = step.fan_out.partition(".")
    return results[source].parts[output]
