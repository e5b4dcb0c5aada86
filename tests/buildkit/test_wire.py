"""What trixie's docker CLI and buildx do on BuildKit's wire, before a builder that records."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import tarfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import Channel
from grpclib.const import Cardinality

from tests.buildkit.conftest import DIGEST, Site
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli, docker_config
from tests.support.waiting import wait_until
from vmagent.api.buildkit import BuildKitWire
from vmagent.builder.request import BuildError, BuildRequest, ImageContext, InvalidBuild, Selection, Ulimit
from vmagent.buildkit import messages as pb
from vmagent.buildkit.filesync import send_bytes, send_tree
from vmagent.buildkit.jobs import Job
from vmagent.buildkit.service import BuildKit
from vmagent.errors import Unavailable

DOCKERFILE = "FROM scratch\nRUN echo hello\nRUN false\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "sub").mkdir(parents=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "a").write_text("A")
    (folder / "sub" / "b").write_bytes(b"B" * 100_000)
    (folder / "link").symlink_to("sub/b")
    return folder


def test_a_build_sends_its_files_and_shows_its_progress(site: Site, context: Path, tmp_path: Path) -> None:
    site.builder.action = site.builder.receive
    iidfile = tmp_path / "iid"
    done = site.docker("build", "--progress=plain", "-t", "x/y:1", "--iidfile", iidfile, context)
    [request] = site.builder.requests
    assert request.dockerfile == DOCKERFILE.encode()
    assert site.builder.files == {
        "Dockerfile": DOCKERFILE.encode(), "a": b"A", "sub/b": b"B" * 100_000, "link": b"B" * 100_000
    }  # fmt: skip
    assert re.search(r"^#\d+ \[internal\] load build definition from Dockerfile\n", done.stderr, re.M)
    assert re.search(r"^#\d+ transferring dockerfile: 38B", done.stderr, re.M)
    assert re.search(r"^#\d+ \[1/1\] RUN echo hello\n", done.stderr, re.M)
    assert re.search(r"^#\d+ \d\.\d+ hello\n", done.stderr, re.M)
    assert "1 warning found" in done.stderr
    assert iidfile.read_text() == DIGEST
    [job] = site.builder.exported
    [exporter] = job.request.Exporters
    assert (exporter.Type, exporter.Attrs["name"]) == ("moby", "x/y:1")
    assert site.builder.released == 1


def test_more_arrives_than_the_windows_hold(site: Site, context: Path) -> None:
    content = os.urandom(1 << 20) * 12
    (context / "large").write_bytes(content)
    site.builder.action = site.builder.receive
    site.docker("build", "-q", context)
    assert site.builder.files["large"] == content


def test_flags_become_the_request(site: Site, context: Path) -> None:
    (context / "other").mkdir()
    (context / "other" / "F.docker").write_text("FROM scratch\n")
    (context / "named").mkdir()
    site.docker(
        "buildx", "build", "-q", "-f", context / "other" / "F.docker", "--target", "t", "--build-arg", "A=1",
        "--build-arg", "SOURCE_DATE_EPOCH=77", "--label", "l=m", "--platform", "linux/amd64,linux/arm64",
        "--no-cache-filter", "s1,s2", "--pull", "--network", "none", "--add-host", "h:192.0.2.7", "--add-host",
        "gw:host-gateway", "--shm-size", "1m", "--ulimit", "nofile=10:20", "--cgroup-parent", "/p",
        "--build-context", f"n={context / 'named'}", "--build-context", "i=docker-image://alpine:3",
        "--allow", "security.insecure", context,
    )  # fmt: skip
    [request] = site.builder.requests
    assert (request.dockerfile, request.dockerfile_name, request.target) == (b"FROM scratch\n", "F.docker", "t")
    assert request.build_args == {"A": "1", "SOURCE_DATE_EPOCH": "77"}
    assert (request.source_date_epoch, request.labels) == (77, {"l": "m"})
    assert request.platforms == ("linux/amd64", "linux/arm64")
    assert (request.no_cache, request.no_cache_stages, request.pull) == (False, ("s1", "s2"), True)
    assert request.network == "none"
    assert set(request.extra_hosts) == {"h:192.0.2.7", "gw:192.0.2.1"}
    assert (request.shm_size, request.ulimits, request.cgroup_parent) == (1 << 20, (Ulimit("nofile", 10, 20),), "/p")
    assert (request.allow_insecure, request.allow_host_network) == (True, False)
    assert request.contexts["i"] == ImageContext("alpine:3")
    assert set(request.contexts) == {"i", "n"}


def test_without_cache(site: Site, context: Path) -> None:
    site.docker("build", "-q", "--no-cache", context)
    [request] = site.builder.requests
    assert request.no_cache
    assert not request.pull


def test_only_what_changed_is_sent_again(site: Site, context: Path) -> None:
    site.builder.action = site.builder.receive
    site.docker("build", "-q", context)
    assert site.builder.sent > 100_000
    (context / "a").write_text("AA")
    (context / "new").write_text("N")
    (context / "link").unlink()
    site.docker("build", "-q", context)
    assert 0 < site.builder.sent < 1000
    assert site.builder.files == {
        "Dockerfile": DOCKERFILE.encode(), "a": b"AA", "sub/b": b"B" * 100_000, "new": b"N"
    }  # fmt: skip


def test_a_selection_limits_what_is_sent(site: Site, context: Path) -> None:
    site.builder.action = site.builder.receive
    site.builder.selection = Selection(include=("link", "a"), exclude=("a",), follow=("link",))
    site.docker("build", "-q", context)
    assert site.builder.files == {"link": b"B" * 100_000, "sub/b": b"B" * 100_000}


def test_names_that_are_not_ascii_are_escaped_in_headers(site: Site, context: Path) -> None:
    (context / "grün").write_text("g")
    site.builder.action = site.builder.receive
    site.builder.selection = Selection(include=("grün", "a b"))
    site.docker("build", "-q", context)
    assert site.builder.files == {"grün": b"g"}


def test_dockerignore_beside_the_dockerfile(site: Site, context: Path) -> None:
    (context / "other").mkdir()
    (context / "other" / "F").write_text("FROM scratch\n")
    (context / "other" / "F.dockerignore").write_text("one\n")
    (context / ".dockerignore").write_text("two\n")
    read: list[bytes | None] = []

    async def action(request: BuildRequest) -> None:
        assert request.context is not None
        for name in ("F.dockerignore", ".dockerignore", "missing", "sub"):
            read.append(await request.context.read(name, 100))

    site.builder.action = action
    site.docker("build", "-q", "-f", context / "other" / "F", context)
    assert read == [b"one\n", b"two\n", None, None]


def test_a_missing_dockerfile(site: Site, context: Path) -> None:
    (context / "Dockerfile").unlink()
    done = site.docker("build", context, check=False)
    assert done.returncode == 1
    # buildx itself looks for the file before it asks.
    assert "Dockerfile: no such file or directory" in done.stderr


def test_a_failing_step_is_shown_in_the_dockerfile(site: Site, context: Path) -> None:
    async def fail(_: BuildRequest) -> None:
        message = 'process "/bin/sh -c false" did not complete successfully: exit code: 1'
        raise BuildError(message, line=3, exit_code=1)

    site.builder.action = fail
    done = site.docker("build", "--progress=plain", context, check=False)
    assert done.returncode == 1
    assert "   3 | >>> RUN false\n" in done.stderr
    assert done.stderr.endswith(
        'ERROR: failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1\n'
    )


def test_an_invalid_dockerfile(site: Site, context: Path) -> None:
    async def fail(_: BuildRequest) -> None:
        raise InvalidBuild("dockerfile parse error on line 1: unknown instruction: FRO", line=1)

    site.builder.action = fail
    done = site.docker("build", context, check=False)
    assert "   1 | >>> FROM scratch\n" in done.stderr
    assert "ERROR: failed to solve: dockerfile parse error on line 1: unknown instruction: FRO\n" in done.stderr


def test_secrets_and_credentials_come_from_the_client(site: Site, context: Path, tmp_path: Path) -> None:
    secret, config = tmp_path / "secret", tmp_path / "config"
    secret.write_bytes(b"\x00s")
    config.mkdir()
    (config / "cli-plugins").symlink_to(docker_config() / "cli-plugins")
    (config / "config.json").write_text('{"auths": {"reg.example:5000": {"auth": "dXNlcjpwYXNz"}}}')
    got: list[Any] = []

    async def ask(request: BuildRequest) -> None:
        assert request.secrets is not None
        assert request.credentials is not None
        got.extend([await request.secrets.get("one"), await request.secrets.get("two")])
        got.extend([await request.credentials.get("reg.example:5000"), await request.credentials.get("docker.io")])

    site.builder.action = ask
    site.docker("build", "-q", "--secret", f"id=one,src={secret}", context, environment={"DOCKER_CONFIG": str(config)})
    assert got == [b"\x00s", None, {"username": "user", "password": "pass"}, {}]


def test_ssh_agents_are_forwarded(site: Site, context: Path, tmp_path: Path) -> None:
    """The client passes on the agent's protocol: one request for its keys, one reply (draft-ietf-sshm-ssh-agent)."""
    path = tmp_path / "agent.sock"
    got: list[Any] = []

    async def ask(request: BuildRequest) -> None:
        assert request.ssh is not None
        got.append([await request.ssh.has("default"), await request.ssh.has("other")])
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            forwarding = asyncio.create_task(request.ssh.forward("default", theirs.fileno()))
            await asyncio.get_running_loop().sock_sendall(ours, b"\0\0\0\x01\x0b")  # SSH_AGENTC_REQUEST_IDENTITIES
            reply = b""
            while len(reply) < 4 or len(reply) < 4 + int.from_bytes(reply[:4], "big"):  # the agent writes it in pieces
                part = await asyncio.get_running_loop().sock_recv(ours, 100)
                assert part, "the agent broke off"
                reply += part
            got.append(reply)
            ours.shutdown(socket.SHUT_WR)
            await forwarding

    site.builder.action = ask
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        wait_until(path.exists)
        site.docker("build", "-q", "--ssh", f"default={path}", context)
    finally:
        agent.terminate()
        agent.wait(HANG_S)
    assert got == [[True, False], b"\0\0\0\x05\x0c\0\0\0\0"]  # SSH_AGENT_IDENTITIES_ANSWER: no key


def test_a_tree_is_exported_to_a_folder(site: Site, context: Path, tmp_path: Path) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "f").write_bytes(b"F" * 200_000)
    (tree / "d" / "f").chmod(0o4755)
    (tree / "empty").touch()
    (tree / "l").symlink_to("d/f")
    os.link(tree / "d" / "f", tree / "hard")

    async def send(job: Job) -> None:
        await send_tree(job.session, tree, 0, asyncio.to_thread)

    site.builder.export_action = send
    site.docker("build", "-q", "--output", f"type=local,dest={out}", context)
    assert (out / "d" / "f").read_bytes() == b"F" * 200_000
    assert (out / "d" / "f").stat().st_mode & 0o7777 == 0o4755
    assert (out / "empty").read_bytes() == b""
    assert (out / "l").readlink() == Path("d/f")
    assert (out / "hard").stat().st_ino == (out / "d" / "f").stat().st_ino


def test_a_file_is_exported(site: Site, context: Path, tmp_path: Path) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"x" * 100_000
        yield b"end"

    async def send(job: Job) -> None:
        await send_bytes(job.session, chunks(), 0, {"containerimage.digest": DIGEST})

    site.builder.export_action = send
    site.docker("build", "-q", "--output", f"type=oci,dest={tmp_path / 'out.tar'}", context)
    assert (tmp_path / "out.tar").read_bytes() == b"x" * 100_000 + b"end"
    assert not tarfile.is_tarfile(tmp_path / "out.tar")


def test_a_client_that_leaves_cancels_its_build(site: Site, context: Path) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: BuildRequest) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    site.builder.action = hang
    env = {**os.environ, "DOCKER_HOST": f"unix://{site.running.path}", "DOCKER_CONFIG": str(docker_config())}
    with subprocess.Popen(
        [docker_cli(), "build", context], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as client:
        wait_until(begun.is_set)
        client.send_signal(signal.SIGKILL)
        client.wait(HANG_S)
    # The CLI's plugin is a process of its own and ends with its parent's socket.
    wait_until(cancelled.is_set)
    wait_until(lambda: not site.running.server.connections)
    assert not site.builder.exported


def test_the_cache_s_usage_and_prune(site: Site) -> None:
    assert re.search(r"one\s+true|one\s+false", site.docker("buildx", "du").stdout)
    pruned = site.docker("buildx", "prune", "-f", "--all", "--filter", "until=24h").stdout
    assert "Total:\t3MB" in pruned
    [request] = site.builder.pruned
    assert (request.all, request.keepDuration) == (True, 24 * 3600 * 10**9)


def test_workers_are_listed(site: Site) -> None:
    shown = site.docker("buildx", "inspect").stdout
    assert "BuildKit version: v0.13.2" in shown
    assert re.search(r"org\.mobyproject\.buildkit\.worker\.snapshotter: +overlayfs\n", shown)
    assert "Platforms:" in shown


async def _listed(site: Site) -> list[pb.BuildHistoryEvent]:
    async with Channel(path=str(site.running.path)) as channel:  # HTTP/2 from the first byte
        request = channel.request(
            "/moby.buildkit.v1.Control/ListenBuildHistory",
            Cardinality.UNARY_STREAM,
            pb.BuildHistoryRequest,
            pb.BuildHistoryEvent,
        )
        async with request as stream:
            await stream.send_message(pb.BuildHistoryRequest(EarlyExit=True), end=True)
            return [event async for event in stream]


async def _reports(site: Site, ref: str) -> list[pb.StatusResponse]:
    async with Channel(path=str(site.running.path)) as channel:
        request = channel.request(
            "/moby.buildkit.v1.Control/Status", Cardinality.UNARY_STREAM, pb.StatusRequest, pb.StatusResponse
        )
        async with request as stream:
            await stream.send_message(pb.StatusRequest(Ref=ref), end=True)
            return [event async for event in stream]


def test_finished_builds_are_in_the_history(site: Site, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmagent.buildkit.jobs.REPORTS_KEPT_S", 0)  # they are read from the disk
    site.docker("build", "-q", context)
    [event] = asyncio.run(_listed(site))
    assert event.type == pb.HISTORY_COMPLETE
    assert event.record.Frontend == "dockerfile.v0"
    assert event.record.ExporterResponse["containerimage.digest"] == DIGEST
    assert (event.record.numTotalSteps, event.record.numCompletedSteps, event.record.numWarnings) == (2, 2, 1)
    [replayed] = asyncio.run(_reports(site, event.record.Ref))
    assert [log.msg for log in replayed.logs] == [b"hello\n"]


@pytest.mark.logs("build_history.not_saved")
def test_a_client_that_asks_late_gets_the_reports_of_a_build_without_a_record(site: Site, context: Path) -> None:
    site.docker("buildx", "du")  # makes the folder
    history = site.folder / "history"
    history.rmdir()
    history.touch()  # nothing can be saved there
    site.docker("build", "-q", context)
    [event] = asyncio.run(_listed(site))
    [reports] = asyncio.run(_reports(site, event.record.Ref))
    assert [log.msg for log in reports.logs] == [b"hello\n"]


@pytest.mark.logs("buildkit.unavailable")
@pytest.mark.parametrize("error", [OSError("disk full"), Unavailable("the engine is stopping")])
def test_a_connection_is_closed_where_the_wire_cannot_be_made(site: Site, error: Exception) -> None:
    async def fail() -> BuildKit:
        raise error

    async def route() -> None:
        site.running.server.http2 = BuildKitWire(fail).protocol

    site.running.call(route())
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(HANG_S)
        client.connect(str(site.running.path))
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert client.recv(1) == b""
