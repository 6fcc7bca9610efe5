"""Kinds of text in the settings of a cluster. Library and chart refuse the same ones: their JSON schema says all."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler

from clio_argo.model.pod import QUANTITY


@dataclass(frozen=True)
class Words:
    """Texts that match `pattern` as a whole, and do not match `reserved` as a whole."""

    pattern: str
    meaning: str
    longest: int = 63
    reserved: str = ""

    def problem(self, value: str) -> str:
        """What the value must be; empty if it is that."""
        fits = len(value) <= self.longest and re.fullmatch(self.pattern, value)
        refused = not fits or (self.reserved and re.fullmatch(self.reserved, value))
        return f"{value!r} is not {self.meaning}" if refused else ""

    def check(self, value: str) -> str:
        """The value itself. Raises `ValueError` that says what it must be."""
        if problem := self.problem(value):
            raise ValueError(problem)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return handler.generate_schema(Annotated[source, AfterValidator(self.check)])

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        refused = [{"not": {"pattern": f"^({self.reserved})$"}}] if self.reserved else []
        # within allOf: a pattern of a mapping's keys would leave all other keys unchecked
        matches = [{"pattern": f"^({self.pattern})$"}, *refused]
        return {**handler(schema), "maxLength": self.longest, "allOf": matches}


LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
LABEL_WORD = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
Name = Annotated[
    str, Words(rf"{LABEL}(\.{LABEL})*", "a Kubernetes name: lower-case letters, digits, '-' and '.', at most 63")
]
# digits of a version and of a specification follow it
ReleaseName = Annotated[
    str, Words(rf"({LABEL})?", "a name of a release: lower-case letters, digits and '-', at most 40", 40)
]
# of the template's own volumes, and of those that Argo adds
VolumeName = Annotated[
    str,
    Words(LABEL, "a name of a volume: lower-case letters, digits and '-'; tmp and Argo's own are taken",
          reserved="tmp|var-run-argo|argo-.*|input-artifacts|workdir"),
]  # fmt: skip
Folder = Annotated[
    str,
    Words(r"/.*", "an absolute path outside of /tmp and of Argo's folders", 4096,
          r"/|/(tmp|argo|var/run/argo)(/.*)?"),
]  # fmt: skip
VariableName = Annotated[
    str,
    Words(r"[A-Za-z_][A-Za-z0-9_.-]*", "a name of a variable that a template leaves free", 255,
          r"ARGO_.*|CLIO_(RUN|PART|WORKFLOW|OUTPUTS|IMAGE|MEMORY_MAX_MIB|MOUNTED|LOST|PARALLELISM|REQUEST|STATUS)"
          r"|CLIO_FAILURES|CLIO_SET_.*"),
]  # fmt: skip
# its prefix is a domain; Kubernetes allows that alone 253 characters
LABEL_NAME = Words(
    rf"({LABEL}(\.{LABEL})*/)?{LABEL_WORD}",
    "a name of a label that is free: letters, digits, '-', '_' and '.', at most 63, with DOMAIN/ before it or without; "
    "those of clio-argo/, app.kubernetes.io/, helm.sh/ and workflows.argoproj.io/ are taken: use another one",
    253, r"(app\.kubernetes\.io|clio-argo|helm\.sh|workflows\.argoproj\.io)/.*",
)  # fmt: skip
LABEL_VALUE = Words(rf"({LABEL_WORD})?", "a value of a label: letters, digits, '-', '_' and '.', at most 63")
LabelName = Annotated[str, LABEL_NAME]
LabelValue = Annotated[str, LABEL_VALUE]
ImageTag = Annotated[
    str, Words(r"[A-Za-z0-9_][A-Za-z0-9._-]*", "a fixed tag: `latest` would change the image of a run", 128, "latest")
]
# As references of images have them: a pod with another one waits with InvalidImageName. Capitals stand for what people
# are to fill in, as PROJECT in the preset for Google Cloud.
IMAGE_HOST = r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(:[0-9]+)?"
IMAGE_PART = r"[A-Za-z0-9]+((\.|__?|-+)[A-Za-z0-9]+)*"
ImageRegistry = Annotated[
    str,
    Words(
        rf"({IMAGE_HOST}(/{IMAGE_PART})*)?",
        "a registry HOST[:PORT][/PATH], without https:// and a slash at its end",
        255,
    ),
]
ImageName = Annotated[
    str,
    Words(
        rf"({IMAGE_HOST}/)?{IMAGE_PART}(/{IMAGE_PART})*",
        "a name of an image, without a tag, https:// and a slash at its end",
        255,
    ),
]
Duration = Annotated[str, Words(r"[0-9]+[smh]", "a time like 90s, 15m or 2h: Argo accepts no days")]
Quantity = Annotated[str, Words(QUANTITY.pattern, "a quantity like 500m or 2Gi")]
