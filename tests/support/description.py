"""The OpenAPI description of our own calls (vmagent/api/openapi.yaml), and values held against it, strictly."""

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
    reply = _resolved(DESCRIPTION["paths"][path][method.lower()]["responses"][str(status)])
    jsonschema.validate(value, _as_json_schema(reply["content"]["application/json"]["schema"]))


def object_schemas() -> list[dict[str, Any]]:
    """Every schema of a JSON object in the description, resolved."""
    found: list[dict[str, Any]] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object":
                found.append(node)
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(DESCRIPTION)
    return found


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = DESCRIPTION
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


def _as_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 as JSON Schema: references replaced, `nullable` as a second type."""
    made = dict(_resolved(schema))
    if made.pop("nullable", False):
        made["type"] = [made["type"], "null"]
    if "properties" in made:
        made["properties"] = {name: _as_json_schema(inner) for name, inner in made["properties"].items()}
    if "items" in made:
        made["items"] = _as_json_schema(made["items"])
    return made
