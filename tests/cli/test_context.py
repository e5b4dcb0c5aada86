"""How the engine is chosen (flags, environment, context), and `cove context`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from desktop import context
from desktop.client.http import Endpoint
from desktop.paths import HostPaths, host_paths


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    return host_paths({"COVE_HOME": str(tmp_path / "home")}, "linux")


def test_the_first_that_says_something_decides(paths: HostPaths) -> None:
    everything = {"COVE_HOST": "unix:///c", "COVE_CONTEXT": "vm", "DOCKER_HOST": "tcp://d:1"}
    context.use(paths, "native")
    assert str(context.resolve(paths, everything, host="unix:///h", context="vm").endpoint) == "unix:///h"
    assert context.resolve(paths, everything, context="vm").kind == context.VM
    assert str(context.resolve(paths, everything).endpoint) == "unix:///c"
    del everything["COVE_HOST"]
    assert context.resolve(paths, everything).kind == context.VM
    del everything["COVE_CONTEXT"]
    assert str(context.resolve(paths, everything).endpoint) == "tcp://d:1"
    assert context.resolve(paths, {}).kind == context.NATIVE
    paths.config_file.unlink()
    assert context.resolve(paths, {}).endpoint == Endpoint.local(paths.engine_socket)


def test_using_a_context_keeps_the_other_settings(paths: HostPaths) -> None:
    paths.config_file.parent.mkdir(parents=True)
    paths.config_file.write_text('{"schema": 1, "memory_mb": 4096}')
    context.use(paths, "native")
    assert json.loads(paths.config_file.read_text()) == {"schema": 1, "memory_mb": 4096, "context": "native"}
    with pytest.raises(context.ContextError, match="no context 'nope'"):
        context.use(paths, "nope")


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_broken_configuration_is_named(paths: HostPaths, text: str) -> None:
    paths.config_file.parent.mkdir(parents=True)
    paths.config_file.write_text(text)
    with pytest.raises(context.ContextError, match=r"config\.json"):
        context.resolve(paths, {})


@pytest.mark.parametrize("address", ["foo://x", "unix://", "tcp://h:x", "tcp://h:99999"])
def test_an_address_that_is_none_is_refused(paths: HostPaths, address: str) -> None:
    with pytest.raises(context.ContextError):
        context.resolve(paths, {}, host=address)
