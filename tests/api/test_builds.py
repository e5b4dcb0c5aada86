"""`/cove/v1/builds`: what the engine tells of builds of both wires, held against its description."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from desktop.client.engine import ApiError
from tests.support.description import conforms
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

BUILDS, BUILD, LOG = "/cove/v1/builds", "/cove/v1/builds/{id}", "/cove/v1/builds/{id}/log"
GOOD = "FROM busybox:latest\nRUN echo made; echo at fault >&2\nCOPY Dockerfile /x\n"
BAD = "FROM busybox:latest\nRUN true\n\nRUN echo last words && false\n"


def build(engine: NativeEngine, folder: Path, text: str, tag: str, *, classic: bool) -> None:
    (folder / "Dockerfile").write_text(text)
    environment = {"DOCKER_BUILDKIT": "0" if classic else "1"}
    engine.buildx("build", "-t", tag, folder, check=False, env_more=environment)


def found(engine: NativeEngine, tag: str) -> dict[str, Any]:
    with engine.client() as client:
        told = client.json_object("GET", BUILDS)
    conforms(told, "GET", BUILDS, 200)
    return next(one for one in told["builds"] if any(tag in name for name in one["names"]))


@pytest.mark.parametrize("classic", [False, True], ids=["buildkit", "classic"])
def test_a_build_is_in_the_history_with_its_steps_and_output(
    own_engine: NativeEngine, tmp_path: Path, classic: bool
) -> None:
    build(own_engine, tmp_path, GOOD, "told:1", classic=classic)
    one = found(own_engine, "told:1")
    assert (one["state"], one["error"], one["dockerfile"]) == ("completed", "", "Dockerfile")
    assert one["ended_ms"] >= one["started_ms"] > 0
    assert one["done_steps"] == one["steps"] > 2
    assert one["image_id"].startswith("sha256:")
    with own_engine.client() as client:
        reports = list(client.stream("GET", f"{BUILDS}/{one['id']}/log"))
        for report in reports:
            conforms(report, "GET", LOG, 200)
        steps = {step["id"]: step for report in reports for step in report["steps"]}
        text = "".join(piece["text"] for report in reports for piece in report["output"])
        assert "made\n" in text
        assert {piece["stream"] for report in reports for piece in report["output"]} >= {1, 2}
        assert any("RUN echo made" in step["name"] for step in steps.values())
        detail = client.json_object("GET", f"{BUILDS}/{one['id']}")
        conforms(detail, "GET", BUILD, 200)
        assert detail == {"build": one, "failure": None}
        client.request("DELETE", f"{BUILDS}/{one['id']}")
        assert client.json_object("GET", BUILDS) == {"builds": []}
        for method, path in (("GET", f"{BUILDS}/none"), ("DELETE", f"{BUILDS}/none"), ("GET", f"{BUILDS}/none/log")):
            with pytest.raises(ApiError, match="no such build: none") as e:
                client.request(method, path)
            assert e.value.status == 404


@pytest.mark.parametrize("classic", [False, True], ids=["buildkit", "classic"])
def test_a_failed_build_names_the_line(own_engine: NativeEngine, tmp_path: Path, classic: bool) -> None:
    build(own_engine, tmp_path, BAD, "told:2", classic=classic)
    one = found(own_engine, "told:2")
    assert one["state"] == "failed"
    assert "false" in one["error"]
    with own_engine.client() as client:
        detail = client.json_object("GET", f"{BUILDS}/{one['id']}")
    conforms(detail, "GET", BUILD, 200)
    assert detail["failure"] == {"file": "Dockerfile", "source": BAD, "first_line": 4, "last_line": 4}


@pytest.mark.parametrize("classic", [False, True], ids=["buildkit", "classic"])
def test_a_running_build_is_followed_and_cancelled(own_engine: NativeEngine, tmp_path: Path, classic: bool) -> None:
    text = "FROM busybox:latest\nRUN echo begun && sleep 1000\n"
    working = threading.Thread(
        target=lambda: build(own_engine, tmp_path, text, "told:3", classic=classic), name="build"
    )
    with own_engine.client() as client, client.stream("GET", f"{BUILDS}/events") as events:
        working.start()
        states = []
        for event in events:
            conforms(event, "GET", "/cove/v1/builds/events", 200)
            states.append(event["build"]["state"])
            if states == ["running"]:
                ref = event["build"]["id"]
                _wait_for_output(own_engine, ref, "begun")
                with pytest.raises(ApiError, match="is running: cancel it first"), own_engine.client() as other:
                    other.request("DELETE", f"{BUILDS}/{ref}")
                with own_engine.client() as other:
                    other.request("POST", f"{BUILDS}/{ref}/cancel")
            if states[-1] != "running":
                break
    working.join(HANG_S)
    assert states == ["running", "canceled"]
    with own_engine.client() as client, pytest.raises(ApiError, match="has ended") as e:
        client.request("POST", f"{BUILDS}/{ref}/cancel")
    assert e.value.status == 409


def _wait_for_output(engine: NativeEngine, ref: str, text: str) -> None:
    with engine.client() as client, client.stream("GET", f"{BUILDS}/{ref}/log") as reports:
        for report in reports:
            if any(text in piece["text"] for piece in report["output"]):
                return
    raise AssertionError(f"the build {ref} ended without {text!r}")


def test_cove_build_is_in_the_history(own_engine: NativeEngine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(GOOD)
    own_engine.cove("build", "-t", "told:4", str(tmp_path))
    assert found(own_engine, "told:4")["state"] == "completed"
