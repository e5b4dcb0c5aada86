"""What `up` asks the engine for, counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop.cli.main import main
from desktop.client.http import Connection
from desktop.compose import order
from tests.support.composing import ComposeProject
from tests.support.engine import NativeEngine

FILE = """\
name: cvtasked
services:
  a: {image: busybox, init: true, command: sleep 1000, volumes: ['data:/d'], scale: 3}
  b: {image: busybox, init: true, command: sleep 1000, depends_on: [a]}
  c: {image: busybox, init: true, command: sleep 1000, network_mode: 'service:b'}
volumes: {data: }
networks: {default: }
"""


@pytest.fixture
def project(engine: NativeEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = ComposeProject(engine, tmp_path, "cvtasked")
    made.write(FILE)
    yield made
    made.cove("down", "-v", "-t", "0")


def test_an_up_with_nothing_to_do_asks_once_for_each_kind_of_thing(
    project: ComposeProject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.cove("up", "-d")
    before = project.containers()
    asked: list[str] = []
    send = Connection.send

    def sent(self: Connection, method: str, target: str, *rest: Any) -> None:
        asked.append(f"{method} {target.partition('?')[0].removeprefix('/v1.50')}")
        send(self, method, target, *rest)

    def refuse(*_: object) -> None:
        raise AssertionError("a thread for what is done already")

    monkeypatch.setattr(Connection, "send", sent)
    monkeypatch.setattr(order, "start_new_thread", refuse)
    monkeypatch.setenv("COVE_HOST", project.engine.host)
    monkeypatch.chdir(project.folder)
    assert main(["compose", "up", "-d"]) == 0
    assert sorted(asked) == [
        "GET /containers/json", "GET /images/busybox/json", "GET /networks", "GET /volumes", "HEAD /_ping",
    ]  # fmt: skip
    said = sorted(line.split()[1:] for line in capsys.readouterr().err.splitlines())
    assert said == [[f"cvtasked-{name}", "Running"] for name in ("a-1", "a-2", "a-3", "b-1", "c-1")]
    assert project.containers() == before
