"""Settings of a cluster, on which the emitted documents depend. Their schema is also that of the Helm chart."""

import re
from importlib.metadata import version
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from clio_argo.errors import UserError
from clio_argo.model.base import Value

NAME = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
Duration = Annotated[str, Field(pattern=r"^[0-9]+[smh]$")]  # Argo does not accept days
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$")]
SPOT = "cloud.google.com/gke-spot"


def _check_name(value: str) -> str:
    if not re.fullmatch(NAME, value) or len(value) > 63:
        raise ValueError("must be a Kubernetes name: lower-case letters, digits, '-' and '.', at most 63")
    return value


Name = Annotated[str, AfterValidator(_check_name)]


class Setting(Value):
    """Base of all settings: names are snake_case in Python, and camelCase in the values of the chart."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Image(Setting):
    """A container image. The digest takes precedence over the tag."""

    repository: str = Field(min_length=1, description="Registry and name, without a tag.")
    tag: str = Field(version("clio-argo"), description="Default: this version. `latest` is refused.")
    digest: str | None = Field(None, pattern=r"^sha256:[0-9a-f]{64}$", description="Pins the image for good.")

    @model_validator(mode="after")
    def _fixed(self) -> Self:
        if self.digest is None and self.tag in ("", "latest"):
            raise ValueError("give a tag other than `latest`, or a digest: a run must not change its image")
        return self

    @property
    def reference(self) -> str:
        """The reference that a container names."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


class Account(Setting):
    """A service account."""

    name: Name
    annotations: dict[str, str] = Field(
        {}, description="For Workload Identity: iam.gke.io/gcp-service-account: NAME@PROJECT.iam.gserviceaccount.com"
    )


def _account(role: str, description: str) -> Any:
    return Field(Account(name=f"clio-argo-{role}"), description=description)


class Accounts(Setting):
    """One service account per role."""

    worker: Account = _account("worker", "Reads the source and writes the run.")
    notifier: Account = _account("notifier", "Reads the run.")
    executor: Account = _account(
        "executor", "Argo's own container beside each step. The step's container has no token."
    )
    submitter: Account = _account("submitter", "Submits and watches workflows, nothing else.")
    approver: Account = _account("approver", "Submits, watches, approves, stops and deletes workflows.")


class Toleration(Setting):
    """A toleration, as in a pod."""

    key: str
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Placement(Setting):
    """The nodes on which pods may run."""

    node_selector: dict[str, str] = Field({}, description="Labels that the node must have.")
    tolerations: tuple[Toleration, ...] = Field((), description="Taints the pod tolerates.")


class Volume(Setting):
    """A volume mounted by all steps, for sources and runs on a file system."""

    name: Name
    mount_path: str = Field(pattern="^/", description="Path of the volume in all containers.")
    read_only: bool = False
    source: dict[str, Any] = Field(
        description="One volume source as in a pod, e.g. persistentVolumeClaim: {claimName: slices}."
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


class ClusterSettings(Setting):
    """All facts about a cluster on which the emitted documents depend."""

    namespace: Name | None = Field(None, description="Default: the namespace given to kubectl or helm.")
    images: dict[str, Image] = Field(
        {n: Image(repository=f"clio-argo-{n}") for n in ("align", "write")},
        description="The image of each kind of step.",
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[Name, ...] = ()
    require_digests: bool = Field(False, description="Refuse images without a digest.")
    accounts: Accounts = Field(Accounts(), description="Service accounts.")
    uid: int = Field(65532, ge=1, description="User and group of all steps; the images are built for the default.")
    workers: Placement = Field(Placement(), description="Placement of the parts of the large stages.")
    others: Placement = Field(Placement(), description="Placement of all other pods.")
    worker_annotations: dict[str, str] = Field({}, description="Annotations of the worker pods.")
    priority_class: Name | None = Field(None, description="Priority class of all pods.")
    # what a pool of 25 nodes with 4 cores holds
    parallelism: int = Field(100, ge=1, description="Largest number of pods of a workflow at a time.")
    cpu: Quantity | None = Field(None, description="CPU request of every step; for small clusters.")
    # of a node with 16 GiB, system and daemons leave 12
    memory_max_mib: int = Field(12288, ge=256, description="Most memory in MiB that a worker node can give a pod.")
    tmp_size: Quantity = Field("2Gi", description="Size limit of /tmp, the only folder that a step can write to.")
    env: dict[str, str] = Field({}, description="Environment variables of all steps.")
    volumes: tuple[Volume, ...] = ()
    labels: dict[str, str] = Field({}, description="Additional labels of all objects.")
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

    def image(self, name: str) -> str:
        """The reference of the image called `name` in `images`, or `name` itself if it is a reference.

        Raises:
            UserError: the image has neither digest nor fixed tag, or no digest where one is required.
        """
        reference = self.images[name].reference if name in self.images else name
        if self.require_digests and "@sha256:" not in reference:
            raise UserError(
                f"image {name} ({reference}) has no digest: set images.{name}.digest, so that a run keeps its image"
            )
        if name not in self.images and not re.search(r"@sha256:|:(?!latest$)[^:/]+$", reference):
            raise UserError(f"image {name}: give a digest or a tag other than latest")
        return reference
