"""Workflows as people see them: tables, the live view, and what to do next."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clio_argo.argo.summary import Stage, Summary
from clio_argo.argo.why import Reason
from clio_argo.cli.console import as_typed, facts, hint, indented, lines, literal, table
from clio_argo.errors import UserError
from clio_argo.model.base import counted
from clio_argo.model.costs import Estimate, left_s
from clio_argo.model.prices import Prices, seconds_by_stage

# failures and pending pods that a terminal holds below the table of stages
LONGEST, FEW = 20, 3
COLOURS = {"Succeeded": "green", "Running": "cyan", "Failed": "red", "Error": "red"}
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def workflows(summaries: Sequence[Summary], now: datetime, namespaces: bool = False) -> Table:
    """One line for each workflow, with its namespace if asked for."""
    columns = ("namespace", "name", "status", "progress", "age", "duration", "run", "message")
    rows = table(*columns[not namespaces :])
    for one in summaries:
        first = (one.namespace, one.name)[not namespaces :]
        age, duration = _since(one.created, now), _since(one.started, one.finished or now)
        told = lines(one.message) or next(iter([*(text for _, text in hindrances(one)), *_failures(one.failures)]), "")
        rows.add_row(*first, status(one), one.progress, age, duration, literal(one.run), told)
    return rows


def status(summary: Summary) -> str:
    """The phase, and what Argo's phase does not show."""
    if summary.rejected:
        return "[yellow]Rejected[/]"
    if summary.waiting and not summary.ended:
        return "[yellow]waits for a decision[/]"
    if summary.suspended and not summary.ended:
        return "[yellow]Suspended[/]"
    return _coloured(summary.phase or "not picked up")


def details(summary: Summary, now: datetime, estimate: Estimate | None = None) -> RenderableType:
    """Stages, failures with their messages, outputs, and with an estimate of the run the time that it still takes."""
    duration = _since(summary.started, summary.finished or now)
    state = Text.from_markup(f"{status(summary)} {lines(summary.message)}, {duration}")
    rows = facts([
        ("workflow", f"{summary.name} in namespace {summary.namespace}, template {summary.template}"),
        ("status", state),
        ("run", summary.run),
        *_left(summary, now, estimate),
        *((name, value) for name, value in summary.outputs.items() if value),
    ])  # fmt: skip
    stuck = (text for _, text in hindrances(summary))
    return Group(rows, stages(summary.stages, now), *stuck, *_failures(summary.failures))


def _left(summary: Summary, now: datetime, estimate: Estimate | None) -> list[tuple[str, RenderableType]]:
    """The time that a running workflow still takes; nothing as long as nobody knows, or while it waits for people."""
    if estimate is None or summary.ended or summary.waiting or summary.suspended:
        return []
    expected = seconds_by_stage(estimate, summary.parallelism, Prices.reference().delays.pod_s)
    # one pod does several stages, and its own line tells the time
    if len(expected.keys() & {s.name for s in summary.stages}) <= 1:
        return []
    done = {s.name: 1.0 if s.phase == "Succeeded" else s.work / s.total if s.total else 0.0 for s in summary.stages}
    # without the time between stages, in which somebody may have thought about approval
    passed = sum(s.seconds(now) for s in summary.stages if s.name in expected)
    left = timedelta(seconds=left_s(expected, done, passed))
    return [("left", f"about {_duration(left)} for the whole run, without waiting for nodes and approval")]


def hindrances(summary: Summary) -> Iterator[tuple[str, str]]:
    """Why parts do not start and why others are tried again: few lines, each with the kind of reason that it tells."""
    for what, reasons in (("does not start", summary.pending), ("is tried again", summary.retried)):
        of_kind = {r.kind: r for r in reversed(reasons)}
        for kind, first in reversed([*of_kind.items()][-FEW:]):
            others = sum(r.kind == kind for r in reasons) - 1
            node = f"{first.node} and {others} more" if others else first.node
            yield f"{what} {kind}", f"{literal(node)} {what}: {lines(first.reason)}"


def stages(shown: Sequence[Stage], now: datetime) -> Table:
    """One line for each stage."""
    rows = table("stage", "status", "done", "running", "retries", "failed", "rate", "time", "left")
    for stage in shown:
        left = stage.left(now)
        rows.add_row(
            literal(stage.name), _coloured(stage.phase), _progress(stage),
            str(stage.running or ""), str(stage.retries or ""), f"[red]{stage.failed}[/]" if stage.failed else "",
            f"{stage.rate(now) * 60:.1f}/min" if stage.work else "",
            _since(stage.started, stage.finished or now), "" if left is None else _duration(left),
        )  # fmt: skip
    return rows


def _progress(stage: Stage) -> str:
    return f"{stage.done}/{'?' if stage.total is None else stage.total}"


def _failures(failures: Sequence[Reason]) -> Iterator[str]:
    for failure in failures[:LONGEST]:
        yield f"[red]{literal(failure.node)}[/]: {lines(failure.reason)}"
    if len(failures) > LONGEST:
        yield f"... and {len(failures) - LONGEST} more"


def live(
    snapshots: Iterable[Summary],
    console: Console,
    flags: str = "",
    estimate: Callable[[Summary], Estimate | None] = lambda _: None,
) -> Summary:
    """Show each snapshot as a table in place of the last; on no terminal, each change of a stage as a line.

    flags: options that reach the workflow's namespace, for hints. estimate: of the run, if somebody can read it.
    """

    def say(line: str) -> None:
        console.print(f"{datetime.now(UTC):%H:%M:%S}Z {line}", soft_wrap=True)

    if not console.is_terminal:
        return spoken(snapshots, lambda summary: _changes(summary, flags), say)
    last = None
    with Live(console=console, auto_refresh=False) as view:
        for last in snapshots:
            view.update(details(last, datetime.now(UTC), estimate(last)), refresh=True)
    return _found(last)


def _changes(summary: Summary, flags: str) -> Iterator[tuple[str, str]]:
    """Lines about this moment, each with what makes it another line than those before."""
    for stage in summary.stages:
        if stage.phase:
            retries = f", {stage.retries} tried again" if stage.retries else ""
            line = f"{literal(stage.name)} {stage.phase} {_progress(stage)}{retries}"
            yield line, line
    yield from ((f.node, f"failed: {literal(f.node)}: {lines(f.reason)}") for f in summary.failures)
    yield from obstacles(summary, flags)


def obstacles(summary: Summary, flags: str) -> Iterator[tuple[str, str]]:
    """What keeps the workflow from going on, as lines with their kind."""
    yield from hindrances(summary)
    if summary.waiting:
        yield "waits", f"waits for a decision: {hint('approve', summary.name, flags)} (or reject)"


def spoken(
    snapshots: Iterable[Summary], told: Callable[[Summary], Iterable[tuple[str, str]]], say: Callable[[str], None]
) -> Summary:
    """Say each kind of line once, and return the last snapshot."""
    last, said = None, set[str]()
    for last in snapshots:
        for kind, line in told(last):
            if kind not in said:
                said.add(kind)
                say(line)
    return _found(last)


def _found(last: Summary | None) -> Summary:
    if last is None:
        raise UserError("nothing to watch")
    return last


def conclusion(summary: Summary, flags: str = "") -> str:
    """What came out of a workflow, and what to do next, as the last line."""
    if summary.rejected:
        return f"rejected ({summary.decision}): no volume was made; all results so far stay in {summary.run}"
    if summary.succeeded:
        count = summary.outputs.get("flagged", "0")
        flagged = f", {counted(int(count), 'slice')} flagged" if count != "0" else ""
        where = summary.outputs.get("link") or summary.outputs.get("volume") or summary.run
        return f"done{flagged}; look at it: {as_typed(where)}"
    reasons = [f"{f.node}: {f.reason}" for f in summary.failures[:LONGEST]] or [summary.message]
    told = "".join(f"\n  {indented(reason)}" for reason in reasons if reason)
    retry = hint("retry", summary.name, flags)
    return f"{summary.phase.lower()}:{told}\nfix this, then continue where it stopped: {retry}"


def _coloured(phase: str) -> str:
    colour = COLOURS.get(phase)
    return f"[{colour}]{phase}[/]" if colour else literal(phase)


def _since(begin: datetime | None, end: datetime) -> str:
    return _duration(end - begin) if begin else ""


def _duration(span: timedelta) -> str:
    """Two units are enough: 3d4h, 2h5m, 4m10s, 9s."""
    seconds, counts = max(0, round(span.total_seconds())), list[str]()
    for unit, size in UNITS.items():
        count, seconds = divmod(seconds, size)
        if count or counts or unit == "s":
            counts.append(f"{count}{unit}")
    return "".join(counts[:2])
