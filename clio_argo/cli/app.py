"""The commands of `clio-argo`."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer import Argument, Option

from clio_argo.cli import (
    bucket,
    cluster,
    cluster_admin,
    cluster_submit,
    estimate,
    follow,
    init,
    maintenance,
    new_run,
    register,
    renumber,
    report,
    upload,
    view,
)
from clio_argo.cli.commands import ADMINISTER, MAKE, PANELS, Group, command, panel_of
from clio_argo.cli.console import UNWRAPPED, exit_unless, show, tell_wait
from clio_argo.cli.new_run import place_of
from clio_argo.cli.options import Cluster, Form, Local, Out, RequestOptions
from clio_argo.errors import TERMINATED, ClioError
from clio_argo.model.request import Request


class Program(Group):
    """All commands. Those of `workflow` are also known without that word."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name."""
        workflow: Any = self.commands["workflow"]
        return self.commands.get(cmd_name) or workflow.get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of their panels."""
        return sorted(super().list_commands(ctx), key=lambda name: PANELS.index(panel_of(self.commands[name])))


app = typer.Typer(
    name="clio-argo", cls=Program, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def main() -> None:
    """Run a command; an error that a person can fix is one message without a stack trace."""
    terminal = sys.stdout.isatty() and sys.stderr.isatty()
    app.rich_markup_mode = "rich" if terminal else None  # boxes are for people only
    # batch systems and services end a command by it, which then says how to go on as after Ctrl-C
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(terminal_width=None if terminal else UNWRAPPED)
    except ClioError as error:
        print("\n".join([f"error: {error}", *_notes(error)]), file=sys.stderr)
        sys.exit(error.exit_code)
    except BaseException as error:
        chain = list(_chain(error))
        interruption = next((e for e in chain if isinstance(e, KeyboardInterrupt)), None)
        if interruption is None:
            raise
        how = "; ".join(note for e in chain for note in _notes(e)) or "the same command continues where it stopped"
        print(f"\nstopped; {how}", file=sys.stderr)
        sys.exit(TERMINATED if isinstance(interruption, _Terminated) else cluster.INTERRUPTED)


class _Terminated(KeyboardInterrupt):
    """SIGTERM."""


def _terminate(*_: object) -> None:
    raise _Terminated


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it: libraries wrap Ctrl-C, in the middle of an import for example.

    A command that says itself what Ctrl-C means for it raises `from None`.
    """
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"clio-argo {version('clio-argo')}")
        raise typer.Exit


@app.callback()
def program(
    _: Annotated[bool, Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:  # fmt: skip
    """Align numbered electron-microscopy slices into a verified volume."""


app.add_typer(init.commands)
app.add_typer(renumber.commands)
app.add_typer(new_run.commands)
app.add_typer(upload.commands)


@command(app, MAKE)
def plan(request: RequestOptions, output: Form = None) -> None:
    """Read all headers and show what a run would find and need. Nothing is written."""
    from clio_argo.cli.order import order_rows, order_view
    from clio_argo.cli.views import plan_view
    from clio_argo.workspace.preflight import preflight

    config = request.read()
    tell_wait(config.source)
    checked = preflight(config)
    plan, volume, allowed = checked.plan, checked.volume, config.allowed_bad(checked.plan.depth)
    documents = {"plan": plan.model_dump(mode="json"), "volume": volume and volume.model_dump(mode="json")}
    listed = {"slices": order_rows(checked)} if config.order == "name" else {}
    value = {**documents, **listed, "max_bad": allowed, "warning": checked.warning}
    show(value, output, lambda: (*plan_view(config, plan, volume, checked.warning), *order_view(config, checked)))
    checked.refuse("; all are above")


app.add_typer(estimate.commands)


@command(app, MAKE)
def align(out: Out, request: RequestOptions, local: Local) -> None:
    """Place all slices and write the report, but no volume. `run` continues from there."""
    from clio_argo.cli.views import aligned_view
    from clio_argo.runner import align as align_here
    from clio_argo.store.documents import Store

    config = request.read()
    with place_of(out, config) as place, local.reporter() as progress:
        transforms = align_here(place.request, place.root, local.workers, progress, local.graph)
    flagged = {"flagged": [s.z for s in transforms.flagged], "suspect": [s.z for s in transforms.suspect]}
    result = {"status": "aligned", **flagged, "breaks": [b.model_dump() for b in transforms.breaks]}
    local.end(result, lambda: aligned_view(transforms, Store(place.root)))


@command(app, MAKE)
def run(
    out: Out,
    request: RequestOptions,
    local: Local,
    strict: Annotated[bool, Option("--strict", help="Exit with 1 unless the status is complete.")] = False,
) -> None:
    """Make a volume on this machine. The same command again continues where it stopped."""
    from clio_argo.cli.views import run_view
    from clio_argo.runner import run as run_here
    from clio_argo.store.documents import Store

    config = request.read()
    register.warn_of_token(config)
    with place_of(out, config) as place, local.reporter() as progress:
        done = run_here(place.request, place.root, local.workers, progress, local.graph)
    local.end(done.model_dump(mode="json"), lambda: run_view(done, Store(place.root), progress.again))
    exit_unless(done.status == "complete" or not strict)


app.add_typer(follow.commands)
app.add_typer(view.commands)
app.add_typer(report.commands)
app.add_typer(maintenance.commands)
app.add_typer(register.commands)
app.add_typer(cluster_submit.commands)
app.add_typer(cluster.commands)


@command(app, ADMINISTER)
def doctor(
    cluster: Cluster,
    source: Annotated[str | None, Argument(help="Folder or bucket with slices.")] = None,
    run: Annotated[str | None, Argument(help="Folder or bucket that a run would write to.")] = None,
    source_option: Annotated[str | None, Option("--source", help="The same as SOURCE.")] = None,
    run_option: Annotated[str | None, Option("--out", "--run", help="The same as RUN.")] = None,
    output: Form = None,
) -> None:
    """Check machine, source, store and, with -n, cluster. A probe object is written to RUN and deleted."""
    from clio_argo.cli.doctor import examine
    from clio_argo.runner import environment

    findings = []
    # this look is short, and other calls of the same process stay patient
    with environment({"CLIO_STORE_TRIES": os.environ.get("CLIO_STORE_TRIES", "2")}):
        for finding in examine(source or source_option, run or run_option, cluster if cluster != Cluster() else None):
            findings.append(finding)
            if not output:
                print(finding.line(), flush=True)
    if output:
        show([vars(finding) for finding in findings], output, tuple)
    exit_unless(all(finding.verdict != "WRONG" for finding in findings))


app.add_typer(bucket.commands, name="bucket", rich_help_panel=ADMINISTER)
app.add_typer(cluster_admin.commands)


@command(app, ADMINISTER)
def schema() -> None:
    """Print the JSON schema of a request."""
    print(json.dumps(Request.model_json_schema(), indent=2))
