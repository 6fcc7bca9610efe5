"""Options that several commands share, each declared once, and what commands get of them."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import RenderableType
from typer import Argument, Option

from clio_argo.cli.console import program, show
from clio_argo.errors import UserError
from clio_argo.model.parse_request import build_request, parse_setting, parse_text
from clio_argo.model.request import Request
from clio_argo.model.unique_id import id_of

if TYPE_CHECKING:
    from clio_argo.argo.client import Client
    from clio_argo.argo.kube import KubeClient
    from clio_argo.cli.progress import Reporter
    from clio_argo.model.step import Pipeline

# fmt: off
Form = Annotated[Literal["json", "yaml"] | None, Option("-o", "--output", help="Print JSON or YAML.")]
ObjectForm = Annotated[
    Literal["name", "json", "yaml"] | None, Option("-o", "--output", help="Print names, or whole objects.")]
Out = Annotated[
    str, Option("--out", "--run", help="Folder or bucket for everything the run writes; {id} in it becomes a new id.")]
Root = Annotated[str, Argument(help="Folder or bucket of a run; also --run RUN.", metavar="RUN")]
Settings = Annotated[
    Path | None, Option("--settings", help="Cluster settings as YAML or JSON; the chart's values.yaml works too.")]
OwnPipeline = Annotated[
    str | None, Option("--pipeline", metavar="MODULE:NAME", help="A pipeline of your own, see docs/extending.md.")]
Log = Annotated[
    Literal["auto", "json", "quiet"], Option(help="auto: bars on a terminal; json: one line per event; quiet.")]


@dataclass(frozen=True)
class RequestOptions:
    """A request file, and options that replace its settings."""

    file: Annotated[
        Path | None, Argument(metavar="REQUEST", help="YAML or JSON; see docs/reference/request.schema.json.")] = None
    source: Annotated[str | None, Option(help="Folder, file, volume or bucket with the slices.")] = None
    image: Annotated[str | None, Option(help="File name pattern, e.g. 'iso.%05d.png'.")] = None
    minz: Annotated[int | None, Option(help="First slice, inclusive.")] = None
    maxz: Annotated[int | None, Option(help="Last slice, inclusive.")] = None
    resolution: Annotated[str | None, Option(help="Voxel size in nm: one number, or x,y,z.")] = None
    max_bad: Annotated[
        int | None, Option("--allow-bad-slices", help="Replace up to N bad or missing slices by neighbours.")] = None
    overrides: Annotated[str | None, Option(help="YAML file with manual verdicts and pairs.")] = None
    transforms: Annotated[
        str | None, Option(help="Use transforms.json or .csv of another run or tool instead of aligning.")] = None
    update: Annotated[
        bool | None, Option("--update", help="Take over another request's run; only what differs is rerun.")] = None
    settings: Annotated[
        list[str] | None,
        Option("--set", help="Any setting, e.g. contrast.clip_limit=0, crop.x=0,999. Can be repeated.")] = None

    def read(self) -> Request:
        """The request: settings of the file, replaced by options, replaced by --set."""
        if self.file is None and self.source is None:
            raise UserError("give a request file or --source FOLDER")
        layers: list[dict[str, Any]] = [{"id": default_id(self.file, self.source)}]
        layers += [read_settings(self.file)] if self.file else []
        layers += [{k: v for k, v in vars(self).items() if v is not None and k not in ("file", "settings")}]
        return build_request(*layers, *(parse_setting(s) for s in self.settings or []))


@dataclass(frozen=True)
class Local:
    """How a command works on this machine, and what it prints."""

    workers: Annotated[int | None, Option(min=1, help="Number of worker processes.")] = None
    log: Log = "auto"
    output: Form = None
    pipeline: OwnPipeline = None

    @property
    def graph(self) -> "Pipeline":
        """The pipeline to walk. Raises `UserError` if it cannot be loaded."""
        from clio_argo.plugins import load_pipeline

        return load_pipeline(self.pipeline)

    def reporter(self) -> "Reporter":
        """What shows the progress."""
        from clio_argo.cli.progress import reporter
        from clio_argo.runner import cores

        return reporter(self.log, self.workers or cores())

    def end(self, value: dict[str, Any], view: Callable[[], Iterable[RenderableType]]) -> None:
        """Print the result: as the last event if progress is logged as JSON, else as `show`."""
        if self.log == "json":
            from clio_argo.cli.progress import event

            event("end", **value)
        else:
            show(value, self.output, view)


@dataclass(frozen=True)
class Cluster:
    """Where workflows are."""

    namespace: Annotated[
        str | None, Option("-n", "--namespace", help="Default: ARGO_NAMESPACE, or that of the kubeconfig.")] = None
    context: Annotated[str | None, Option(help="Context of the kubeconfig, even if ARGO_SERVER is set.")] = None
    kubeconfig: Annotated[str | None, Option(help="Kubeconfig file, even if ARGO_SERVER is set.")] = None
    # fmt: on

    def connect(self) -> "Client":
        """Argo Server or Kubernetes. Raises `UserError` if no cluster is configured."""
        from clio_argo.argo.client import connect

        return connect(self.namespace, self.context, self.kubeconfig)

    def workflow(self, name: str) -> "tuple[Client, str]":
        """A client, and the name of a workflow there, which may be given as @latest."""
        from clio_argo.argo.follow import named

        client = self.connect()
        return client, named(client, name)

    def administer(self) -> "KubeClient":
        """Kubernetes itself: Argo Server has no accounts and roles."""
        from clio_argo.argo.kube import KubeClient

        namespace = self.namespace or os.environ.get("ARGO_NAMESPACE")
        return KubeClient.from_config(namespace, self.context, self.kubeconfig)

    def flags(self, namespace: str) -> str:
        """The options that reach the same namespace again."""
        named = {"--context": self.context, "--kubeconfig": self.kubeconfig}
        return " ".join([f"-n {namespace}", *(f"{name} {value}" for name, value in named.items() if value)])


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a YAML or JSON file. Raises `UserError` if it cannot be read or holds something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        if path.is_dir():
            reason = f"a folder, and no request; {program()} init {quote(str(path))} writes one for the slices in it"
        raise UserError(f"{path}: cannot be read: {reason}") from error
    return parse_text(text, str(path))


def default_id(config: Path | None, source: str | None) -> str:
    """A name from the request's file or the source's last folder."""
    return id_of(config.stem if config else source or "")
