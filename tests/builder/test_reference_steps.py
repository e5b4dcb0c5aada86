"""Statements of the Dockerfile reference about what steps do, by buildx (tests/dockerfile/statements.py lists them)."""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import zstandard

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.serving import serving
from tests.support.waiting import wait_until

NAME = "cvt/stated"


class Steps:
    """Builds of texts in one folder. `build` gives what the client wrote, `fail` the same of one that failed."""

    def __init__(self, engine: NativeEngine, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def _run(self, text: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        (self.folder / "Dockerfile").write_text(text)
        return self.engine.buildx("build", "--progress=plain", "-t", NAME, *args, self.folder, check=False)

    def build(self, text: str, *args: str | Path) -> str:
        done = self._run(text, *args)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def fail(self, text: str, *args: str | Path) -> str:
        done = self._run(text, *args)
        assert done.returncode, done.stderr
        return done.stderr

    def sh(self, script: str) -> str:
        """What a shell in the built image prints, by its own user."""
        return self.engine.docker("run", "--rm", "--network", "none", NAME, "sh", "-c", script).stdout


@pytest.fixture
def steps(engine: NativeEngine, tmp_path: Path) -> Steps:
    folder = tmp_path / "context"
    folder.mkdir()
    return Steps(engine, folder)


def cached(output: str, step: str) -> bool:
    """Whether the step that begins with these words came from the cache."""
    [number] = re.findall(rf"^#(\d+) \[[^\]]*\] {re.escape(step)}", output, re.M)[:1]
    return re.search(rf"^#{number} CACHED$", output, re.M) is not None


def test_a_base_without_a_tag_and_a_command_that_is_not_executed(steps: Steps) -> None:
    steps.build("FROM busybox\nCMD exit 9\n")
    steps.build("FROM busybox:latest\n")
    assert "busybox:nosuchtag" in steps.fail("FROM busybox:nosuchtag\n")


def test_a_cache_s_defaults(steps: Steps) -> None:
    """Its id is its target, its folder 0755 of root; it outlives the build, and its content is in no key."""
    file = (
        "FROM busybox\nRUN --mount=type=cache,target=/stated stat -c '%a %u:%g' /stated >/s && echo x >>/stated/n\n"
        "RUN --mount=type=cache,id=/stated,target=/other wc -l </other/n >/n\n"
    )
    steps.build(file)
    assert steps.sh("cat /s /n") == "755 0:0\n1\n"
    again = steps.build(file)
    assert cached(again, "RUN --mount=type=cache,target=/stated")
    steps.build(file + "RUN --mount=type=cache,id=/stated,target=/o cat /o/n >/m\n")
    assert steps.sh("cat /m") == "x\n"


def test_the_sharing_of_a_cache(steps: Steps) -> None:
    """Two stages that wait for each other in a shared one: each has a private one, and a locked one alone."""
    waits = "for i in $(seq 3000); do test -e /r/{1} && break; sleep 0.02; done; test -e /r/{1}"
    stage = (
        "FROM busybox AS {0}\nRUN --mount=type=cache,id=r,target=/r --mount=type=cache,id=p,target=/p,sharing=private "
        f"touch /p/{{0}} /r/{{0}}; {waits} && ls /p >/{{0}}\n"
        "RUN --mount=type=cache,id=l,target=/l,sharing=locked mkdir /l/busy && sleep 0.2 && rmdir /l/busy\n"
    )
    steps.build(
        f"{stage.format('a', 'b')}{stage.format('b', 'a')}FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    assert steps.sh("cat /a /b") == "a\nb\n"


def test_a_secret_s_defaults(steps: Steps, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hush")
    with_secret = ("--secret", f"id=s,src={tmp_path / 's'}")
    steps.build(
        "FROM busybox\nRUN --mount=type=secret,id=s stat -c '%n %a %u:%g' /run/secrets/s >/a\n"
        "RUN --mount=type=secret,target=/x/s cat /x/s >/b\n"
        'RUN --mount=type=secret,id=s,env=S test ! -e /run/secrets/s && echo "$S" >/c\n'
        "RUN --mount=type=secret,id=missing test ! -e /run/secrets/missing\n",
        *with_secret,
    )
    assert steps.sh("cat /a /b /c") == "/run/secrets/s 400 0:0\nhushhush\n"
    said = steps.fail("FROM busybox\nRUN --mount=type=secret,id=missing,required true\n", *with_secret)
    assert "secret missing: not found" in said


def test_an_agent_s_defaults(steps: Steps, tmp_path: Path) -> None:
    agent_socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent_socket], stdout=subprocess.DEVNULL) as agent:
        try:
            wait_until(agent_socket.exists)
            steps.build(
                "FROM busybox\nRUN --mount=type=ssh stat -c '%n %a %F' $SSH_AUTH_SOCK >/a\n",
                *("--ssh", f"default={agent_socket}"),
            )
        finally:
            agent.terminate()
            agent.wait(HANG_S)
    assert steps.sh("cat /a") == "/run/buildkit/ssh_agent.0 600 socket\n"


def test_only_a_step_s_file_system_is_never_flushed_by_itself(steps: Steps) -> None:
    """overlayfs, "Volatile mount": a container's fsync(2) reaches the disk, a step's files are flushed as a layer."""
    shown = "(grep -o volatile /proc/mounts || echo flushed)"
    steps.build(f"FROM busybox\nRUN {shown} >/a\n")
    assert steps.sh(f"cat /a; {shown}") == "volatile\nflushed\n"


def test_networks_and_privileges_of_run(steps: Steps) -> None:
    steps.build("FROM busybox\nRUN --network=none ls /sys/class/net >/n\n")
    assert steps.sh("cat /n") == "lo\n"
    host = "FROM busybox\nRUN --network=host cat /proc/self/net/unix | wc -l >/n\n"
    assert "network.host" in steps.fail(host)
    steps.build(host, "--allow", "network.host")
    privileged = "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status >/c\n"
    assert "security.insecure" in steps.fail(privileged)
    steps.build(privileged, "--allow", "security.insecure")
    own = steps.sh("cat /c; grep CapEff /proc/self/status").split()
    assert int(own[1], 16).bit_count() > int(own[3], 16).bit_count()


def test_a_device_that_is_not_there(steps: Steps) -> None:
    """A step runs without one that it does not require: no entitlement matters where no device is registered."""
    steps.build("FROM busybox\nRUN --device=vendor.com/gpu true\n")
    said = steps.fail("FROM busybox\nRUN --device=vendor.com/gpu,required true\n")
    assert 'required device "vendor.com/gpu" is not registered' in said


def test_where_files_and_folders_may_be_copied_to(steps: Steps) -> None:
    for name in ("a", "b", "d/sub/f"):
        (steps.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (steps.folder / name).write_text(name)
    (steps.folder / "d").chmod(0o750)
    (steps.folder / "d" / "sub").chmod(0o711)
    (steps.folder / "a").chmod(0o640)
    steps.build("FROM busybox\nCOPY a b /both\n")  # as docker's BuildKit; its classic builder refuses that
    assert steps.sh("cat /both") == "b"
    steps.build("FROM busybox\nRUN mkdir -p /there/sub && echo k >/there/sub/kept\nCOPY a /there/\nCOPY d /there\n")
    assert steps.sh("cd /there; stat -c '%a' a sub; ls sub") == "640\n711\nf\nkept\n"
    for line in ("RUN mkdir -p /d/a\nCOPY a /d/", "RUN echo >/f\nCOPY d /f"):
        assert "cannot" in steps.fail(f"FROM busybox\n{line}\n")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A URL of files, and their folder."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}", folder


def test_archives_and_downloads_of_add(steps: Steps, served: tuple[str, Path]) -> None:
    url, folder = served
    (folder / "f").write_text("packed")
    with tarfile.open(folder / "x.tar", "w") as tar:
        tar.add(folder / "f", "f")
    (steps.folder / "no-suffix").write_bytes(zstandard.compress((folder / "x.tar").read_bytes()))
    steps.build(
        "FROM busybox\nADD no-suffix /z/\nADD --unpack=false no-suffix /kept/\nADD --unpack=true "
        f"{url}/x.tar /u/\nADD {url}/x.tar /d/\nADD {url}/f /named\n"
    )
    times = int((folder / "f").stat().st_mtime)
    assert steps.sh("cat /z/f /u/f; ls /kept /d; stat -c '%a %Y' /named").split() == [
        *("packedpacked/d:", "x.tar", "/kept:", "no-suffix", "600", str(times))
    ]


def test_copy_with_link(steps: Steps) -> None:
    (steps.folder / "f").write_text("f")
    said = steps.fail("FROM busybox\nCOPY --link --chown=user f /f\n")
    assert said.endswith("no matching entries in passwd file\n"), said
    last = "RUN mkdir /real{0} && ln -s /real{0} /link\nCOPY --link --chown=7:8 f /link/f\n"
    steps.build("FROM busybox\n" + last.format(1))
    assert steps.sh("ls -A /real1; stat -c '%F %u:%g' /link /link/f") == "directory 7:8\nregular file 7:8\n"
    assert cached(steps.build("FROM busybox\n" + last.format(2)), "COPY --link")


def test_users_and_folders_hold_from_their_line_on(steps: Steps) -> None:
    (steps.folder / "f").write_text("f")
    (steps.folder / "a.tar").write_bytes(b"")
    steps.build(
        "FROM busybox\nWORKDIR /made/here\nCOPY f here1\nADD f here2\nRUN pwd >/tmp/pwd\n"
        "USER 77\nRUN id -u >/tmp/u; id -g >/tmp/g\nUSER user:staff\nRUN id -G >/tmp/groups\nCMD id -u; pwd\n"
    )
    assert steps.sh("ls; cat /tmp/pwd /tmp/u /tmp/g /tmp/groups") == "here1\nhere2\n/made/here\n77\n0\n50\n"
    assert steps.engine.docker("run", "--rm", NAME).stdout == "1000\n/made/here\n"
    steps.build("FROM busybox\nWORKDIR /w\nUSER user\nENTRYPOINT id -u; pwd\n")
    assert steps.engine.docker("run", "--rm", NAME).stdout == "1000\n/w\n"


def test_which_arguments_are_in_a_step_s_key(steps: Steps) -> None:
    plain = "FROM busybox\nRUN echo first\nARG V\nRUN echo second\n"
    steps.build(plain, "--build-arg", "V=1", "--build-arg", "HTTP_PROXY=http://one")
    proxy = steps.build(plain, "--build-arg", "V=1", "--build-arg", "HTTP_PROXY=http://two")
    assert cached(proxy, "RUN echo second")
    changed = steps.build(plain, "--build-arg", "V=2")
    assert cached(changed, "RUN echo first")
    assert not cached(changed, "RUN echo second")
    declared = "FROM busybox\nARG HTTP_PROXY\nRUN echo declared\n"
    steps.build(declared, "--build-arg", "HTTP_PROXY=http://one")
    assert not cached(steps.build(declared, "--build-arg", "HTTP_PROXY=http://two"), "RUN echo declared")


def test_arguments_that_steer_the_build(steps: Steps) -> None:
    steps.build("FROM busybox\nRUN echo >/f\n", "--build-arg", "SOURCE_DATE_EPOCH=1000")
    assert steps.sh("stat -c %Y /f") == "1000\n"
    said = steps.fail("FROM busybox\nCOPY --frm=x a /\n", "--build-arg", "BUILDKIT_SYNTAX=docker/dockerfile:1")
    assert "unknown flag: --frm" in said
    checks = "FROM busybox as b\n"
    said = steps.fail(checks, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true")
    assert "lint violation found" in said
