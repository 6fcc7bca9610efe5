"""The commands of `clio-argo`."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from clio_argo.cli import bucket, cluster, cluster_admin, cluster_submit, upkeep
from clio_argo.cli.options import takes_request
from clio_argo.errors import ClioError, UserError
from clio_argo.model.config import IngestConfig
from clio_argo.viewer.url import VIEW_PORT

app = typer.Typer(
    name="clio-argo",
    help="From numbered electron-microscopy slices to a verified, aligned volume.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Out = Annotated[str, typer.Option("--out", help="Folder or bucket for everything the run makes.")]
Log = Annotated[str, typer.Option("--log", help="auto: bars on a terminal; json: a line per event; quiet.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes.")]


def main() -> None:
    """Run a command; an error that a person can mend is one message without a stack trace."""
    try:
        app()
    except ClioError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BaseException as error:
        if not _interrupted(error):
            raise
        print("\nstopped; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(cluster.INTERRUPTED)


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: libraries wrap it, in the middle of an import for example.

    A command that says itself what Ctrl-C means for it raises `from None`.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error is not None


@app.command()
@takes_request
def run(
    wanted: IngestConfig,
    out: Out,
    workers: Workers = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless the status is complete.")
    ] = False,
    log: Log = "auto",
) -> None:
    """Align a stack on this machine; run it again to go on where it stopped."""
    from clio_argo.cli.progress import reporter
    from clio_argo.cli.show import show_again, show_end
    from clio_argo.model.alignment import Transforms
    from clio_argo.model.layout import TRANSFORMS
    from clio_argo.runner import run as run_pipeline
    from clio_argo.store.documents import Store

    with reporter(log) as progress:
        done = run_pipeline(wanted, out, workers, progress)
    if log == "json":
        print(json.dumps({"event": "end", **done.model_dump(mode="json")}))
    else:
        store = Store(out)
        show_again(Console(highlight=False), progress.again)
        show_end(Console(highlight=False), done, store.document(Transforms, TRANSFORMS), store)
    if strict and done.status != "complete":
        raise typer.Exit(1)


@app.command()
@takes_request
def align(wanted: IngestConfig, out: Out, workers: Workers = None, log: Log = "auto") -> None:
    """Place all slices and write the report, but no volume: to look first. `run` goes on from there."""
    from clio_argo.cli.progress import reporter
    from clio_argo.cli.show import show_aligned
    from clio_argo.runner import align as align_only
    from clio_argo.store.documents import Store

    with reporter(log) as progress:
        transforms = align_only(wanted, out, workers, progress)
    if log == "json":
        found = {"flagged": [s.z for s in transforms.flagged], "suspect": [s.z for s in transforms.suspect]}
        breaks = [b.model_dump() for b in transforms.breaks]
        print(json.dumps({"event": "end", "status": "aligned", **found, "breaks": breaks}))
    else:
        show_aligned(Console(highlight=False), transforms, Store(out))


@app.command()
@takes_request
def plan(wanted: IngestConfig) -> None:
    """Read all headers and show what a run would find and need; writes nothing."""
    from clio_argo.cli.show import show_plan
    from clio_argo.workspace.preflight import preflight

    checked = preflight(wanted)
    allowed = wanted.allowed_bad(checked.plan.depth)
    show_plan(Console(highlight=False), checked.plan, checked.volume, allowed)
    checked.refuse()


@app.command()
def view(
    run: Annotated[str, typer.Argument(help="Folder of a local run.")],
    port: Annotated[int, typer.Option("--port", help="Port on this machine; 0: a free one.")] = VIEW_PORT,
) -> None:
    """Serve a local run on this machine with a neuroglancer of its own, and print the link."""
    from clio_argo.store.documents import Store
    from clio_argo.viewer.server import serve
    from clio_argo.workspace.run import opened

    root = Store(run).local
    volume, below = opened(run).at("ng") if root else (Store(run), "")
    if root is None or volume.local is None:
        raise UserError(f"{run}: only local runs are served; open the link in complete.json instead")
    serve(root, port, lambda link: print(f"{link}\nCtrl-C ends it", flush=True), volume.local / below)


@app.command()
def doctor(
    source: Annotated[str | None, typer.Argument(help="Folder or bucket with slices.")] = None,
    run: Annotated[str | None, typer.Argument(help="Folder or bucket that a run would write to.")] = None,
    namespace: cluster.Namespace = None,
) -> None:
    """Check machine, source, store and, with a namespace, cluster; writes a probe object to RUN and deletes it."""
    from clio_argo.cli.doctor import examine

    wrong = False
    for finding in examine(source, run, namespace):
        wrong = wrong or finding.verdict == "WRONG"
        print(finding.line(), flush=True)
    raise typer.Exit(int(wrong))


@app.command()
def schema() -> None:
    """Print the JSON schema of a request."""
    print(json.dumps(IngestConfig.model_json_schema(), indent=2))


app.add_typer(bucket.commands, name="bucket")
app.add_typer(upkeep.commands)
app.add_typer(cluster_submit.commands)
app.add_typer(cluster.commands)
app.add_typer(cluster_admin.commands)
