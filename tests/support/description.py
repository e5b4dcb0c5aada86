"""The OpenAPI description of the API (vmagent/api/openapi.yaml), and values held against it, strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import yaml

import vmagent.api

DESCRIPTION: dict[str, Any] = yaml.safe_load(Path(vmagent.api.__file__).with_name("openapi.yaml").read_text())


def conforms(value: object, method: str, path: str, status: int) -> None:
    """Hold the body of a JSON reply, or one line of a JSON stream, against its description.

    Raises KeyError where the description has no such reply, jsonschema.ValidationError where `value` differs from it.
    """
    reply = resolved(DESCRIPTION["paths"][path][method.lower()]["responses"][str(status)])
    jsonschema.validate(value, _as_json_schema(reply["content"]["application/json"]["schema"]))


def object_schemas(part: object) -> list[dict[str, Any]]:
    """Every schema of a JSON object in a part of the description, resolved, also those that others refer to."""
    found: list[dict[str, Any]] = []
    seen: set[str] = set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if (reference := node.get("$ref")) is not None:
                if reference not in seen:
                    seen.add(reference)
                    walk(resolved(node))
                return
            if node.get("type") == "object":
                found.append(node)
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(part)
    return found


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What `node` refers to, or itself."""
    while "$ref" in node:
        found: Any = DESCRIPTION
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


def _as_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 as JSON Schema: references replaced, `nullable` as a second type."""
    made = dict(resolved(schema))
    if made.pop("nullable", False):
        made["type"] = [made["type"], "null"]
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _as_json_schema(made["additionalProperties"])
    if "properties" in made:
        made["properties"] = {name: _as_json_schema(inner) for name, inner in made["properties"].items()}
    if "items" in made:
        made["items"] = _as_json_schema(made["items"])
    return made
