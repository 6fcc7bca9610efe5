"""The order of the steps as one DAG, with the approval in the middle."""

from hera.workflows import DAG, Parameter, Task

from clio_argo.argo.ask import APPROVED, ASK, ask_task
from clio_argo.pipeline import Pipeline, Step


def graph(pipeline: Pipeline) -> DAG:
    """The DAG of all steps, and of the approval if the pipeline has one."""
    tasks = [_task(pipeline, step) for step in pipeline.steps]
    return DAG(name="main", tasks=[*tasks, *([ask_task(pipeline.approval)] if pipeline.approval else [])])


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
            Parameter(name="part", value="{{item.part}}" if step.fan_out else "0"),
            Parameter(name="mib", value=_output(step.memory) if "." in step.memory else step.memory),
        ],
    )


def _output(reference: str) -> str:
    """Argo's reference to `STEP.OUTPUT`."""
    step, _, name = reference.partition(".")
    return f"{{{{tasks.{step}.outputs.parameters.{name}}}}}"
