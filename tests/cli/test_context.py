"""How the engine is chosen (flags, environment, context), and `cove context`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from desktop import context
from desktop.client.http import Endpoint
from desktop.paths import HostPaths, host_paths
from desktop.platform import platform_for
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli


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


COUNT = """
import sys
from desktop import context
from desktop.paths import host_paths
paths = host_paths({"COVE_HOME": sys.argv[1]}, "linux")
for _ in range(50):
    context.change_settings(paths, lambda settings: {**settings, "n": settings.get("n", 0) + 1})
"""


def test_changes_of_several_processes_are_all_kept(paths: HostPaths) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, str(paths.home)]) for _ in range(3)]
    assert [process.wait(HANG_S) for process in processes] == [0, 0, 0]
    assert json.loads(paths.config_file.read_text())["n"] == 150


def test_a_change_by_a_program_that_hangs_is_told(paths: HostPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "TURN_LIMIT_S", 0.0)
    paths.home.mkdir()
    with (
        platform_for(sys.platform).lock(paths.config_lock),
        pytest.raises(context.ContextError, match="another program"),
    ):
        context.use(paths, "native")
    context.use(paths, "native")
    assert context.configured(paths) == "native"


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


def test_docker_uses_the_context_that_is_installed(engine: NativeEngine, tmp_path: Path) -> None:
    """By the real docker command line."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "COVE_HOME": str(tmp_path / "cove")}

    def run(*words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(word) for word in words]
        return subprocess.run(
            command, env={**environ, **more}, capture_output=True, text=True, timeout=HANG_S, check=False
        )

    cove, docker = Path(sys.executable).with_name("cove"), docker_cli()
    assert "was made: unix:///elsewhere" in run(cove, "context", "install", COVE_HOST="unix:///elsewhere").stdout
    # The variable of docker itself is not what the context is for.
    done = run(cove, "context", "install", COVE_HOST=engine.host, DOCKER_HOST="unix:///other")
    assert f"was changed: {engine.host}" in done.stdout
    assert "cove" in run(docker, "context", "ls", "--format", "{{.Name}}").stdout.split()
    assert run(docker, "context", "use", "cove").returncode == 0
    assert run(docker, "info", "--format", "{{.OperatingSystem}}").returncode == 0
    used = run(cove, "context", "uninstall")
    assert (used.returncode, "docker context use default" in used.stderr) == (1, True)
    assert run(docker, "context", "use", "default").returncode == 0
    assert "is removed" in run(cove, "context", "uninstall").stdout
    assert "does not exist" in run(cove, "context", "uninstall").stdout
    assert run(docker, "context", "ls", "--format", "{{.Name}}").stdout.split() == ["default"]
    assert run(docker, "context", "create", "cove", "--docker", "host=unix:///mine").returncode == 0
    for verb in ("install", "uninstall"):
        refused = run(cove, "context", verb)
        assert (refused.returncode, "docker context rm cove" in refused.stderr) == (1, True)
    assert "unix:///mine" in run(docker, "context", "inspect", "cove").stdout
