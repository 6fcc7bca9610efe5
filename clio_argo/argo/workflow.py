"""The pipeline as one WorkflowTemplate."""

from copy import copy
from importlib.metadata import version
from typing import Any

from hera.workflows import DAG, Counter, Gauge, Task, WorkflowTemplate
from hera.workflows import models as m

from clio_argo.argo.ask import ask_templates
from clio_argo.argo.check import check
from clio_argo.argo.client import DESCRIPTION, INSTANCE, TITLE
from clio_argo.argo.containers import container
from clio_argo.argo.graph import forms, graphs
from clio_argo.argo.kubernetes_objects import exactly
from clio_argo.argo.parameters import parameter, workflow_parameters
from clio_argo.argo.settings import ClusterSettings, Volume
from clio_argo.model.base import digest
from clio_argo.pipeline import PIPELINE, Pipeline, Step

# what a person needs to know before the form opens
SUMMARY = (
    "Makes a neuroglancer and an OME-Zarr volume of a stack of electron microscope images. Fill in source and run; "
    "what stays empty has a default. The same run again goes on where it stopped."
)
DAY_S, HOUR_S = 86400, 3600  # Argo counts in seconds, the settings in hours and days


def workflow_template(pipeline: Pipeline = PIPELINE, cluster: ClusterSettings | None = None) -> WorkflowTemplate:
    """The pipeline as Argo runs it on a cluster; the same for 10 slices and for 100,000.

    Raises:
        UserError: the workflow would not run, or an image or volume cannot be used.
    """
    return finalize(_template(pipeline, cluster or ClusterSettings(), "unnamed"))


def finalize(template: WorkflowTemplate) -> WorkflowTemplate:
    """A template that a person changed, checked, under the name that follows from what it holds now.

    Raises:
        UserError: the workflow would not run; names all that is wrong.
    """
    document = dict(template.to_dict())
    check(document)
    # a changed specification is another template, and running workflows keep theirs
    release = document["metadata"]["labels"][INSTANCE]
    name = f"{release}-{version('clio-argo')}-{digest(document['spec'])[:8]}"
    final = copy(template)
    final.name, final.annotations = name, {**(template.annotations or {}), **shown(f"revision {name}")}
    return final


def _template(pipeline: Pipeline, cluster: ClusterSettings, name: str) -> WorkflowTemplate:
    return WorkflowTemplate(
        name=name, namespace=cluster.namespace, labels=labels(cluster), annotations=shown(f"revision {name}"),
        entrypoint="main", on_exit="finish" if pipeline.on_exit else None,
        arguments=workflow_parameters(cluster.approval), templates=_templates(pipeline, cluster),
        parallelism=cluster.parallelism, active_deadline_seconds=cluster.deadline_hours * HOUR_S,
        # a step has no token; only Argo's own container talks to the cluster
        service_account_name=cluster.account("worker"), automount_service_account_token=False,
        executor=m.ExecutorConfig(service_account_name=cluster.account("executor")),
        security_context=_security(cluster), volumes=_volumes(cluster),
        image_pull_secrets=[s.name for s in cluster.image_pull_secrets] or None,
        pod_priority_class_name=cluster.priority_class,
        pod_metadata=_pod_metadata(cluster), workflow_metadata=_workflow_metadata(cluster),
        metrics=_metrics(), archive_logs=cluster.artifacts is not None, **_cleanup(cluster),
    )  # fmt: skip


def shown(what: str) -> dict[str, str]:
    """Annotations of a template that Argo's UI shows in place of its name."""
    return {TITLE: f"Align slices into a volume ({what})", DESCRIPTION: SUMMARY}


def labels(cluster: ClusterSettings) -> dict[str, str]:
    """Labels of everything that is emitted."""
    known = {"name": "clio-argo", "version": version("clio-argo"), "managed-by": "clio-argo"}
    own = {f"app.kubernetes.io/{k}": v for k, v in known.items()}
    return {**own, INSTANCE: cluster.release, **cluster.labels}


def _templates(pipeline: Pipeline, cluster: ClusterSettings) -> list[Any]:
    steps = [container(pipeline, step, cluster) for step in pipeline.all_steps]
    # two forms may hold the same ones
    joined = {s.name: container(f.pipeline, s, cluster) for f in forms(pipeline) for s in f.steps if s.steps}
    middle = ask_templates() if pipeline.approval else []
    last = [_finish(pipeline.on_exit)] if pipeline.on_exit else []
    return [*graphs(pipeline), *middle, *steps, *joined.values(), *last]


def _finish(step: Step) -> DAG:
    # a plain container as onExit would make a succeeded workflow Failed with its own failure
    forgiving = m.ContinueOn(failed=True, error=True)
    arguments = {"part": "0", "mib": step.memory}
    task = Task(name=step.name, template=step.name, arguments=arguments, continue_on=forgiving)
    return DAG(name="finish", tasks=[task])


def _security(cluster: ClusterSettings) -> m.PodSecurityContext:
    user = {} if cluster.uid == "platform" else dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), cluster.uid)
    own = {"runAsNonRoot": True, **user, "seccompProfile": {"type": "RuntimeDefault"}}
    return exactly(m.PodSecurityContext, {**own, **cluster.pod_security_context}, "podSecurityContext")


def _pod_metadata(cluster: ClusterSettings) -> m.Metadata:
    return m.Metadata(labels=labels(cluster), annotations=cluster.pod_annotations or None)


def _volumes(cluster: ClusterSettings) -> list[m.Volume]:
    tmp = m.Volume(name="tmp", empty_dir=m.EmptyDirVolumeSource(size_limit=m.Quantity(root=cluster.tmp_size)))
    return [tmp, *(_volume(v) for v in cluster.volumes)]


def _volume(volume: Volume) -> m.Volume:
    return exactly(m.Volume, {**volume.source, "name": volume.name}, f"volumes.{volume.name}.source")


def _workflow_metadata(cluster: ClusterSettings) -> m.WorkflowMetadata:
    # Argo's lists show title and description in place of the name
    annotations = {TITLE: parameter("run"), DESCRIPTION: "Aligns a stack of slices into a volume (clio-argo)"}
    return m.WorkflowMetadata(annotations=annotations, labels=labels(cluster))


def _metrics() -> list[Any]:
    status = [m.MetricLabel(key="status", value="{{workflow.status}}")]
    runs = Counter(name="clio_runs_total", help="Runs that ended", labels=status, value="1")
    # realtime: measured while the workflow runs, when it has no status yet
    seconds = Gauge(
        name="clio_run_seconds", help="Time of the last run", labels=status, realtime=False,
        value="{{workflow.duration}}",
    )  # fmt: skip
    return [runs, seconds]


def _cleanup(cluster: ClusterSettings) -> dict[str, Any]:
    cleanup = cluster.cleanup
    return {
        "pod_gc": m.PodGC(strategy="OnPodSuccess", delete_delay_duration=cleanup.pod_delay),
        "ttl_strategy": m.TTLStrategy(
            seconds_after_success=cleanup.success_days * DAY_S, seconds_after_failure=cleanup.failure_days * DAY_S
        ),
    }
