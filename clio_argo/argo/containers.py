"""One step of the pipeline as one container template."""

from collections.abc import Mapping
from typing import Any

from hera import workflows as w
from hera.workflows import models as m

from clio_argo.argo.kubernetes_objects import exactly
from clio_argo.argo.parameters import request_environment, variable
from clio_argo.argo.retries import LOST, retry_strategy
from clio_argo.argo.settings import Artifacts, ClusterSettings, Placement
from clio_argo.errors import UserError
from clio_argo.model.base import canonical_json
from clio_argo.model.pod import Mount, Toleration
from clio_argo.pipeline import PIPELINE, Pipeline, Step

TMP, OUTPUTS = "/tmp", "/tmp/outputs"
STEP_COMMAND = ("clio-argo-step",)
# Of the step that sends notifications. Where no pod can start, neither can its own, and a workflow should still end.
LAST_TIMEOUT = "10m"
# Doubled with each try, but only if the last one ran out of memory: `retries` counts preemptions too, and a preempted
# pod was not too small. min: a pod larger than any node would stay pending.
MEMORY = (
    "{{=int(min(asInt(inputs.parameters.mib) * "
    "(lastRetry.message contains 'OOMKilled' ? 2 ** asInt(retries) : 1), %d))}}Mi"
)
# How often Argo's container in a pod reports the progress to the controller. Most parts of small stacks end within
# Argo's own minute; with 100 pods this is 10 small requests a second.
PROGRESS_EVERY = "10s"
# as the plugin of NVIDIA calls it
GPU = "nvidia.com/gpu"
# of the pods that run on nodes for workers
ON_WORKERS = {"clio-argo/workers": "true"}
# without slashes at its end, whatever a person typed: `$(CLIO_RUN)/name` is one object below it
ROOT = "{{=sprig.regexReplaceAll('/+$', workflow.parameters.run, '')}}"
# how the workflow ended, for the step that sends notifications
ENDED = {"CLIO_STATUS": "{{workflow.status}}", "CLIO_FAILURES": "{{workflow.failures}}"}
# no step needs a capability of the kernel or writes outside of /tmp
SECURITY = m.SecurityContext(
    allow_privilege_escalation=False, read_only_root_filesystem=True, capabilities=m.Capabilities(drop=["ALL"])
)
# Argo's own containers have none by themselves, and PodSecurity `restricted` refuses the pod; they write to their root
ARGOS_SECURITY = '{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}'


def container(pipeline: Pipeline, step: Step, cluster: ClusterSettings) -> w.Container:
    """The template of a step, which has the step's name."""
    last = step == pipeline.on_exit
    own = ENDED if last else {}
    # one word: a part of slices below 0 begins with a dash
    arguments = (step.name, "--run", "$(CLIO_RUN)", "--part=$(CLIO_PART)")
    return w.Container(
        name=step.name, labels={"clio-argo/step": step.name, **(ON_WORKERS if step.on_workers else {})},
        image=cluster.image(step.image), image_pull_policy=cluster.pull_policy(step.image),
        command=list(step.command or STEP_COMMAND), args=list(step.args if step.command else arguments),
        env=_environment(step, cluster, own), env_from=_secret(getattr(cluster, step.secret)) if step.secret else None,
        service_account_name=step.service_account or (cluster.account("notifier") if last else None),
        security_context=SECURITY,
        inputs=[w.Parameter(name=n) for n in ("part", "mib")], outputs=_outputs(pipeline, step, cluster.artifacts),
        # no limit of CPU, which would only throttle
        resources=_resources(step, cluster),
        pod_spec_patch=_patch(step, cluster), volume_mounts=_mounts(cluster), volumes=_volumes(step),
        retry_strategy=retry_strategy(cluster.retries, step.endless),
        timeout=None if step.endless else LAST_TIMEOUT if last else cluster.step_timeout,
        metrics=_metrics(step),
        **_placed(step, cluster),
    )  # fmt: skip


def _environment(step: Step, cluster: ClusterSettings, more: Mapping[str, str]) -> list[m.EnvVar]:
    own = {
        "CLIO_RUN": ROOT,
        "CLIO_PART": "{{inputs.parameters.part}}",
        "CLIO_WORKFLOW": "{{workflow.uid}}",
        "CLIO_OUTPUTS": OUTPUTS,
        # recorded in the manifest: a container cannot know its own image
        "CLIO_IMAGE": cluster.image(step.image),
        "CLIO_MEMORY_MAX_MIB": str(cluster.memory_max_mib),
        "CLIO_PARALLELISM": str(cluster.parallelism),
        "CLIO_LOST": LOST,
    }
    # the request comes first: Kubernetes replaces $(NAME) in a value by variables that stand before it
    folders = ":".join(volume.mount_path for volume in cluster.volumes)
    request = [*request_environment(), variable("CLIO_MOUNTED", folders)] if step.reads_request else []
    variables = {**own, **more, **cluster.env, **dict(step.env)}
    return [*request, *(variable(name, value) for name, value in variables.items())]


def _secret(name: str) -> list[m.EnvFromSource]:
    return [m.EnvFromSource(secret_ref=m.SecretEnvSource(name=name, optional=True))]


def _outputs(pipeline: Pipeline, step: Step, artifacts: Artifacts | None) -> list[Any]:
    # no error of a fan-out: as an output of the workflow the last part's would win, and that is mostly empty
    error = ["error"] if step != pipeline.on_exit and not step.fan_out else []
    shown = {*step.outputs, *error}
    values = [_output(name, name in shown) for name in [*pipeline.outputs_of(step.name), *error]]
    kept = ["report"] if step.report else ["request"] if pipeline.begins_with(step) else []
    return [*values, *(_artifact(name, artifacts) for name in kept if artifacts)]


def _output(name: str, shown: bool) -> w.Parameter:
    """An output of a step, and of the workflow if it is `shown` there."""
    # Without a default Argo collects no output if one is missing, and a failed step leaves only its error. An empty
    # text is neither a list nor a number, so no later task can use it.
    value = m.ValueFrom(path=f"{OUTPUTS}/{name}", default="")
    return w.Parameter(name=name, value_from=value, global_name=name if shown else None)


def _artifact(name: str, artifacts: Artifacts) -> w.Artifact:
    """A folder of a step that Argo keeps. The request is one so that a wrong place ends the first step, not solve."""
    kind = w.GCSArtifact if artifacts.kind == "gcs" else w.S3Artifact
    return kind(
        name=name, path=f"{OUTPUTS}/{name}", optional=True, bucket=artifacts.bucket,
        # Argo's UI shows a folder as a page if its key ends with a slash and it is not an archive
        key=f"{artifacts.prefix}/{name}/", archive=w.NoneArchiveStrategy(),
    )  # fmt: skip


def _patch(step: Step, cluster: ClusterSettings) -> str:
    # memory comes from an input, which `resources` itself cannot refer to; requests equal limits, so that no pod is
    # killed for the memory of another one
    mib = MEMORY % cluster.memory_max_mib
    resources = f'{{"requests":{{"memory":"{mib}"}},"limits":{{"memory":"{mib}"}}}}'
    tick = f'{{"name":"ARGO_PROGRESS_PATCH_TICK_DURATION","value":"{PROGRESS_EVERY}"}}'
    wait = f'{{"name":"wait","env":[{tick}],"securityContext":{ARGOS_SECURITY}}}'
    init = f'"initContainers":[{{"name":"init","securityContext":{ARGOS_SECURITY}}}]'
    # a template has no field for it
    spread = [s.model_dump(by_alias=True, exclude_none=True) for s in _place(step, cluster).topology_spread_constraints]
    more = f',"topologySpreadConstraints":{canonical_json(spread).decode()}' if spread else ""
    return f'{{"containers":[{{"name":"main","resources":{resources}}},{wait}],{init}{more}}}'


def _resources(step: Step, cluster: ClusterSettings) -> m.ResourceRequirements:
    """What its pod asks for besides memory. Raises `UserError` if the step asks for more memory than a node has."""
    # our own have as much as nodes have: what they ask for is enough for slices of any size
    added = step.name not in {s.name for s in PIPELINE.all_steps}
    if added and step.memory.isdecimal() and int(step.memory) > cluster.memory_max_mib:
        raise UserError(
            f"step {step.name} asks for {step.memory} MiB, pods of this cluster can have {cluster.memory_max_mib} MiB "
            "(memory_max_mib): ask for less, or use larger nodes"
        )
    # Kubernetes wants equal requests and limits of what nodes do not share
    own = dict([*step.resources, *([(GPU, str(step.gpu))] if step.gpu else [])])
    more = {name: m.Quantity(root=amount) for name, amount in own.items()}
    requests = {"cpu": m.Quantity(root=cluster.cpu or step.cpu), **more}
    return m.ResourceRequirements(requests=requests, limits=more or None)


def _volumes(step: Step) -> list[Any] | None:
    return [_volume(f"{step.name}-{n}", mount) for n, mount in enumerate(step.volumes)] or None


def _volume(name: str, mount: Mount) -> Any:
    place: dict[str, Any] = {"name": name, "mount_path": mount.path, "read_only": mount.read_only or None}
    if mount.claim:
        return w.ExistingVolume(claim_name=mount.claim, **place)
    return w.SecretVolume(secret_name=mount.secret, **place)


def _mounts(cluster: ClusterSettings) -> list[m.VolumeMount]:
    mounts = ((v.name, v.mount_path, v.read_only or None) for v in cluster.volumes)
    all_mounts = [("tmp", TMP, None), *mounts]
    return [m.VolumeMount(name=name, mount_path=path, read_only=fixed) for name, path, fixed in all_mounts]


def _metrics(step: Step) -> w.Counter:
    labels = [m.MetricLabel(key="step", value=step.name), m.MetricLabel(key="status", value="{{status}}")]
    return w.Counter(name="clio_parts_total", help="Parts of steps that ended", labels=labels, value="1")


def _place(step: Step, cluster: ClusterSettings) -> Placement:
    return cluster.workers if step.on_workers else cluster.others


def _placed(step: Step, cluster: ClusterSettings) -> dict[str, Any]:
    place = _place(step, cluster)
    own = [_toleration(t) for t in step.tolerations]
    return {
        "node_selector": dict(step.node_selector) or place.node_selector or None,
        "tolerations": own or [m.Toleration(**t.model_dump(exclude_none=True)) for t in place.tolerations] or None,
        "affinity": exactly(m.Affinity, place.affinity, "affinity") if place.affinity else None,
        "annotations": (cluster.worker_annotations or None) if step.on_workers else None,
    }


def _toleration(own: Toleration) -> m.Toleration:
    operator = "Equal" if own.value else "Exists"
    return m.Toleration(key=own.key, operator=operator, value=own.value or None, effect=own.effect or None)
