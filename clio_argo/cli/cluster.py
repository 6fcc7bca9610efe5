"""Commands for workflows on a cluster, in the words of the `argo` command line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clio_argo.argo.client import Client
    from clio_argo.argo.summary import Summary

commands = typer.Typer()
INTERRUPTED = 130
Name = Annotated[str, typer.Argument(help="Workflow; @latest is the newest one.")]
Namespace = Annotated[
    str | None,
    typer.Option("-n", "--namespace", help="Default: ARGO_NAMESPACE, or the one of the kubeconfig."),
]
Labels = Annotated[
    str, typer.Option("-l", "--selector", help="Only workflows with these labels: key=value,...")
]
Form = Annotated[str | None, typer.Option("-o", "--output", help="name, json or yaml.")]


def connected(namespace: str | None) -> "Client":
    from clio_argo.argo.client import connect

    return connect(namespace)


@commands.command("list")
def list_(namespace: Namespace = None, labels: Labels = "", output: Form = None) -> None:
    """List the workflows of this program, newest first."""
    from clio_argo.argo.summary import summarise
    from clio_argo.argo.templates import selector
    from clio_argo.cli import cluster_show as show

    client = connected(namespace)
    found = client.find(selector(labels))
    if output:
        print(show.document(found, output))
    elif found:
        _print(show.workflows([summarise(w) for w in found], datetime.now(UTC)))
    else:
        print(f"no workflows in namespace {client.namespace}")


@commands.command()
def get(name: Name, namespace: Namespace = None, output: Form = None) -> None:
    """Show a workflow: stages, failures with their messages, outputs."""
    from clio_argo.argo.follow import named
    from clio_argo.argo.summary import summarise
    from clio_argo.cli import cluster_show as show

    client = connected(namespace)
    found = client.get(named(client, name))
    if output:
        print(show.document(found, output))
    else:
        _print(show.details(summarise(found), datetime.now(UTC)))


@commands.command()
def watch(name: Name, namespace: Namespace = None) -> None:
    """Show a live table of stages until the workflow has ended; exit 1 unless it succeeded."""
    from clio_argo.argo.follow import named

    client = connected(namespace)
    end(watched(client, named(client, name)))


@commands.command()
def wait(name: Name, namespace: Namespace = None) -> None:
    """Wait until a workflow has ended; exit 1 unless it succeeded."""
    from clio_argo.argo.follow import named

    client = connected(namespace)
    end(waited(client, named(client, name)))


@commands.command()
def logs(
    name: Name,
    namespace: Namespace = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until it has ended.")] = False,
    step: Annotated[str, typer.Option("--step", help="Only of this step.")] = "",
) -> None:
    """Print what the steps of a workflow's pods wrote, each line with its pod."""
    from clio_argo.argo.follow import named

    client = connected(namespace)
    logged(client, named(client, name), follow, step)


# what each does to one workflow, and what is said then
VERBS = {
    "retry": (
        "Go on with a workflow that failed: the same arguments and template; only what is missing is done.",
        "{0} goes on; watch it with: clio-argo watch {0} -n {1}",
    ),
    "resubmit": (
        "Submit a workflow's arguments again, to the template of now.",
        "{0} was created; watch it with: clio-argo watch {0} -n {1}",
    ),
    "stop": (
        "End a workflow in order: its pods are told to stop, and who is to be notified is notified.",
        "{0} stops; go on later with: clio-argo retry {0} -n {1}",
    ),
    "terminate": (
        "End a workflow at once, without its last step; nothing that was written is lost.",
        "{0} ends; go on later with: clio-argo retry {0} -n {1}",
    ),
    "suspend": (
        "Start no more pods of a workflow; those that run go on.",
        "{0} is suspended; go on with: clio-argo resume {0} -n {1}",
    ),
    "resume": ("Let a suspended workflow go on.", "{0} goes on; watch it with: clio-argo watch {0} -n {1}"),
    "delete": (
        "Remove a workflow and its pods from the cluster; what it wrote stays.",
        "{0} was deleted; what it wrote stays, and the same request goes on with it",
    ),
    "approve": (
        "Let a workflow that waits for a decision make the volume.",
        "{0} was approved; watch it with: clio-argo watch {0} -n {1}",
    ),
    "reject": (
        "End a workflow that waits for a decision; no volume is made, and all that was found stays.",
        "{0} was rejected; no volume is made, all that was found stays",
    ),
}


def _command(verb: str, said: str) -> Callable[..., None]:
    def act(name: Name, namespace: Namespace = None) -> None:
        from clio_argo.argo import actions
        from clio_argo.argo.follow import named

        client = connected(namespace)
        concerned = getattr(actions, verb)(client, named(client, name))
        print(said.format(concerned, client.namespace))

    return act


for _verb, (_help, _said) in VERBS.items():
    commands.command(_verb, help=_help)(_command(_verb, _said))


def watched(client: "Client", name: str) -> "Summary":
    from rich.console import Console

    from clio_argo.argo.follow import follow
    from clio_argo.cli.cluster_show import live

    with _goes_on(client, name):
        return live(follow(client, name), Console(highlight=False))


def waited(client: "Client", name: str) -> "Summary":
    """The workflow when it has ended; says meanwhile only that it waits for a person."""
    from clio_argo.argo.follow import follow
    from clio_argo.cli.cluster_show import command

    asked = False
    with _goes_on(client, name):
        for found in follow(client, name):
            if found.waiting and not asked:
                asked = True
                print(f"waits for a decision: {command('approve', found)} (or reject)", file=sys.stderr)
        return found


@contextmanager
def _goes_on(client: "Client", name: str) -> Iterator[None]:
    """Ctrl-C ends the watching, not what is watched."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"\n{name} goes on; watch it with: clio-argo watch {name} -n {client.namespace}", file=sys.stderr
        )
        raise typer.Exit(INTERRUPTED) from None


def logged(client: "Client", name: str, follow: bool, step: str = "") -> None:
    """Print log lines; a pod is named WORKFLOW-STEP-NUMBER, and its node ends with the same number."""
    from clio_argo.argo.summary import pods_of

    begin, heard = f"{name}-{step}-" if step else "", set[str]()
    before = pods_of(client.get(name))
    with _goes_on(client, name):
        for line in client.logs(name, follow):
            heard.add(line.pod.rpartition("-")[2])
            if line.pod.startswith(begin):
                print(f"{line.pod.removeprefix(f'{name}-')}: {line.text}", flush=True)
    if silent := before - heard:
        print(
            f"{len(silent)} of {len(before)} pods wrote nothing, or are gone: Argo keeps logs of pods that are gone "
            "as the artifact main-logs, where it is set up to",
            file=sys.stderr,
        )


def end(found: "Summary") -> None:
    """The conclusion as the last line; exit 1 unless the volume is there."""
    from clio_argo.cli.cluster_show import conclusion

    print(conclusion(found), file=sys.stdout if found.succeeded else sys.stderr)
    if not found.succeeded:
        raise typer.Exit(1)


def _print(what: object) -> None:
    from rich.console import Console

    Console(highlight=False).print(what)
