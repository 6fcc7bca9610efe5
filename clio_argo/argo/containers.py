"""One step of the pipeline as one container template."""

from collections.abc import Mapping
from typing import Any

from hera.workflows import (
    Artifact,
    Container,
    Counter,
    GCSArtifact,
    NoneArchiveStrategy,
    Parameter,
    RetryStrategy,
    S3Artifact,
)
from hera.workflows import models as m

from clio_argo.argo.parameters import parameter, request_environment, variable
from clio_argo.argo.settings import Artifacts, ClusterSettings, Retries
from clio_argo.pipeline import Pipeline, Step

TMP, OUTPUTS = "/tmp", "/tmp/outputs"
# A spot node that goes ends a step with 137 or 143, or takes the pod with it (Error, no exit code).
RETRIED = "lastRetry.exitCode in ['75', '137', '143'] || lastRetry.status == 'Error'"
# Doubled with each try, but only if the last one ran out of memory; `retries` counts preemptions, too.
MEMORY = (
    "{{=int(min(asInt(inputs.parameters.mib) * "
    "(lastRetry.message contains 'OOMKilled' ? 2 ** asInt(retries) : 1), %d))}}Mi"
)
# How often Argo's container in a pod tells the controller of its progress. Argo's own minute shows nothing of most
# pods; 100 pods are 10 small requests a second at this.
PROGRESS_EVERY = "10s"
# How the workflow ended, for the step that tells people.
ENDED = {"CLIO_STATUS": "{{workflow.status}}", "CLIO_FAILURES": "{{workflow.failures}}"}
LEAST = m.SecurityContext(
    allow_privilege_escalation=False, read_only_root_filesystem=True, capabilities=m.Capabilities(drop=["ALL"])
)


def container(pipeline: Pipeline, step: Step, cluster: ClusterSettings) -> Container:
    """The template of a step; its name is the step's."""
    last = step == pipeline.on_exit
    return Container(
        name=step.name,
        image=cluster.image(step.image),
        image_pull_policy=cluster.image_pull_policy,
        command=list(step.command or ("clio-argo-step",)),
        args=list(step.args if step.command else (step.name, "--run", "$(CLIO_RUN)", "--part", "$(CLIO_PART)")),
        env=_environment(step, cluster, ENDED if last else {}),
        env_from=_secret(cluster.notification_secret) if last else None,
        service_account_name=cluster.accounts.notifier.name if last else None,
        inputs=[Parameter(name=n) for n in ("part", "mib")],
        outputs=_outputs(pipeline, step, cluster.artifacts),
        resources=m.ResourceRequirements(requests={"cpu": m.Quantity(root=cluster.cpu or step.cpu)}),
        pod_spec_patch=_patch(cluster),
        retry_strategy=_retries(cluster.retries),
        timeout=cluster.step_timeout,
        security_context=LEAST,
        volume_mounts=_mounts(cluster),
        metrics=_metrics(step),
        labels={"clio-argo/step": step.name},
        **_placed(step, cluster),
    )


def _environment(step: Step, cluster: ClusterSettings, more: Mapping[str, str]) -> list[m.EnvVar]:
    own = {
        "CLIO_RUN": parameter("run"),
        "CLIO_PART": "{{inputs.parameters.part}}",
        "CLIO_OUTPUTS": OUTPUTS,
        # kept in the manifest: a container cannot know what it was started from
        "CLIO_IMAGE": cluster.image(step.image),
        "CLIO_MEMORY_MAX_MIB": str(cluster.memory_max_mib),
        **more,
        **cluster.env,
        **dict(step.env),
    }
    # the request first: Kubernetes puts the values of earlier variables in the place of $(NAME)
    request = request_environment() if step.reads_request else []
    return [*request, *(variable(name, value) for name, value in own.items())]


def _secret(name: str) -> list[m.EnvFromSource]:
    return [m.EnvFromSource(secret_ref=m.SecretEnvSource(name=name, optional=True))]


def _outputs(pipeline: Pipeline, step: Step, artifacts: Artifacts | None) -> list[Parameter | Artifact]:
    # of many parts' errors the last one would win, and that is mostly none
    error = ["error"] if step in pipeline.steps and not step.fan_out else []
    values: list[Parameter | Artifact] = [
        _output(name, seen=name in (*step.outputs, *error)) for name in [*pipeline.outputs_of(step.name), *error]
    ]
    return [*values, _report(artifacts)] if step.report and artifacts else values


def _output(name: str, seen: bool) -> Parameter:
    """An output of a step, and of the workflow if it is `seen` there.

    Without a default Argo collects none of them when one is missing, and a step that fails leaves its error only.
    An empty text is neither a list nor a number, so that nothing goes on with it.
    """
    found = m.ValueFrom(path=f"{OUTPUTS}/{name}", default="")
    return Parameter(name=name, value_from=found, global_name=name if seen else None)


def _report(artifacts: Artifacts) -> Artifact:
    """A folder that Argo's UI shows as a page: its key ends with a slash, and it is no archive."""
    kind = GCSArtifact if artifacts.kind == "gcs" else S3Artifact
    return kind(
        name="report",
        path=f"{OUTPUTS}/report",
        archive=NoneArchiveStrategy(),
        optional=True,
        bucket=artifacts.bucket,
        key=f"{artifacts.prefix}/report/",
    )


def _patch(cluster: ClusterSettings) -> str:
    mib = MEMORY % cluster.memory_max_mib
    resources = f'{{"requests":{{"memory":"{mib}"}},"limits":{{"memory":"{mib}"}}}}'
    tick = f'{{"name":"ARGO_PROGRESS_PATCH_TICK_DURATION","value":"{PROGRESS_EVERY}"}}'
    return f'{{"containers":[{{"name":"main","resources":{resources}}},{{"name":"wait","env":[{tick}]}}]}}'


def _retries(retries: Retries) -> RetryStrategy:
    return RetryStrategy(
        limit=str(retries.limit),
        retry_policy="Always",
        expression=RETRIED,
        backoff=m.Backoff(duration=retries.wait, factor=m.IntOrString(root=2), max_duration=retries.longest),
    )


def _mounts(cluster: ClusterSettings) -> list[m.VolumeMount]:
    own = [m.VolumeMount(name=v.name, mount_path=v.mount_path, read_only=v.read_only or None) for v in cluster.volumes]
    return [m.VolumeMount(name="tmp", mount_path=TMP), *own]


def _metrics(step: Step) -> Counter:
    return Counter(
        name="clio_parts_total",
        help="Parts of steps that ended",
        labels=[m.MetricLabel(key="step", value=step.name), m.MetricLabel(key="status", value="{{status}}")],
        value="1",
    )


def _placed(step: Step, cluster: ClusterSettings) -> dict[str, Any]:
    place = cluster.workers if step.fan_out else cluster.others
    return {
        "node_selector": place.node_selector or None,
        "tolerations": [m.Toleration(**t.model_dump(exclude_none=True)) for t in place.tolerations] or None,
        "annotations": (cluster.worker_annotations or None) if step.fan_out else None,
    }
