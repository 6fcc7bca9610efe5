"""`clio-argo workflow`: commands for workflows on a cluster, in the words of the `argo` command line."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from clio_argo.cli.commands import CLUSTER, Group, command
from clio_argo.cli.console import console, document, exit_unless, hint, tell
from clio_argo.cli.options import Cluster, ObjectForm
from clio_argo.model.base import share
from clio_argo.model.span import UNITS_S

if TYPE_CHECKING:
    from clio_argo.argo.client import Client
    from clio_argo.argo.logs import LogLine
    from clio_argo.argo.nodes import Json
    from clio_argo.argo.summary import Summary
    from clio_argo.model.costs import Estimate

    Listed = tuple[Summary, Json]

workflow = typer.Typer(cls=Group, no_args_is_help=True, help="List, watch, stop, continue and approve workflows.")
commands = typer.Typer()
commands.add_typer(workflow, name="workflow", rich_help_panel=CLUSTER)
# as shells say it of a process that SIGINT ended
INTERRUPTED = 130
SILENT = ("wrote nothing or is gone", "wrote nothing or are gone")
Name = Annotated[str, Argument(help="Workflow; @latest is the newest one.")]


def duration(text: str | timedelta) -> timedelta:
    """The span that 30m, 12h or 7d means. Raises `BadParameter` for anything else."""
    if isinstance(text, timedelta):
        # the default of an option is parsed, too
        return text
    parts = re.fullmatch(rf"(\d+)([{''.join(UNITS_S)}])", text)
    if not parts:
        raise typer.BadParameter(f"{text!r}: give a number with s, m, h, d or w, e.g. 12h")
    return int(parts[1]) * timedelta(seconds=UNITS_S[parts[2]])


PendingLimit = Annotated[
    timedelta,
    Option(parser=duration, metavar="TIME", show_default="15m", help="Exit with 75 if no pod started for so long."),
]


@dataclass(frozen=True)
class Filter:
    """Which workflows `list` shows."""

    status: Annotated[str, Option(help="Only these phases, e.g. Running,Failed.")] = ""
    since: Annotated[
        timedelta | None, Option(parser=duration, metavar="AGE", help="Only those created in the last 30m, 12h, 7d.")
    ] = None  # fmt: skip
    completed: Annotated[bool, Option("--completed", help="Only workflows that have ended.")] = False
    running: Annotated[bool, Option("--running", help="Only workflows that have not ended.")] = False
    limit: Annotated[int | None, Option(min=1, help="Only the newest N.")] = None

    def newest(self, workflows: "Iterable[Listed]", now: datetime) -> "list[Listed]":
        """Those that are asked for, newest first."""
        newest = sorted(workflows, key=lambda w: w[0].created or now, reverse=True)
        return [w for w in newest if self._shows(w[0], now)][: self.limit]

    def _shows(self, workflow: "Summary", now: datetime) -> bool:
        phases = self.status.lower().replace(" ", "").split(",")
        return (
            (not self.status or workflow.phase.lower() in phases)
            and (not self.since or (workflow.created or now) >= now - self.since)
            and (not self.completed or workflow.ended)
            and (not self.running or not workflow.ended)
        )


@command(workflow, name="list")
def list_(
    cluster: Cluster,
    chosen: Filter,
    everywhere: Annotated[bool, Option("-A", "--all-namespaces", help="Those of all namespaces.")] = False,
    labels: Annotated[str, Option("-l", "--selector", help="Only with these labels: key=value,...")] = "",
    output: ObjectForm = None,
) -> None:
    """List the workflows of clio-argo, newest first."""
    from clio_argo.argo.follow import look_at_all
    from clio_argo.argo.summary import summarise
    from clio_argo.argo.templates import selector
    from clio_argo.cli import cluster_show

    client, now = cluster.connect(), datetime.now(UTC)
    found = ((summarise(w), w) for w in client.find(selector(labels), everywhere))
    listed = [w for _, w in chosen.newest(found, now)]
    if output:
        print(document(listed, output))
        return
    nothing = f"no workflows in {'any namespace' if everywhere else f'namespace {client.namespace}'}"
    tell([cluster_show.workflows(look_at_all(client, listed), now, everywhere) if listed else nothing], console())


@command(workflow)
def get(name: Name, cluster: Cluster, output: ObjectForm = None) -> None:
    """Show a workflow: stages, failures with their messages, outputs."""
    from clio_argo.argo.follow import look
    from clio_argo.cli.cluster_show import details

    client, full_name = cluster.workflow(name)
    if output:
        print(document(client.get(full_name), output))
        return
    tell([details(look(client, full_name), datetime.now(UTC))], console())


@command(workflow)
def watch(name: Name, cluster: Cluster) -> None:
    """Show a live table of stages until the workflow has ended. Exit with 1 unless it succeeded."""
    Watch.of(cluster, name).live()


@command(workflow)
def wait(name: Name, cluster: Cluster, pending_limit: PendingLimit = timedelta(minutes=15)) -> None:
    """Wait until a workflow has ended. Exit with 1 unless it succeeded, with 75 if no pod starts."""
    Watch.of(cluster, name).wait(pending_limit)


@command(workflow)
def logs(
    name: Name,
    cluster: Cluster,
    follow: Annotated[bool, Option("-f", "--follow", help="Follow until the workflow has ended.")] = False,
    step: Annotated[str, Option(help="Only those of this step.")] = "",
) -> None:
    """Print the logs of a workflow's pods, each line with its pod."""
    Watch.of(cluster, name).logs(follow, step)


# what each command does to a workflow, and what it prints then
CONTINUES, CREATED = "{name} continues; watch it with: {watch}", "{name} was created; watch it with: {watch}"
VERBS = {
    "retry": ("Continue a failed workflow with the same arguments, and the same template if that can still work. Does "
              "only what is missing.", CONTINUES),
    "resubmit": ("Submit a workflow's arguments again, with the current template.", CREATED),
    "stop": ("Stop gracefully: pods are asked to stop, and notifications are sent.",
             "{name} stops; continue later with: {retry}"),
    "terminate": ("End a workflow at once, without its exit handler. Nothing that was written is lost.",
                  "{name} ends; continue later with: {retry}"),
    "suspend": ("Start no more pods of a workflow. Running pods continue.",
                "{name} is suspended; continue with: {resume}"),
    "resume": ("Continue a suspended workflow.", CONTINUES),
    "delete": ("Remove a workflow and its pods from the cluster. What it wrote stays.",
               "{name} was deleted; what it wrote stays, and the same request continues from there"),
    "approve": ("Let a workflow that waits for a decision make the volume.",
                "{name} was approved; watch it with: {watch}"),
    "reject": ("End a workflow that waits for a decision. No volume is made, and all results so far stay.",
               "{name} was rejected; no volume is made, and all results so far stay"),
}  # fmt: skip


def _action(verb: str, message: str) -> Callable[..., None]:
    def act(name: Name, cluster: Cluster) -> None:
        from clio_argo.argo import actions

        client, full_name = cluster.workflow(name)
        concerned = getattr(actions, verb)(client, full_name)
        hints = {v: hint(v, concerned, cluster.flags(client.namespace)) for v in ("watch", "retry", "resume")}
        print(message.format(name=concerned, **hints))

    return act


for _verb, (_help, _message) in VERBS.items():
    command(workflow, name=_verb, help=_help)(_action(_verb, _message))


@dataclass(frozen=True)
class Watch:
    """A workflow that this process watches. Ctrl-C ends the watching, not the workflow.

    flags: options that reach the workflow's namespace.
    """

    client: "Client"
    name: str
    flags: str

    @classmethod
    def of(cls, cluster: Cluster, name: str) -> "Watch":
        """The workflow of this name, or the newest one if it is @latest."""
        client, full_name = cluster.workflow(name)
        return cls(client, full_name, cluster.flags(client.namespace))

    def live(self) -> None:
        """Show a table until the end. Exit with 1 unless the volume is there."""
        from clio_argo.argo.follow import follow
        from clio_argo.cli.cluster_show import live

        with self._interruptible():
            last = live(follow(self.client, self.name), console(wrapped=True), self.flags, self._estimate())
        self._end(last)

    @staticmethod
    def _estimate() -> "Callable[[Summary], Estimate | None]":
        """What tells the estimate of a run once `plan` has written it, if this machine can read it: asked once."""
        found: list[Estimate | None] = []

        def estimate(summary: "Summary") -> "Estimate | None":
            if not found and any(s.name == "plan" and s.phase == "Succeeded" for s in summary.stages):
                found.append(read_estimate(summary.run))
            return found[0] if found else None

        return estimate

    def wait(self, pending_limit: timedelta | None = None) -> None:
        """Report only what keeps the workflow from going on. Exit with 1 unless the volume is there.

        Raises:
            NotStarting: no pod has started for `pending_limit`.
        """
        from clio_argo.argo.follow import follow
        from clio_argo.cli.cluster_show import obstacles, spoken

        with self._interruptible():
            last = spoken(
                follow(self.client, self.name, pending_limit),
                lambda summary: obstacles(summary, self.flags),
                lambda line: print(line, file=sys.stderr, flush=True),
            )
        self._end(last)

    def logs(self, follow: bool, step: str = "") -> None:
        """Print log lines. A pod is named WORKFLOW-STEP-NUMBER, and its node ends with the same number."""
        from clio_argo.argo.summary import kinds_of_pods, pods_of

        heard, shown = set[str](), False
        found = self.client.get(self.name)
        before = pods_of(found)
        with self._interruptible():
            for line in self._all_lines(found, follow, before, heard):
                pod = line.pod.removeprefix(f"{self.name}-")
                if step in ("", pod.rpartition("-")[0]):
                    shown = True
                    print(f"{pod}: {line.text}", flush=True)
        if step and not shown:
            kinds = ", ".join(kinds_of_pods(self.client.get(self.name)))
            print(f"no pod of {step} wrote anything; {self.name} has pods of: {kinds or 'none yet'}", file=sys.stderr)
        if silent := before - heard:
            print(
                f"{share(len(silent), len(before), 'pod', *SILENT)}; Argo keeps the logs of pods that are "
                "gone where it is set up to archive them (archiveLogs and an artifact repository)",
                file=sys.stderr,
            )

    def _all_lines(self, found: "Json", follow: bool, before: set[str], heard: set[str]) -> "Iterator[LogLine]":
        """Lines of pods that exist, then what Argo keeps of those of `before` that are gone. Fills `heard`."""
        from clio_argo.argo.archived import archived_lines
        from clio_argo.argo.pending import number
        from clio_argo.errors import ClioError

        for line in self.client.logs(self.name, follow):
            heard.add(number(line.pod))
            yield line
        try:
            for line in archived_lines(self.client.archived, found, before - heard):
                heard.add(number(line.pod))
                yield line
        except ClioError as error:
            print(f"archived logs cannot be read: {error}", file=sys.stderr)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            watch = hint("watch", self.name, self.flags)
            print(f"\n{self.name} keeps running; watch it with: {watch}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    def _end(self, last: "Summary") -> None:
        """The conclusion as the last line."""
        from clio_argo.cli.cluster_show import conclusion

        print(conclusion(last, self.flags), file=sys.stdout if last.succeeded else sys.stderr)
        exit_unless(last.succeeded)


def read_estimate(run: str) -> "Estimate | None":
    """The estimate of the run at this URL; None if there is none, or it cannot be read from here soon."""
    from clio_argo.clusters import BRIEF
    from clio_argo.errors import ClioError
    from clio_argo.model.costs import Estimate
    from clio_argo.model.layout import ESTIMATE
    from clio_argo.runner import environment
    from clio_argo.workspace.run import open_run

    try:
        with environment(BRIEF):
            return open_run(run).intact(Estimate, ESTIMATE)
    except ClioError:
        return None
