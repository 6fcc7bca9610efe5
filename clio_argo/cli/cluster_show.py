"""Workflows as people see them: tables, the live view, and what to do next."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import yaml
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from clio_argo.argo.nodes import Json
from clio_argo.argo.summary import Reason, Stage, Summary
from clio_argo.cli.text import literal
from clio_argo.errors import UserError

LONGEST, FEW = 20, 3
COLOURS = {"Succeeded": "green", "Running": "cyan", "Failed": "red", "Error": "red"}


def workflows(found: Sequence[Summary], now: datetime) -> Table:
    """One line for each, newest first."""
    table = _table("name", "status", "progress", "age", "duration", "run", "message")
    for one in sorted(found, key=lambda s: s.created or now, reverse=True):
        age, ran = _since(one.created, now), _since(one.started, one.finished or now)
        table.add_row(one.name, status(one), one.progress, age, ran, literal(one.run), literal(one.message))
    return table


def status(found: Summary) -> str:
    """The phase, and what Argo's phase does not tell."""
    if found.rejected:
        return "[yellow]Rejected[/]"
    if found.waiting and not found.ended:
        return "[yellow]waits for a decision[/]"
    if found.suspended and not found.ended:
        return "[yellow]Suspended[/]"
    return _coloured(found.phase or "not taken up")


def details(found: Summary, now: datetime) -> RenderableType:
    """Stages, failures with their messages, outputs."""
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("workflow", f"{found.name} in namespace {found.namespace}, template {found.template}")
    facts.add_row(
        "status", f"{status(found)} {literal(found.message)}, {_since(found.started, found.finished or now)}"
    )
    facts.add_row("run", literal(found.run))
    for name, value in found.outputs.items():
        facts.add_row(literal(name), literal(value))
    pending = (f"{literal(p.node)} does not start: {literal(p.reason)}" for p in found.pending[:FEW])
    return Group(facts, stages(found.stages, now), *pending, *_failures(found.failures))


def stages(found: Sequence[Stage], now: datetime) -> Table:
    table = _table("stage", "status", "done", "running", "retries", "failed", "rate", "time", "to go")
    for stage in found:
        left = stage.left(now)
        table.add_row(
            literal(stage.name),
            _coloured(stage.phase),
            f"{stage.done}/{'?' if stage.total is None else stage.total}",
            str(stage.running or ""),
            str(stage.retries or ""),
            f"[red]{stage.failed}[/]" if stage.failed else "",
            f"{stage.rate(now) * 60:.1f}/min" if stage.work else "",
            _since(stage.started, stage.finished or now),
            "" if left is None else _duration(left),
        )
    return table


def _failures(found: Sequence[Reason]) -> Iterator[RenderableType]:
    for failure in found[:LONGEST]:
        yield f"[red]{literal(failure.node)}[/]: {literal(failure.reason)}"
    if len(found) > LONGEST:
        yield f"... and {len(found) - LONGEST} more"


def live(snapshots: Iterable[Summary], console: Console) -> Summary:
    """Show each as a table that renews itself, or on no terminal each change of a stage as a line; the last one."""
    if not console.is_terminal:
        return _lines(snapshots, console)
    last = None
    with Live(console=console, auto_refresh=False) as view:
        for last in snapshots:
            view.update(details(last, datetime.now(UTC)), refresh=True)
    return _ended(last)


def _lines(snapshots: Iterable[Summary], console: Console) -> Summary:
    said, last = set[str](), None
    for last in snapshots:
        for line in _changes(last):
            if line not in said:
                console.print(f"{datetime.now(UTC):%H:%M:%S}Z {line}", soft_wrap=True)
                said.add(line)
    return _ended(last)


def _changes(found: Summary) -> Iterator[str]:
    for stage in found.stages:
        if stage.phase:
            total = "?" if stage.total is None else stage.total
            again = f", {stage.retries} tried again" if stage.retries else ""
            yield f"{literal(stage.name)} {stage.phase} {stage.done}/{total}{again}"
    yield from (f"failed: {literal(f.node)}: {literal(f.reason)}" for f in found.failures)
    if found.waiting and not found.ended:
        yield f"waits for a decision: {command('approve', found)} (or reject)"


def _ended(last: Summary | None) -> Summary:
    if last is None:
        raise UserError("nothing to watch")
    return last


def conclusion(found: Summary) -> str:
    """What came out of it, and what to do next, as the last line."""
    if found.rejected:
        return f"rejected ({found.decision}): no volume was made; what was found stays in {found.run}"
    if found.succeeded:
        flagged = (
            f", {found.outputs['flagged']} slices flagged" if found.outputs.get("flagged", "0") != "0" else ""
        )
        where = found.outputs.get("link") or found.outputs.get("volume") or found.run
        return f"done{flagged}; look at it: {where}"
    reasons = "".join(f"\n  {f.node}: {f.reason}" for f in found.failures[:LONGEST])
    told = reasons or (f"\n  {found.message}" if found.message else "")
    return f"{found.phase.lower()}:{told}\nmend what is named, then go on where it stopped: {command('retry', found)}"


def command(verb: str, found: Summary) -> str:
    return f"clio-argo {verb} {found.name} -n {found.namespace}"


def document(value: Json | Sequence[Json], form: str) -> str:
    """An object or several as people asked for them with -o."""
    if form == "name":
        return "\n".join(w["metadata"]["name"] for w in (value if isinstance(value, Sequence) else [value]))
    if form == "json":
        return json.dumps(value, indent=2)
    if form == "yaml":
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    raise UserError(f"-o {form}: use name, json or yaml")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == "name")
    return table


def _coloured(phase: str) -> str:
    colour = COLOURS.get(phase)
    return f"[{colour}]{phase}[/]" if colour else literal(phase)


def _since(begin: datetime | None, end: datetime) -> str:
    return _duration(end - begin) if begin else ""


def _duration(span: timedelta) -> str:
    """Two units are enough: 3d4h, 2h5m, 4m10s, 9s."""
    seconds = max(0, round(span.total_seconds()))
    units = [
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "m"),
        (seconds % 60, "s"),
    ]
    first = next((i for i, (n, _) in enumerate(units) if n), 3)
    return "".join(f"{n}{unit}" for n, unit in units[first : first + 2])
