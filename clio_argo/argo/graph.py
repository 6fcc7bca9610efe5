"""The order of the steps as one DAG, and what a person decides in the middle of it."""

from hera.workflows import DAG, Parameter, Suspend, Task
from hera.workflows import models as m

from clio_argo.argo.parameters import DECISIONS
from clio_argo.pipeline import Pipeline, Step

ASK, DECISION = "ask", "decision"
APPROVED = f"{{{{tasks.{ASK}.outputs.parameters.{DECISION}}}}} == approve"


def graph(pipeline: Pipeline) -> DAG:
    """All steps. Joins are bare `depends`: an empty list of parts skips its step and nothing behind it."""
    tasks = [_task(pipeline, step) for step in pipeline.steps]
    return DAG(name="main", tasks=[*tasks, *([_ask_task(pipeline.approval)] if pipeline.approval else [])])


def ask() -> Suspend:
    """Waits for a person; with a duration of 0 it is over at once.

    It has no `when`: a task that refers to an output of a task that was skipped never starts.
    """
    inputs = [
        Parameter(name=DECISION, value="reject", enum=list(DECISIONS)),
        Parameter(name="wait"),
        Parameter(name="otherwise"),
    ]
    supplied = m.ValueFrom(supplied=m.SuppliedValueFrom(), default="{{inputs.parameters.otherwise}}")
    return Suspend(
        name=ASK,
        duration="{{inputs.parameters.wait}}",
        inputs=inputs,
        outputs=[Parameter(name=DECISION, value_from=supplied)],
    )


def _ask_task(after: str) -> Task:
    asked = "workflow.parameters.approval == 'ask'"
    return Task(
        name=ASK,
        template=ASK,
        depends=after,
        arguments=[
            Parameter(name="wait", value=f"{{{{={asked} ? workflow.parameters.approval_wait : '0'}}}}"),
            Parameter(name="otherwise", value=f"{{{{={asked} ? workflow.parameters.approval_otherwise : 'approve'}}}}"),
        ],
    )


def _task(pipeline: Pipeline, step: Step) -> Task:
    approval = pipeline.approval
    asked = approval is not None and step.name in pipeline.after(approval)
    first = asked and approval in step.after
    return Task(
        name=step.name,
        template=step.name,
        depends=" && ".join([*step.after, *([ASK] if first else [])]) or None,
        when=APPROVED if asked else None,
        with_param=_output(step.fan_out) if step.fan_out else None,
        arguments=[
            Parameter(name="part", value="{{item.part}}" if step.fan_out else "0"),
            Parameter(name="mib", value=_output(step.memory) if "." in step.memory else step.memory),
        ],
    )


def _output(reference: str) -> str:
    """Reference to `STEP.OUTPUT`."""
    step, _, name = reference.partition(".")
    return f"{{{{tasks.{step}.outputs.parameters.{name}}}}}"
