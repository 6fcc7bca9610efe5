"""The pipeline as one WorkflowTemplate."""

from importlib.metadata import version
from typing import Any

from hera.workflows import DAG, Counter, Gauge, Task, WorkflowTemplate
from hera.workflows import models as m

from clio_argo.argo.ask import ask_templates
from clio_argo.argo.check import check
from clio_argo.argo.client import CURRENT, DESCRIPTION, TITLE
from clio_argo.argo.containers import container
from clio_argo.argo.graph import forms, graphs
from clio_argo.argo.parameters import parameter, workflow_parameters
from clio_argo.argo.settings import ClusterSettings, Volume
from clio_argo.errors import UserError
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
    cluster = cluster or ClusterSettings()
    unnamed = dict(_template(pipeline, cluster, "unnamed").to_dict())
    check(unnamed)
    # a changed specification is another template, and running workflows keep theirs
    return _template(pipeline, cluster, f"clio-argo-{version('clio-argo')}-{digest(unnamed['spec'])[:8]}")


def _template(pipeline: Pipeline, cluster: ClusterSettings, name: str) -> WorkflowTemplate:
    return WorkflowTemplate(
        name=name, namespace=cluster.namespace, labels={**labels(cluster), CURRENT: "true"},
        annotations={TITLE: f"Align slices into a volume ({name})", DESCRIPTION: SUMMARY},
        entrypoint="main", on_exit="finish" if pipeline.on_exit else None,
        arguments=workflow_parameters(cluster.approval), templates=_templates(pipeline, cluster),
        parallelism=cluster.parallelism, active_deadline_seconds=cluster.deadline_hours * HOUR_S,
        # a step has no token; only Argo's own container talks to the cluster
        service_account_name=cluster.accounts.worker.name, automount_service_account_token=False,
        executor=m.ExecutorConfig(service_account_name=cluster.accounts.executor.name),
        security_context=_security(cluster.uid), volumes=_volumes(cluster),
        image_pull_secrets=list(cluster.image_pull_secrets) or None, pod_priority_class_name=cluster.priority_class,
        pod_metadata=m.Metadata(labels=labels(cluster)), workflow_metadata=_workflow_metadata(cluster),
        metrics=_metrics(), archive_logs=cluster.artifacts is not None, **_cleanup(cluster),
    )  # fmt: skip


def labels(cluster: ClusterSettings) -> dict[str, str]:
    """Labels of everything that is emitted."""
    known = {"name": "clio-argo", "version": version("clio-argo"), "managed-by": "clio-argo"}
    return {**{f"app.kubernetes.io/{k}": v for k, v in known.items()}, **cluster.labels}


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


def _security(uid: int) -> m.PodSecurityContext:
    profile = m.SeccompProfile(type="RuntimeDefault")
    return m.PodSecurityContext(
        run_as_non_root=True, run_as_user=uid, run_as_group=uid, fs_group=uid, seccomp_profile=profile
    )


def _volumes(cluster: ClusterSettings) -> list[m.Volume]:
    tmp = m.Volume(name="tmp", empty_dir=m.EmptyDirVolumeSource(size_limit=m.Quantity(root=cluster.tmp_size)))
    return [tmp, *(_volume(v) for v in cluster.volumes)]


def _volume(volume: Volume) -> m.Volume:
    emitted = m.Volume.model_validate({"name": volume.name, **volume.source})
    # hera silently drops fields that it does not know
    if emitted.model_dump(by_alias=True, exclude_none=True, exclude={"name"}, mode="json") != volume.source:
        raise UserError(f"volumes.{volume.name}.source: {volume.source} is not a valid volume of a pod")
    return emitted


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
