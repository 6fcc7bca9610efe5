"""The approval as Argo sees it: a graph of one node that waits, and what its end means."""

from hera.workflows import DAG, Parameter, Suspend, Task
from hera.workflows import models as m

from clio_argo.argo.approval import APPROVE, DECISION, NONE
from clio_argo.argo.parameters import DECISIONS

ASK, DECIDE, REASON = "ask", "decide", "reason"
# Argo shows the condition of a skipped task as its message: the reason stands there, for people who look at its UI
APPROVED = f"'{{{{tasks.{ASK}.outputs.parameters.{REASON}}}}}' =~ '^{APPROVE}'"
IS_ASKED = "workflow.parameters.approval == 'ask'"
TIME = f"{{{{={IS_ASKED} ? workflow.parameters.approval_wait : '0'}}}}"
# in expressions over the node that waited; the dialog of Argo's UI may end it without an output
CHOSEN = f"(tasks.{DECIDE}.outputs?.parameters?.{DECISION} ?? '{NONE}')"
# Argo takes a number without a unit for seconds, expressions do not
WAIT = "duration(inputs.parameters.wait matches '^[0-9]+$' ? inputs.parameters.wait + 's' : inputs.parameters.wait)"
IS_OVER = f"date(tasks.{DECIDE}.finishedAt) >= date(tasks.{DECIDE}.startedAt) + {WAIT}"


def ask_templates() -> list[DAG | Suspend]:
    """The graph `ask`, whose outputs are the decision and its reason, and the node that waits for a person.

    Argo gives the node one default, whether somebody resumed it or its time is over: only the graph tells them apart.
    """
    return [_graph(), _waiting()]


def ask_task(after: str) -> Task:
    """The task `ask`. It is always present: nobody is asked where the request does not want it."""
    # it must not have `when`: a task that refers to an output of a skipped task never starts
    otherwise = f"{{{{={IS_ASKED} ? workflow.parameters.approval_otherwise : '{APPROVE}'}}}}"
    arguments = [Parameter(name="wait", value=TIME), Parameter(name="otherwise", value=otherwise)]
    return Task(name=ASK, template=ASK, depends=after, arguments=arguments)


def _graph() -> DAG:
    chosen = f"{CHOSEN} != '{NONE}'"
    decision = f"{chosen} ? {CHOSEN} : {IS_OVER} ? inputs.parameters.otherwise : '{APPROVE}'"
    late = "inputs.parameters.otherwise + ', because nobody decided within ' + inputs.parameters.wait"
    over = f"inputs.parameters.wait == '0' ? '{APPROVE}, nobody was asked' : {late}"
    reason = f"{chosen} ? {CHOSEN} : {IS_OVER} ? ({over}) : '{APPROVE}, because somebody resumed it'"
    outputs = [_output(DECISION, decision, DECISION), _output(REASON, reason, None)]
    inputs = [Parameter(name="wait"), Parameter(name="otherwise")]
    return DAG(name=ASK, inputs=inputs, outputs=outputs, tasks=[Task(name=DECIDE, template=DECIDE)])


def _output(name: str, expression: str, shown: str | None) -> Parameter:
    return Parameter(name=name, value_from=m.ValueFrom(expression=expression), global_name=shown)


def _waiting() -> Suspend:
    """The node that waits. Argo's dialog asks for each input, so the decision is the only one."""
    described = "approve: make the volume. reject: end the run; all results so far stay."
    inputs = [Parameter(name=DECISION, value=APPROVE, enum=list(DECISIONS), description=described)]
    supplied = m.ValueFrom(supplied=m.SuppliedValueFrom(), default=NONE)
    outputs = [Parameter(name=DECISION, value_from=supplied)]
    return Suspend(name=DECIDE, duration=TIME, inputs=inputs, outputs=outputs)
