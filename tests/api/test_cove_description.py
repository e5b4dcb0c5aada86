"""Our own calls keep to their own OpenAPI description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml

import vmagent.api
from desktop.client.engine import EngineClient
from tests.api.conftest import Running
from tests.support.engine import NativeEngine
from vmagent.api.router import Router
from vmagent.api.routes import add_all

DESCRIPTION: dict[str, Any] = yaml.safe_load(Path(vmagent.api.__file__).with_name("openapi.yaml").read_text())


def test_every_described_call_is_served_and_the_reverse(api: Running) -> None:
    router = Router()
    add_all(router, api.engine)  # type: ignore[arg-type]
    served = {(method, path) for method, path in router.templates if path.startswith("/cove/")}
    described = {(method.upper(), path) for path, verbs in DESCRIPTION["paths"].items() for method in verbs}
    assert served == described
    answer = api.exchange(b"GET /cove/v1/openapi.yaml HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert yaml.safe_load(answer.partition(b"\r\n\r\n")[2]) == DESCRIPTION


def test_the_timeline_of_a_start_has_its_described_shape(engine: NativeEngine) -> None:
    name = engine.docker("run", "-d", "busybox:latest", "true").stdout.strip()
    try:
        client: EngineClient = engine.client()
        timeline = client.request("GET", f"/cove/v1/containers/{name}/timeline")
        client.close()
    finally:
        engine.docker("rm", "-f", name)
    schema = json.loads(json.dumps(DESCRIPTION["components"]["schemas"]["Timeline"]).replace('"nullable": true, ', ""))
    schema["required"] = list(schema["properties"])
    jsonschema.validate(timeline, schema)
    assert timeline["start_ms"] > 0
    assert timeline["layers"] == 1
