"""The README of the Helm chart: a table of its values, made from the comments of values.yaml."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

HEAD = """# clio-argo

Aligns electron-microscopy stacks into neuroglancer and OME-Zarr volumes on
[Argo Workflows](https://argo-workflows.readthedocs.io), which must be in the cluster.

```sh
helm install clio-argo helm/clio-argo --namespace clio-argo --create-namespace --values my-values.yaml
helm test clio-argo --namespace clio-argo --logs
```

The chart of a release names its images; the one of the repository needs `global.imageRegistry`.
[From a laptop to a cluster](../../docs/kubernetes.md) has the whole way; [the chart](../../docs/chart.md) has upgrades,
several releases, OpenShift, Argo CD and the network policy. All pods pass PodSecurity `restricted`. `ci/` has values
for GKE, OpenShift and a small cluster. values.schema.json refuses what cannot work; `clio-argo install --settings FILE`
takes the same files.

## Values

| key | default | meaning |
|---|---|---|
"""
LINE = re.compile(r"(?P<indent> *)(?:# (?P<begin>-- )?(?P<words>.*)|(?P<key>\w+):(?P<rest>.*))")


def readme(values: str) -> str:
    """The text of README.md. `values`: the text of values.yaml."""
    return HEAD + "".join(f"| `{key}` | {_cell(default)} | {_plain(words)} |\n" for key, default, words in rows(values))


def rows(values: str) -> Iterator[tuple[str, Any, str]]:
    """Key, default and comment of every value that has a comment of `# --`."""
    defaults, path, words = yaml.safe_load(values), list[str](), ""
    for match in (LINE.fullmatch(line) for line in values.splitlines()):
        if match is None or match["key"] is None:
            words = "" if match is None else match["words"] if match["begin"] else words and f"{words} {match['words']}"
            continue
        path = [*path[: len(match["indent"]) // 2], match["key"]]
        if words:
            yield ".".join(path), _at(defaults, path), words
        words = ""


def _at(values: Any, path: list[str]) -> Any:
    return _at(values[path[0]], path[1:]) if path else values


def _cell(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def _plain(words: str) -> str:
    return " ".join(words.split()).replace("|", r"\|")
