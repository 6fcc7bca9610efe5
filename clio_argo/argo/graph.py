"""The order of the steps as graphs: behind the plan stands one pod, or a nested graph, by what the plan tells."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hera.workflows import DAG, Parameter, Task

from clio_argo.argo.ask import APPROVED, ASK, ask_task
from clio_argo.argo.parameters import parameter
from clio_argo.argo.submit import FOLLOWED
from clio_argo.model.costs import ALL
from clio_argo.pipeline import Pipeline, Step


@dataclass(frozen=True)
class Form:
    """What stands behind the step that plans, on the condition `when`."""

    name: str
    pipeline: Pipeline
    when: str

    @property
    def steps(self) -> tuple[Step, ...]:
        """Its steps, without those that come before."""
        behind = self.pipeline.after(self.pipeline.planner)
        return tuple(s for s in self.pipeline.steps if s.name in behind)


def forms(pipeline: Pipeline) -> tuple[Form, ...]:
    """The forms that a run may take, of which `when` chooses one; none if all steps stand in one graph."""
    if not pipeline.single:
        return ()
    # quoted: an output may be empty
    few, asked = f"'{_output(pipeline.single)}' == 'true'", f"'{parameter('approval')}'"
    many = Form("parts", pipeline, f"'{_output(pipeline.single)}' != 'true'")
    if pipeline.approval is None:
        return Form(ALL, pipeline.joined(asked=False), few), many
    uncut = Form(ALL, pipeline.joined(asked=False), f"{few} && {asked} != 'ask'")
    return uncut, Form("asked", pipeline.joined(asked=True), f"{few} && {asked} == 'ask'"), many


def graphs(pipeline: Pipeline) -> list[DAG]:
    """`main`, and the graphs that it holds."""
    found = forms(pipeline)
    behind = {s.name for form in found for s in form.steps}
    before = [s for s in pipeline.steps if s.name not in behind]
    entries = {"main": before}
    if first := pipeline.follow:
        # all behind the step that follows a stack while it is recorded
        entries[FOLLOWED] = [first, *(replace(s, after=s.after or (first.name,)) for s in before)]
    return [*(_entry(pipeline, name, steps, found) for name, steps in entries.items()),
            *(_nested(form) for form in found if len(form.steps) > 1)]  # fmt: skip


def _entry(pipeline: Pipeline, name: str, steps: Sequence[Step], found: Sequence[Form]) -> DAG:
    """A graph with which a workflow begins: some steps, then the forms."""
    return DAG(name=name, tasks=[*_tasks(pipeline, steps), *(_form_task(form, steps) for form in found)])


def _nested(form: Form) -> DAG:
    inputs = [Parameter(name=name) for name in _inputs(form.steps)]
    return DAG(name=form.name, inputs=[*inputs], tasks=[*_tasks(form.pipeline, form.steps)])


def _form_task(form: Form, before: Sequence[Step]) -> Task:
    if len(form.steps) == 1:
        return _task(form.pipeline, form.steps[0], {s.name for s in before}, form.when)
    inside = {s.name for s in form.steps}
    after = dict.fromkeys(name for s in form.steps for name in s.after if name not in inside)
    arguments = [Parameter(name=name, value=_output(of)) for name, of in _inputs(form.steps).items()]
    return Task(name=form.name, template=form.name, depends=" && ".join(after), when=form.when, arguments=arguments)


def _inputs(steps: Sequence[Step]) -> dict[str, str]:
    """Outputs of other steps that these refer to, by the names of the inputs that carry them into their graph."""
    inside = {s.name for s in steps}
    return {_input(r): r for s in steps for r in s.reads if r.partition(".")[0] not in inside}


def _tasks(pipeline: Pipeline, steps: Sequence[Step]) -> list[Task]:
    """The steps of one graph, and the approval if it is among them."""
    inside = {s.name for s in steps}
    asked = [ask_task(pipeline.approval)] if pipeline.approval in inside else []
    return [*(_task(pipeline, step, inside) for step in steps), *asked]


def _task(pipeline: Pipeline, step: Step, inside: Collection[str], when: str | None = None) -> Task:
    """The task of a step in a graph that holds the steps `inside`."""
    approval = pipeline.approval
    asked = approval is not None and approval in inside and step.name in pipeline.after(approval)
    # `when` reads an output of the approval, so it must be over; later steps follow from the first
    first = asked and approval in step.after
    return Task(
        name=step.name,
        template=step.name,
        # bare names: `match.Succeeded` would omit the task if match is skipped, which an empty list of parts does
        depends=" && ".join([*(n for n in step.after if n in inside), *([ASK] if first else [])]) or None,
        when=APPROVED if asked else when,
        with_param=_value(step.fan_out, inside) if step.fan_out else None,
        arguments=[
            Parameter(name="part", value="{{item}}" if step.fan_out else "0"),
            Parameter(name="mib", value=_value(step.memory, inside) if "." in step.memory else step.memory),
        ],
    )


def _value(reference: str, inside: Collection[str]) -> str:
    """Argo's reference to `STEP.OUTPUT`, which a graph that does not hold the step has as an input."""
    here = reference.partition(".")[0] in inside
    return _output(reference) if here else f"{{{{inputs.parameters.{_input(reference)}}}}}"


def _input(reference: str) -> str:
    return reference.replace(".", "_")


def _output(reference: str) -> str:
    """Argo's reference to `STEP.OUTPUT`."""
    step, _, name = reference.partition(".")
    return f"{{{{tasks.{step}.outputs.parameters.{name}}}}}"
