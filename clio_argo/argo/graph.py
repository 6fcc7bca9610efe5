"""The order of the steps as one DAG, with the approval in the middle."""

from hera.workflows import DAG, Parameter, Suspend, Task
from hera.workflows import models as m

from clio_argo.argo.approval import APPROVE, DECISION, REJECT
from clio_argo.argo.parameters import DECISIONS
from clio_argo.pipeline import Pipeline, Step

ASK = "ask"
APPROVED = f"{{{{tasks.{ASK}.outputs.parameters.{DECISION}}}}} == {APPROVE}"


def graph(pipeline: Pipeline) -> DAG:
    """The DAG of all steps, and of the approval if the pipeline has one."""
    tasks = [_task(pipeline, step) for step in pipeline.steps]
    return DAG(name="main", tasks=[*tasks, *([_ask_task(pipeline.approval)] if pipeline.approval else [])])


def ask() -> Suspend:
    """The template of the approval: it waits for a decision, and takes `otherwise` when `wait` is over."""
    inputs = [
        Parameter(name=DECISION, value=REJECT, enum=list(DECISIONS)),
        Parameter(name="wait"),
        Parameter(name="otherwise"),
    ]
    supplied = m.ValueFrom(supplied=m.SuppliedValueFrom(), default="{{inputs.parameters.otherwise}}")
    outputs = [Parameter(name=DECISION, value_from=supplied)]
    return Suspend(name=ASK, duration="{{inputs.parameters.wait}}", inputs=inputs, outputs=outputs)


def _ask_task(after: str) -> Task:
    """Approval is a suspend task that is always present; its duration is 0 when no approval was requested."""
    # it must not have `when`: a task that refers to an output of a skipped task never starts
    asked = "workflow.parameters.approval == 'ask'"
    wait = f"{{{{={asked} ? workflow.parameters.approval_wait : '0'}}}}"
    otherwise = f"{{{{={asked} ? workflow.parameters.approval_otherwise : '{APPROVE}'}}}}"
    arguments = [Parameter(name="wait", value=wait), Parameter(name="otherwise", value=otherwise)]
    return Task(name=ASK, template=ASK, depends=after, arguments=arguments)


def _task(pipeline: Pipeline, step: Step) -> Task:
    approval = pipeline.approval
    asked = approval is not None and step.name in pipeline.after(approval)
    # `when` reads an output of the approval, so it must be over; later steps follow from the first
    first = asked and approval in step.after
    return Task(
        name=step.name,
        template=step.name,
        # bare names: `match.Succeeded` would omit the task if match is skipped, which an empty list of parts does
        depends=" && ".join([*step.after, *([ASK] if first else [])]) or None,
        when=APPROVED if asked else None,
        with_param=_output(step.fan_out) if step.fan_out else None,
        arguments=[
            Parameter(name="part", value="{{item}}" if step.fan_out else "0"),
            Parameter(name="mib", value=_output(step.memory) if "." in step.memory else step.memory),
        ],
    )


def _output(reference: str) -> str:
    """Argo's reference to `STEP.OUTPUT`."""
    step, _, name = reference.partition(".")
    return f"{{{{tasks.{step}.outputs.parameters.{name}}}}}"
