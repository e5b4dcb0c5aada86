"""What users do with the real `docker` and with `cove`, as checks that run against any engine: native or in the VM."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.engine import run
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli

LIMIT_S = HANG_S


@dataclass(frozen=True)
class Client:
    """One command-line program and the engine it talks to."""

    name: str
    program: Path
    environment: Mapping[str, str]

    def __call__(self, *args: str, check: bool = True, **kwargs: object) -> subprocess.CompletedProcess[str]:
        kwargs.setdefault("timeout", LIMIT_S)
        return run([self.program, *args], self.environment, check, **kwargs)

    def on_terminal(self, *args: str, keys: Sequence[tuple[str, str]] = (), rows: int = 33, columns: int = 77) -> str:
        """Run on a pseudo-terminal; for each (wait for this text, then type that). Returns all that was shown."""
        import fcntl
        import struct
        import termios

        pid, master = pty.fork()
        if pid == 0:
            os.environ.update(self.environment)
            os.execv(self.program, [str(self.program), *args])
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(pid, signal.SIGWINCH)
        shown, pending, deadline = "", list(keys), time.monotonic() + LIMIT_S
        try:
            while True:
                ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
                assert ready, f"{self.name} {' '.join(args)} did not end; it showed:\n{shown}"
                try:
                    data = os.read(master, 65536)
                except OSError:  # EIO: the last process on the terminal has ended
                    break
                if not data:
                    break
                shown += data.decode(errors="replace")
                while pending and pending[0][0] in shown:
                    os.write(master, pending.pop(0)[1].encode())
        finally:
            os.close(master)
            _, status = os.waitpid(pid, 0)
        return f"{shown}\nrc={os.waitstatus_to_exitcode(status)}"


def docker_of(host: str) -> Client:
    return Client("docker", docker_cli(), {"DOCKER_HOST": host, "DOCKER_CLI_HINTS": "false"})


def cove_of(host: str) -> Client:
    return Client("cove", Path(sys.executable).with_name("cove"), {"COVE_HOST": host})


def pulls_and_runs(client: Client, reference: str) -> None:
    """A missing image is pulled by `pull`, and by `run` where it is missing again."""
    pulled = client("pull", reference)
    assert "Downloaded newer image" in pulled.stdout + pulled.stderr
    again = client("pull", reference)
    assert "Image is up to date" in again.stdout + again.stderr
    assert client("run", "--rm", reference, "echo", "hi").stdout == "hi\n"
    client("rmi", "-f", reference)
    ran = client("run", "--rm", reference, "echo", "hi")
    assert ran.stdout.endswith("hi\n")
    assert reference.rpartition("/")[0] in client("images").stdout


def streams_are_the_process_s(client: Client, image: str) -> None:
    """The process sees the end of its stdin; stdout and stderr arrive separately, and so does the exit status."""
    done = client("run", "--rm", "-i", image, "sh", "-c", "cat; echo err >&2; exit 42", input="abc\n", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("abc\n", "err\n", 42)


def a_terminal_has_the_size_of_the_screen(client: Client, image: str) -> None:
    shown = client.on_terminal(
        "run", "--rm", "-it", image, "sh", keys=[("# ", "tty; stty size; exit 3\n"), ("33 77", "")]
    )
    assert "/dev/pts/0" in shown
    assert "33 77" in shown
    assert shown.endswith("rc=3")


def the_life_of_a_container(client: Client, image: str, name: str) -> None:
    """create and start detached, ps, exec, logs -f, inspect, stop, rm -f."""
    script = "echo one; trap 'echo bye; exit 5' TERM; while :; do sleep 0.05; done"
    made = client("run", "-d", "--name", name, image, "sh", "-c", script).stdout.strip()
    assert len(made) == 64
    assert name in client("ps").stdout
    assert client("exec", name, "echo", "inside").stdout == "inside\n"
    assert client("exec", name, "sh", "-c", "exit 9", check=False).returncode == 9
    assert client("exec", "-i", name, "cat", input="zz").stdout == "zz"
    shown = json.loads(client("inspect", name).stdout)[0]
    assert shown["Id"] == made
    assert shown["State"]["Running"] is True
    assert shown["State"]["Pid"] > 1
    with subprocess.Popen(
        [client.program, "logs", "-f", name],
        env={**os.environ, **client.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "one\n"
        client("stop", name)
        assert follower.stdout.read() == "bye\n"
        assert follower.wait(LIMIT_S) == 0
    assert client("wait", name).stdout.strip() == "5" if client.name == "docker" else True
    assert json.loads(client("inspect", name).stdout)[0]["State"]["ExitCode"] == 5
    client("start", name)
    refused = client("rm", name, check=False)
    assert refused.returncode == 1
    assert "running" in refused.stderr
    client("rm", "-f", name)
    assert name not in client("ps", "-a").stdout


def errors_are_one_line_with_docker_s_status(client: Client, image: str) -> None:
    for status, args in (
        (125, ("run", "--rm", "127.0.0.1:1/none/none", "true")),
        (125, ("run", "--rm", "BAD//reference", "true")),
        (127, ("run", "--rm", image, "nosuchcommand")),
        (126, ("run", "--rm", image, "/etc/passwd")),
        (1, ("inspect", "no-such-thing")),
        (1, ("logs", "no-such-thing")),
    ):
        done = client(*args, check=False)
        assert done.returncode == status, (args, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert 1 <= len([line for line in done.stderr.splitlines() if line.strip()]) <= 4, done.stderr
