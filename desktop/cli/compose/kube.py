"""`cove compose kube`: the project as manifests for a Kubernetes cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call

SPEC = Spec(
    name="compose kube",
    usage="[OPTIONS] [SERVICE...]",
    summary="Print the project as Kubernetes manifests, for kubectl apply; what has no equivalent is named on stderr",
    flags=(
        Flag("domain", kind="string", help="Hosts of Ingresses are names below this one: SERVICE.DOMAIN"),
        Flag("format", kind="string", help="yaml or json", default="yaml"),
        Flag("namespace", "n", "string", "Put this namespace into the objects"),
        Flag("output", "o", "string", "Write to this file"),
        Flag("quiet", "q", help="Do not name what has no equivalent"),
        Flag("storage", kind="string", help="Size of a volume that says none", default="1Gi"),
        Flag("storage-class", kind="string", help="The storage class of volumes, if not the cluster's own"),
        Flag("strict", help="Fail if something has no equivalent"),
    ),
)


def kube(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.kube.context import KubeOptions
    from desktop.compose.kube.convert import manifests

    flags = parse(SPEC, argv)
    kind = flags.text("format") or "yaml"
    if kind not in ("yaml", "json"):
        raise Failure(f'unsupported format "{kind}"')
    options = KubeOptions(
        namespace=flags.text("namespace") or "",
        domain=flags.text("domain") or "",
        storage=flags.text("storage") or "",
        storage_class=flags.text("storage-class") or "",
    )
    found = manifests(call.project(flags.args), options)
    if not flags.on("quiet"):
        for note in found.notes:
            print(f"{'ERROR' if flags.on('strict') else 'NOTE'}: {note}", file=sys.stderr)
    if flags.on("strict") and found.notes:
        count = len(found.notes)
        raise Failure(f"{count} part{'s' if count > 1 else ''} of the project without an equivalent in Kubernetes")
    text = _json(found.objects) if kind == "json" else _yaml(found.objects)
    if path := flags.text("output"):
        Path(path).write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


def _json(objects: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2, ensure_ascii=False) + "\n"


def _yaml(objects: Sequence[dict[str, Any]]) -> str:
    from desktop.compose.output import yaml_text

    return "---\n".join(yaml_text(one) for one in objects)
