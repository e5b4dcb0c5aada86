"""`cove completion`: what it completes, in the shells that are here; and that cove has docker's flags."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli


@pytest.fixture
def things(engine: NativeEngine) -> Iterator[str]:
    """A stopped container, a volume and a network, each of this name, and a running container NAME-runs."""
    name = f"complete-{os.getpid()}"
    engine.docker("create", "--name", name, "busybox", "true")
    engine.docker("run", "-d", "--name", f"{name}-runs", "busybox", "sleep", "1000")
    engine.docker("volume", "create", name)
    engine.docker("network", "create", name)
    yield name
    engine.docker("rm", "-f", name, f"{name}-runs")
    engine.docker("volume", "rm", name)
    engine.docker("network", "rm", name)


def words(engine: NativeEngine, *typed: str) -> list[str]:
    return engine.cove("completion", "words", *typed).stdout.split()


def test_commands_verbs_and_flags_are_completed(engine: NativeEngine) -> None:
    assert words(engine, "ru") == ["run"]
    assert "volume" in words(engine, "")
    assert words(engine, "network", "conn") == ["connect"]
    assert words(engine, "run", "--rm", "--mem") == [
        "--memory", "--memory-reservation", "--memory-swap", "--memory-swappiness",
    ]  # fmt: skip
    assert words(engine, "container", "stop", "--ti") == ["--timeout"]
    assert words(engine, "image", "ls", "--dig") == ["--digests"]
    assert words(engine, "nonsense", "") == []


def test_names_of_the_engine_are_completed(engine: NativeEngine, things: str) -> None:
    both, one = [things, f"{things}-runs"], [f"{things}-runs"]
    assert words(engine, "rm", things) == both
    assert words(engine, "rm", "-f", things, things) == both
    assert words(engine, "stop", things) == one
    assert words(engine, "container", "stop", things) == one
    assert words(engine, "exec", "-u", "root", things) == one
    assert words(engine, "exec", things, things) == []  # the command's words
    assert words(engine, "volume", "rm", things) == [things]
    assert words(engine, "volume", "export", things) == [things]  # `cove export` has containers
    assert words(engine, "volume", "rename", things, things) == []
    assert words(engine, "compose", "stop", things) == []  # services, of which the engine knows nothing
    assert words(engine, "image", "rm", "busyb") == ["busybox:latest"]
    assert words(engine, "network", "rm", things) == [things]
    assert words(engine, "run", "--name", "x", "busyb") == ["busybox:latest"]
    assert "busybox:latest" in words(engine, "rmi", "")


def test_no_engine_is_started_for_a_completion(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("cove"), "completion", "words", "stop", ""],
        env={"COVE_HOME": str(tmp_path), "PATH": os.environ["PATH"], "COVE_WARM": "0"},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_bash_completes_a_name(engine: NativeEngine, things: str) -> None:
    script = f"""
    source <(cove completion bash)
    COMP_WORDS=(cove stop {things}); COMP_CWORD=2
    _cove
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "COVE_HOST": engine.host, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"{things}-runs\n", "")


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute"), ("pwsh", None)])
def test_each_script_is_one_of_its_shell(engine: NativeEngine, shell: str, check: str | None, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(engine.cove("completion", shell.replace("pwsh", "powershell")).stdout)
    assert "cove completion words" in script.read_text()
    if check and (program := shutil.which(shell)):
        subprocess.run([program, check, str(script)], check=True, timeout=HANG_S)


# docker's flags that cove does not have, and why.
_LEFT_OUT = {
    "builds": {"compress", "isolation", "security-opt", "squash", "disable-content-trust"},
    "Windows containers": {"cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"},
    "gone or experimental in docker": {"kernel-memory", "checkpoint", "checkpoint-dir"},
    "cove has it, and does not list it": {"time"},
    "devices that the engine cannot give": {"gpus"},
    "Swarm": {
        "availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing", "topology-preferred",
        "topology-required", "type", "cluster", "config-from", "config-only", "ingress", "verbose",
    },
    "not yet": {"ipam-driver", "ipam-opt", "link-local-ip", "cpu-rt-period", "cpu-rt-runtime"},
}  # fmt: skip
_VERBS = (
    "attach", "build", "commit", "cp", "create", "diff", "events", "exec", "export", "history", "images",
    "import", "info", "inspect", "kill", "load", "login", "logout", "logs", "pause", "port", "ps", "pull",
    "push", "rename", "restart", "rm", "rmi", "run", "save", "search", "start", "stats", "stop", "tag", "top",
    "unpause", "update", "version", "wait", "builder prune", "container ls", "container prune", "image ls",
    "image build", "image prune", "network connect", "network create", "network disconnect", "network ls",
    "network prune", "network rm", "system df", "system prune", "volume create", "volume inspect",
    "volume ls", "volume prune", "volume rm",
)  # fmt: skip


def _flags(program: Path, verb: str) -> set[str]:
    """Of a help, for which no engine is asked."""
    done = subprocess.run(
        [program, *verb.split(), "--help"],
        env={**os.environ, "COVE_HOST": "unix:///nonexistent.sock"},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    return set(re.findall(r"^\s+(?:-\w, )?--([\w-]+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("verb", _VERBS)
def test_cove_has_dockers_flags(verb: str) -> None:
    missing = _flags(docker_cli(), verb) - _flags(Path(sys.executable).with_name("cove"), verb) - {"help"}
    assert missing <= set().union(*_LEFT_OUT.values())
