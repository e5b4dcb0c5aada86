"""The OpenAPI description has every call that is served, with the parameters and bodies that the code reads."""

from __future__ import annotations

import ast
import inspect
import sys
from collections import defaultdict
from typing import Any

import yaml

from tests.api.conftest import Running
from tests.support.description import DESCRIPTION, object_schemas, resolved
from vmagent.api import bodies
from vmagent.api.buildkit import BuildKitWire, connect
from vmagent.api.router import Router
from vmagent.api.routes import add_all

# Functions that read parameters whose names their callers do not repeat.
_READERS = {
    "filters": {"filters"},
    "terminal_size": {"h", "w"},
    "path_of": {"path"},
    "most_of": {"most"},
    "_platform": {"platform"},
}
_FUNCTIONS = {"time_ns", "_json", "_strings"}


class _Table(Router):
    """Also keeps in which module each route's handler is."""

    def __init__(self) -> None:
        super().__init__()
        self.modules: dict[tuple[str, str], str] = {}

    def add(self, method: str, template: str, handler: Any, **how: bool) -> None:
        super().add(method, template, handler, **how)
        self.modules[method, template.replace("...", "")] = inspect.unwrap(handler).__module__


def _table(api: Running) -> _Table:
    table = _Table()
    add_all(table, api.engine, BuildKitWire(lambda: connect(api.engine)), api.server.activity)
    return table


def test_every_described_call_is_served_and_the_reverse(api: Running) -> None:
    described = {(method.upper(), path) for path, verbs in DESCRIPTION["paths"].items() for method in verbs}
    assert set(_table(api).modules) == described
    reply = api.exchange(b"GET /cove/v1/openapi.yaml HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert yaml.safe_load(reply.partition(b"\r\n\r\n")[2]) == DESCRIPTION


def test_every_parameter_that_a_module_of_routes_reads_is_described_and_the_reverse(api: Running) -> None:
    """By module, since a handler shares the reading of parameters with others."""
    described: dict[str, set[str]] = defaultdict(set)
    for (method, path), module in _table(api).modules.items():
        for parameter in DESCRIPTION["paths"][path][method.lower()].get("parameters", ()):
            found = resolved(parameter)
            if found["in"] == "query":
                described[module].add(found["name"])
    read = {module: _parameters_read(module) for module in described}
    # Docker's clients send them, and here they change nothing.
    without_effect = {"vmagent.api.routes.images": {"all"}, "vmagent.api.routes.build": {"all"}}
    assert read == {module: names - without_effect.get(module, set()) for module, names in described.items()}


def _parameters_read(module: str) -> set[str]:
    """The names of query parameters in the source of a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        match node:
            case ast.Compare(left=ast.Constant(str(name)), comparators=[of]) if _is_query(of):
                names.add(name)
            case ast.Call(func=ast.Name(function)) if function in _READERS:
                names |= _READERS[function]
            case ast.Call(func=ast.Name(function), args=[_, ast.Constant(str(name)), *_]) if function in _FUNCTIONS:
                names.add(name)
            case ast.Call(func=ast.Attribute(of, method), args=[ast.Constant(str(name)), *_]) if _is_query(of):
                assert method in ("get", "flag", "integer", "all"), method
                names.add(name)
    return names


def _is_query(node: ast.expr) -> bool:
    return ast.unparse(node) in ("query", "request.query")


def test_bodies_are_described_as_they_are_read() -> None:
    requests: dict[str, bodies.Kind] = {
        "ContainerCreateRequest": bodies.container_create,
        "ContainerConfigRequest": bodies.container_config,
        "ContainerUpdateRequest": bodies.container_update,
        "ExecCreateRequest": bodies.exec_create,
        "ExecStartRequest": bodies.exec_start,
        "NetworkCreateRequest": bodies.network_create,
        "NetworkConnectRequest": bodies.network_connect,
        "NetworkDisconnectRequest": bodies.network_disconnect,
        "VolumeCreateRequest": bodies.volume_create,
    }
    for name, kind in requests.items():
        assert _shape_described(DESCRIPTION["components"]["schemas"][name]) == _shape_read(kind), name


def _shape_described(schema: dict[str, Any]) -> object:
    schema = resolved(schema)
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {name: _shape_described(inner) for name, inner in schema["properties"].items()}
        case "object":
            return {"*": _shape_described(schema["additionalProperties"])}
        case "array":
            return [_shape_described(schema["items"])]
        case None if "oneOf" in schema:
            return [_shape_described(inner) for inner in schema["oneOf"]]
        case kind:
            return kind


def _shape_read(kind: bodies.Kind) -> object:
    if isinstance(kind, bodies.Object):
        return {name: _shape_read(inner) for name, inner in kind.fields.items()}
    if isinstance(kind, bodies.MapOf):
        return {"*": _shape_read(kind.item)}
    if isinstance(kind, bodies.ListOf):
        return [_shape_read(kind.item)]
    others: dict[object, object] = {
        bodies.string: "string",
        bodies.integer: "integer",
        bodies.boolean: "boolean",
        bodies.anything: None,
        bodies.words: [["string"], "string"],
        bodies.ports: [{"HostIp": "string", "HostPort": "string"}],
    }
    return others[kind]


def test_the_description_allows_nothing_that_it_does_not_name() -> None:
    """Otherwise a reply with an absent or an extra field would pass for described."""
    own = [
        schema for path, verbs in DESCRIPTION["paths"].items() if "/cove/" in path for schema in object_schemas(verbs)
    ]
    assert own
    for schema in own:
        assert schema["additionalProperties"] is False, schema
        assert sorted(schema["required"]) == sorted(schema["properties"]), schema
    for path, verbs in DESCRIPTION["paths"].items():
        for method, call in verbs.items():
            for schema in object_schemas(call["responses"]):
                assert "additionalProperties" in schema or schema == {"type": "object"}, (method, path, schema)
