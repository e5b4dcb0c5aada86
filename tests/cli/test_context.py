"""How the engine is chosen (flags, environment, context), and `cove context`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from desktop import context, madecontexts
from desktop.cli.context import made_of
from desktop.client.http import Endpoint
from desktop.paths import HostPaths, host_paths
from desktop.platform import platform_for
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.sockets import free_port
from tests.support.sshserver import ssh_server
from tests.support.tools import docker_cli
from tests.support.waiting import wait_until


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


def test_a_context_of_an_engine_that_ssh_reaches(engine: NativeEngine, tmp_path: Path) -> None:
    """Ours and docker's command line, by the real ssh; on the other side there is `cove`, which is `docker` too."""
    cove = Path(sys.executable).with_name("cove")
    programs, far = tmp_path / "programs", tmp_path / "far"
    for folder in (programs, far):
        folder.mkdir()
    for name in ("cove", "docker"):
        (far / name).symlink_to(cove)
    environ = {"HOME": str(tmp_path), "COVE_HOME": str(tmp_path / "cove"), "PATH": f"{programs}:/usr/bin:/bin"}
    with ssh_server(tmp_path) as server:
        # What a user's configuration and login shell would say: which key, and where programs and the engine are.
        program = programs / "ssh"
        program.write_text(
            '#!/bin/bash\nflags=()\nwhile [ "$1" != -- ]; do flags+=("$1"); shift; done\nhost=$2; shift 2\n'
            f"exec /usr/bin/ssh -F none -o IdentityAgent={server.agent} -o StrictHostKeyChecking=no "
            f'-o UserKnownHostsFile={tmp_path}/known -o LogLevel=error "${{flags[@]}}" '
            f'-- "$host" "export PATH={far}:/usr/bin:/bin COVE_HOST={engine.host} COVE_HOME={far}; $*"\n'
        )
        program.chmod(0o755)

        def run(
            *words: str | Path, check: bool = True, typed: str = "", **more: str
        ) -> subprocess.CompletedProcess[str]:
            argv = [str(word) for word in words]
            done = subprocess.run(
                argv, env={**environ, **more}, input=typed, capture_output=True, text=True, timeout=HANG_S, check=False
            )
            assert not check or done.returncode == 0, done.stderr
            return done

        address = f"ssh://root@{server.address}"
        run(cove, "context", "create", "far", "--description", "over there", "--docker", f"host={address}")
        run(cove, "context", "use", "far")
        assert "far *   over there" in " ".join(run(cove, "context", "ls").stdout.split("  "))
        assert run(cove, "context", "show").stdout == "far\n"
        said = run(cove, "run", "--rm", "-i", "busybox", "cat", "/etc/hostname", "-", typed="typed").stdout
        assert said.endswith("typed")
        big = run(cove, "run", "--rm", "busybox", "head", "-c", "3000000", "/dev/zero").stdout
        assert len(big) == 3_000_000
        assert "is in use" in run(cove, "context", "rm", "far", check=False).stderr
        own = engine.docker("version", "-f", "{{.Server.Version}}").stdout
        over_there = f"{address}{engine.socket}"
        for host in (address, over_there):
            assert run(cove, "-H", host, "version", "-f", "{{.Server.Version}}").stdout == own
        # docker's client asks for `docker` over there.
        assert run(docker_cli(), "version", "-f", "{{.Server.Version}}", DOCKER_HOST=address).stdout == own
        loop = 'trap "echo got; exit 3" INT; echo up; while :; do sleep 0.1; done'
        with subprocess.Popen(
            [cove, "-H", address, "run", "--rm", "busybox", "sh", "-c", loop],
            env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
        ) as shell:  # fmt: skip
            assert shell.stdout is not None
            assert shell.stdout.readline() == b"up\n"
            os.killpg(shell.pid, signal.SIGINT)  # what Ctrl-C on a terminal does: ssh gets it too
            assert (*shell.communicate(timeout=HANG_S), shell.returncode) == (b"got\n", b"", 3)
        refused = run(cove, "-H", f"ssh://root@127.0.0.1:{free_port()}", "ps", check=False)
        assert refused.returncode != 0
        assert "Connection refused" in refused.stderr
        run(cove, "context", "use", "native")
        run(cove, "context", "rm", "far")
        assert "not found" in run(cove, "context", "rm", "far", check=False).stderr


def test_the_far_end_goes_on_for_an_engine_that_takes_no_more(tmp_path: Path) -> None:
    """As an engine does that has refused a request before it read all of it: its reply still comes."""
    path = tmp_path / "engine.sock"
    with socket.create_server(str(path), family=socket.AF_UNIX) as listener:
        listener.settimeout(HANG_S)
        process = subprocess.Popen(
            [Path(sys.executable).with_name("cove"), "-H", f"unix://{path}", "system", "dial-stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            asking, _ = listener.accept()
            with asking:
                asking.recv(4096)
                asking.sendall(b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 2\r\n\r\nOK")
                carried, _ = listener.accept()
            with carried:
                carried.shutdown(socket.SHUT_RD)
                assert process.stdin is not None
                process.stdin.write(b"request")
                process.stdin.flush()
                wait_until(lambda: len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1)
                carried.sendall(b"refused")
            out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, out, err) == (0, b"refused", b"")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "unrecognized config key"),
        ("ca=x", "configuration is required"),
        ("host=ssh://-oProxyCommand=x", "is meant"),
        ("host=ssh://u:p@h", "invalid host"),
        ("host=ssh://", "is meant"),
        ("host=tcp://h,ca=/no/such", "no such file"),
        ("host=foo://x", "understood"),
        ("host=tcp://h,skip-tls-verify=yes", 'skip-tls-verify: strconv.ParseBool: parsing "yes": invalid syntax'),
    ],
)
def test_a_context_that_cannot_be_is_refused(paths: HostPaths, options: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_of(options, "")
    for name in ("vm", "a b", "-x"):
        with pytest.raises(context.ContextError, match=r"already exists|is invalid"):
            context.create(paths, name, madecontexts.Made("unix:///x"))


@pytest.mark.parametrize("one", [{"host": 5}, {"host": "ssh://h", "ca": 1}, {"host": "h", "skip_tls_verify": "no"}, {}])
def test_a_context_that_was_written_wrongly_is_said(paths: HostPaths, one: dict[str, object]) -> None:
    paths.home.mkdir(exist_ok=True)
    paths.config_file.write_text(json.dumps({"context": "x", "contexts": {"x": one}}))
    with pytest.raises(context.ContextError, match="contexts"):
        context.resolve(paths, {})


def test_docker_gets_no_context_that_lacks_its_certificates(tmp_path: Path) -> None:
    cove = Path(sys.executable).with_name("cove")
    environ = {"HOME": str(tmp_path), "COVE_HOME": str(tmp_path), "COVE_WARM": "0", "PATH": "/usr/bin:/bin"}
    (tmp_path / "config.json").write_text(
        json.dumps({"context": "x", "contexts": {"x": {"host": "tcp://127.0.0.1", "skip_tls_verify": True}}})
    )
    done = subprocess.run([cove, "context", "install"], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "would not have the certificates" in done.stderr) == (1, True), done
    assert not (tmp_path / ".docker").exists()
