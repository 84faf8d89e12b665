"""The files of `deploy/` against the schemas of what reads them.

    make check-deploy

- `kubernetes.yaml` and `kubernetes-cluster.yaml` against the JSON schemas of Kubernetes, which the package
  `kubernetes-validate` ships.
- `compose.yaml` against `compose_spec.json`, which the package `docker-compose` 1.29 ships. It is of 2021: a
  key that Compose got later is reported here as unknown.

Both packages are installed apart from `.venv` (`.audit-deploy`): together they take 200 MB. Exit 1 for a
mistake.
"""

from __future__ import annotations

import importlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml

# Of an environment of their own, which the type checker does not see.
jsonschema: Any = importlib.import_module("jsonschema")
kubernetes_validate: Any = importlib.import_module("kubernetes_validate")

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = "1.31"


def main(argv: list[str]) -> int:
    """`argv`: the wheel of docker-compose. Prints what is wrong; the exit code."""
    wrong = [*kubernetes(), *compose(Path(argv[0]))]
    print(
        "\n".join(wrong)
        if wrong
        else "deploy: kubernetes.yaml, kubernetes-cluster.yaml and compose.yaml fit their schemas"
    )
    return 1 if wrong else 0


def kubernetes() -> list[str]:
    """Mistakes of each document, unknown keys included."""
    wrong = []
    for name in ("kubernetes.yaml", "kubernetes-cluster.yaml"):
        for document in yaml.safe_load_all((DEPLOY / name).read_text("utf-8")):
            try:
                kubernetes_validate.validate(document, KUBERNETES, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                wrong.append(f"{name}: {document['kind']}: {where}: {error.message}")
    return wrong


def compose(wheel: Path) -> list[str]:
    """Mistakes of `compose.yaml`."""
    with zipfile.ZipFile(wheel) as archive:
        schema: dict[str, Any] = json.loads(archive.read("compose/config/compose_spec.json"))
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    found = jsonschema.Draft7Validator(schema).iter_errors(document)
    return [f"compose.yaml: {'.'.join(map(str, one.absolute_path))}: {one.message}" for one in found]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
