"""Settings of a cluster, on which the emitted documents depend. Their schema is also that of the Helm chart."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from clio_argo.argo.words import (
    Duration,
    Folder,
    ImageName,
    ImageRegistry,
    ImageTag,
    LabelName,
    LabelValue,
    Name,
    Quantity,
    ReleaseName,
    VariableName,
    VolumeName,
)
from clio_argo.errors import UserError
from clio_argo.model.base import Value
from clio_argo.model.step import IMAGES

SPOT = "cloud.google.com/gke-spot"
OWN_NAME = "clio-argo"
# values of the chart that the library has no use for
CHART_ONLY = ("nameOverride", "revisionHistoryLimit", "doctor", "extraObjects")


# key in the schema of a field: the kind of Kubernetes' own whose schema stands there in the chart's
KIND = "kubernetes"
PullPolicy = Literal["IfNotPresent", "Always", "Never"]
Port = Annotated[int, Field(ge=1, le=65535)]


class Setting(Value):
    """Base of all settings: names are snake_case in Python, and camelCase in the values of the chart."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


def of_kubernetes(kind: str, default: Any = ..., description: str = "") -> Any:
    """A field that holds an object of Kubernetes: checked against its schema on emission, and by the chart."""
    return Field(default, description=description, json_schema_extra={KIND: kind})


class Image(Setting):
    """A container image. The digest takes precedence over the tag."""

    registry: ImageRegistry | None = Field(
        None, description="Registry; null: that in the repository. See global.imageRegistry."
    )
    repository: ImageName = Field(description="Name without a tag, with or without its registry.")
    tag: ImageTag | None = Field(None, description="Default: this version. `latest` is refused.")
    digest: str | None = Field(None, pattern=r"^sha256:[0-9a-f]{64}$", description="Pins the image for good.")
    pull_policy: PullPolicy | None = Field(None, description="Default: imagePullPolicy.")

    def reference(self, registry: str | None) -> str:
        """The reference that a container names; `registry` takes precedence over the image's own."""
        name = "/".join(part for part in (registry or self.registry, self.repository) if part)
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag or version('clio-argo')}"


class Global(Setting):
    """What Helm shares between a chart and those it depends on."""

    # others read other fields of it
    model_config = ConfigDict(extra="ignore", json_schema_extra={"additionalProperties": True})
    image_registry: ImageRegistry | None = Field(None, description="Registry of all images, over that of each.")


class PullSecret(Setting):
    """A secret with which the kubelet pulls images."""

    name: Name


class Account(Setting):
    """A service account."""

    create: bool = Field(True, description="false: it is there already, the executor's with its token secret.")
    name: Name | None = Field(None, description="Default: release and role, e.g. clio-argo-worker.")
    annotations: dict[str, str] = Field(
        {}, description="For Workload Identity: iam.gke.io/gcp-service-account: NAME@PROJECT.iam.gserviceaccount.com"
    )


def _account(description: str) -> Any:
    return Field(Account(), description=description)


class Accounts(Setting):
    """One service account per role."""

    worker: Account = _account("Reads the source and writes the run.")
    notifier: Account = _account("Reads the run.")
    executor: Account = _account("Argo's own container beside each step. The step's container has no token.")
    submitter: Account = _account("Submits and watches workflows, nothing else.")
    approver: Account = _account("Submits, watches, approves, stops and deletes workflows.")


class Toleration(Setting):
    """A toleration, as in a pod."""

    key: str
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(None, ge=0, description="With NoExecute: how long the pod stays.")


class Spread(Setting):
    """A topology spread constraint, as in a pod."""

    max_skew: int = Field(ge=1)
    topology_key: str = Field(min_length=1)
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: dict[str, Any] | None = of_kubernetes("LabelSelector", None)
    match_label_keys: tuple[str, ...] | None = None
    min_domains: int | None = Field(None, ge=1)
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None


class Placement(Setting):
    """The nodes on which pods may run."""

    node_selector: dict[str, str] = Field({}, description="Labels that the node must have.")
    tolerations: tuple[Toleration, ...] = Field((), description="Taints the pod tolerates.")
    affinity: dict[str, Any] = of_kubernetes("Affinity", {}, "Affinity, as in a pod.")
    topology_spread_constraints: tuple[Spread, ...] = Field((), description="How pods spread over zones and nodes.")


class Volume(Setting):
    """A volume mounted by all steps, for sources and runs on a file system."""

    name: VolumeName
    mount_path: Folder = Field(description="Path of the volume in all containers; not /tmp.")
    read_only: bool = False
    source: dict[str, Any] = of_kubernetes(
        "Volume", description="One volume source as in a pod, e.g. persistentVolumeClaim: {claimName: slices}."
    )


class Retries(Setting):
    """When a part is tried again: preemption, eviction, lost node, out of memory, exit 75; never a user error."""

    # a spot node that disappears five times in a row is in a pool that has no capacity
    limit: int = Field(5, ge=0, le=20, description="Number of tries after the first.")
    wait: Duration = Field("10s", description="Pause before the first retry; doubled each time.")
    longest: Duration = Field("5m", description="Longest pause between two tries.")


class Cleanup(Setting):
    """When pods and workflows are deleted. The documents of the run stay in its store."""

    pod_delay: Duration = Field("60s", description="Age at which a succeeded pod is deleted; logs are archived.")
    success_days: int = Field(7, ge=0, description="Days after which a succeeded workflow is deleted.")
    failure_days: int = Field(30, ge=0, description="Days after which a failed workflow is deleted.")


class Artifacts(Setting):
    """Where Argo keeps requests, reports and logs."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"kind": {"const": "s3"}}, "required": ["kind"]},
            "then": {"properties": {"bucket": {"type": "null"}}},
        }
    )
    kind: Literal["gcs", "s3"] = "gcs"
    bucket: str | None = Field(
        None,
        description="A bucket of Google Cloud. Default: that of the controller's artifact repository, which alone has "
        "the endpoint and keys of S3.",
    )
    prefix: str = Field("clio-argo/{{workflow.name}}", description="Prefix of the keys of a workflow's artifacts.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        # Argo takes an S3 bucket without an endpoint for none, and keeps the artifacts elsewhere without a word
        if self.kind == "s3" and self.bucket:
            raise ValueError(
                "leave out bucket with kind s3: its endpoint and keys stand in the controller's artifact repository, "
                "and so does its bucket (docs/kubernetes.md)"
            )
        return self


class Approval(Setting):
    """Whether a workflow waits for approval before the expensive part."""

    default: Literal["automatic", "ask"] = Field("automatic", description="For submissions that do not choose.")
    # a request that is ready on Friday evening waits until Monday
    wait: Duration = Field("72h", description="Time for the decision.")
    otherwise: Literal["approve", "reject"] = Field("reject", description="Decision if nobody decides in time.")


class Network(Setting):
    """The network policy of the steps."""

    enabled: bool = Field(True, description="Whether there is one.")
    # HTTPS (stores, webhooks), the cluster's API, mail over TLS and with STARTTLS
    ports: tuple[Port, ...] = Field((443, 6443, 465, 587), description="TCP ports that steps reach, at any address.")
    extra_egress: tuple[dict[str, Any], ...] = Field((), description="Additional rules of spec.egress.")


class ClusterSettings(Setting):
    """All facts about a cluster on which the emitted documents depend."""

    namespace: Name | None = Field(None, description="Default: the namespace given to kubectl or helm.")
    fullname_override: ReleaseName = Field(
        "", description="Beginning of the names of all objects. Default: the release, clio-argo without helm."
    )
    global_: Global = Field(Global(), alias="global", description="What Helm shares with other charts.")
    images: dict[str, Image] = Field(
        {n: Image(repository=f"clio-argo-{n}") for n in sorted(IMAGES)},
        description="The image of each kind of step.",
        json_schema_extra={"required": [*sorted(IMAGES)]},
    )
    image_pull_policy: PullPolicy = Field("IfNotPresent", description="Of all images that name none.")
    image_pull_secrets: tuple[PullSecret, ...] = Field((), description="Secrets as in a pod: [{name: NAME}].")
    require_digests: bool = Field(False, description="Refuse images without a digest.")
    accounts: Accounts = Field(Accounts(), description="Service accounts.")
    uid: Annotated[int, Field(ge=1)] | Literal["platform"] = Field(
        65532,
        description="User and group of all steps; the images are built for the default. `platform`: the cluster "
        "chooses, as OpenShift does, and user, group and fsGroup are left out.",
    )
    pod_security_context: dict[str, Any] = of_kubernetes(
        "PodSecurityContext", {}, "Added to the security context of all pods, e.g. fsGroupChangePolicy."
    )
    workers: Placement = Field(Placement(), description="Placement of parts of the large stages, and of small runs.")
    others: Placement = Field(Placement(), description="Placement of all other pods.")
    pod_annotations: dict[str, str] = Field({}, description="Annotations of all pods.")
    worker_annotations: dict[str, str] = Field({}, description="Annotations of the worker pods.")
    priority_class: Name | None = Field(None, description="Priority class of all pods.")
    # what a pool of 25 nodes with 4 cores holds
    parallelism: int = Field(100, ge=1, description="Largest number of pods of a workflow at a time.")
    cpu: Quantity | None = Field(None, description="CPU request of every step; for small clusters.")
    # of a node with 16 GiB, system and daemons leave 12
    memory_max_mib: int = Field(12288, ge=256, description="Most memory in MiB that a worker node can give a pod.")
    tmp_size: Quantity = Field("2Gi", description="Size limit of /tmp, the only folder that a step can write to.")
    env: dict[VariableName, str] = Field({}, description="Environment variables of all steps.")
    volumes: tuple[Volume, ...] = ()
    labels: dict[LabelName, LabelValue] = Field({}, description="Additional labels of all objects.")
    network_policy: Network = Field(Network(), description="Which connections the network plugin allows steps.")
    retries: Retries = Retries()
    # a step that hangs; Argo does not end pods that wait for a node, if they are tried again
    step_timeout: Duration = Field("12h", description="Limit of one try, from when its pod has a node.")
    # a week
    deadline_hours: int = Field(168, ge=1, description="Limit of a workflow, including waits for nodes and approval.")
    cleanup: Cleanup = Cleanup()
    artifacts: Artifacts | None = Field(
        Artifacts(), description="null: Argo keeps no reports and logs; for clusters without an artifact repository."
    )
    notification_secret: Name = Field(
        "clio-argo-notification",
        description="Secret with CLIO_SMTP_URL, CLIO_MAIL_FROM and CLIO_WEBHOOK_URL, which notifications need.",
    )
    registration_secret: Name = Field(
        "clio-argo-registration",
        description="Secret with CLIO_STORE_TOKEN, which the setting `register` of a request needs.",
    )
    approval: Approval = Approval()

    @classmethod
    def gke(cls, **settings: Any) -> Self:
        """Settings for GKE: workers on spot nodes, images by digest."""
        spot = Toleration(key=SPOT, value="true", effect="NoSchedule")
        preset = {
            "workers": Placement(node_selector={SPOT: "true"}, tolerations=(spot,)),
            # without it the autoscaler moves pods to empty nodes, which costs the work of the current unit
            "worker_annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
            "require_digests": True,
        }
        return cls(**{**preset, **settings})

    @field_validator("images", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        """Each image may leave out what the default has, as in the values of the chart."""
        if not isinstance(given, Mapping):
            return given
        default = {n: {"repository": f"clio-argo-{n}"} for n in sorted(IMAGES)}
        merged = {n: {**default.get(n, {}), **i} for n, i in given.items() if isinstance(i, Mapping)}
        return {**default, **given, **merged}

    @property
    def release(self) -> str:
        """The beginning of the names of all objects, and the label by which submissions find their template."""
        return self.fullname_override or OWN_NAME

    def account(self, role: str) -> str:
        """The name of the service account of a role."""
        account: Account = getattr(self.accounts, role)
        return account.name or f"{self.release}-{role}"

    def pull_policy(self, name: str) -> str:
        """When the kubelet pulls the image called `name`."""
        return (name in self.images and self.images[name].pull_policy) or self.image_pull_policy

    def image(self, name: str) -> str:
        """The reference of the image called `name` in `images`, or `name` itself if it is a reference.

        Raises:
            UserError: the image has neither digest nor fixed tag, or no digest where one is required.
        """
        registry = self.global_.image_registry
        reference = self.images[name].reference(registry) if name in self.images else name
        if self.require_digests and "@sha256:" not in reference:
            raise UserError(
                f"image {name} ({reference}) has no digest: set images.{name}.digest, so that a run keeps its image"
            )
        if name not in self.images and not re.search(r"@sha256:|:(?!latest$)[^:/]+$", reference):
            raise UserError(f"image {name}: give a digest or a tag other than latest")
        return reference
