"""`cove` on a real terminal against the native engine: size, keys, signals, detaching, steps and bars."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.cli.terminal import DetachKeys, parse_detach_keys
from tests.support.clients import Client, cove_of
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

IMAGE = "busybox:latest"
NAME = "cvt-terminal"


@pytest.fixture
def cove(engine: NativeEngine) -> Iterator[Client]:
    yield cove_of(engine.host)
    engine.docker("rm", "-f", NAME, check=False)


def test_detach_keys_are_found_at_every_cut_and_only_whole() -> None:
    keys = parse_detach_keys("ctrl-p,ctrl-q")
    assert keys == b"\x10\x11"
    assert parse_detach_keys("a,ctrl-],@") == b"a\x1d@"
    typed = b"ab\x10c\x10\x10\x11rest"
    for cut in range(len(typed) + 1):
        watch = DetachKeys(keys)
        first, done = watch.pass_on(typed[:cut])
        second, done_later = (b"", False) if done else watch.pass_on(typed[cut:])
        assert (first + second, done or done_later) == (b"ab\x10c\x10", True)
    for bad in ("", "ctrl-", "ctrl-1", "ab"):
        with pytest.raises(ValueError, match="Unknown character"):
            parse_detach_keys(bad)


def test_ctrl_c_reaches_the_process_in_the_container(cove: Client) -> None:
    script = "trap 'echo got; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    for flags in (("-it",), ()):
        shown = cove.on_terminal("run", "--rm", *flags, IMAGE, "sh", "-c", script, keys=[("ready", "\x03")])
        assert "got" in shown
        assert shown.endswith("rc=7")


def test_detaching_leaves_the_container_running_and_attaching_comes_back(cove: Client) -> None:
    shown = cove.on_terminal("run", "-it", "--name", NAME, IMAGE, "sh", keys=[("# ", "\x10\x11")])
    assert shown.endswith("rc=0")
    assert NAME in cove("ps").stdout
    shown = cove.on_terminal(
        "attach", NAME, keys=[("# ", "stty size; echo $((40+2))\n"), ("42", "\x10\x11")], rows=21, columns=55
    )
    assert "21 55" in shown
    assert shown.endswith("read escape sequence\r\n\nrc=1")
    shown = cove.on_terminal("attach", NAME, keys=[("# ", "exit 5\n")])
    assert shown.endswith("rc=5")


def test_exec_has_a_terminal_of_our_size(cove: Client) -> None:
    cove("run", "-d", "--name", NAME, IMAGE, "sleep", "60")
    shown = cove.on_terminal("exec", "-it", NAME, "sh", keys=[("# ", "tty; stty size; exit 4\n")], rows=20, columns=50)
    assert "/dev/pts/" in shown
    assert "20 50" in shown
    assert shown.endswith("rc=4")


def test_sigterm_is_passed_on(cove: Client) -> None:
    script = "trap 'echo term; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [cove.program, "run", "--rm", "--name", NAME, IMAGE, "sh", "-c", script],
        env={**os.environ, **cove.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
        runner.send_signal(signal.SIGTERM)
        assert runner.stdout.read() == "term\n"
        assert runner.wait(HANG_S) == 7


def test_a_terminal_is_asked_for_where_the_container_wants_one(cove: Client) -> None:
    done = cove("run", "--rm", "-it", IMAGE, "true", check=False)
    assert (done.returncode, done.stderr) == (1, "the input device is not a TTY\n")


def test_a_reader_that_goes_ends_us_by_sigpipe(cove: Client) -> None:
    with subprocess.Popen(
        [cove.program, "run", "--rm", "--name", NAME, IMAGE, "yes"],
        env={**os.environ, **cove.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as runner:
        assert runner.stdout is not None
        assert runner.stderr is not None
        assert runner.stdout.read(4) == b"y\ny\n"
        runner.stdout.close()
        assert runner.wait(HANG_S) == -signal.SIGPIPE
        assert runner.stderr.read() == b""


def test_a_closed_or_full_output_is_no_traceback(cove: Client) -> None:
    for redirection, status in ((">&-", 0), (">/dev/full", 1)):
        for command in ("ps", f"run --rm {IMAGE} echo hi"):
            done = subprocess.run(
                f"{cove.program} {command} {redirection}",
                shell=True,
                env={**os.environ, **cove.environment},
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=HANG_S,
                check=False,
            )
            assert done.returncode == status, done.stderr
            assert len(done.stderr.splitlines()) == status


def test_stdin_s_end_reaches_the_process_after_fifty_megabytes(cove: Client) -> None:
    done = subprocess.run(
        [cove.program, "run", "--rm", "-i", IMAGE, "wc", "-c"],
        env={**os.environ, **cove.environment},
        input=bytes(50 << 20),
        capture_output=True,
        timeout=HANG_S,
        check=True,
    )
    assert done.stdout == b"52428800\n"


def test_a_missing_image_is_pulled_in_five_steps_with_bars(cove: Client, engine: NativeEngine, registry: str) -> None:
    reference = f"{registry}/cvt/steps:1"
    engine.docker("tag", IMAGE, reference)
    engine.docker("push", reference)
    engine.docker("rmi", "-f", reference)
    shown = cove.on_terminal("run", "--rm", reference, "echo", "hello there", columns=100)
    for step in ("1 look", "2 pull", "3 create", "4 mount", "5 start"):
        assert step in shown
    assert "hello there" in shown
    assert re.search("[0-9a-f]{12}  (Pull complete|Already exists)", shown)
    engine.docker("rmi", "-f", reference)
    piped = cove("run", "--rm", reference, "echo", "hi")
    assert piped.stdout == "hi\n"
    assert piped.stderr.startswith(f"Unable to find image '{reference}' locally\n")
    assert "\x1b" not in piped.stderr
    assert f"Status: Downloaded newer image for {reference}" in piped.stderr
    engine.docker("rmi", "-f", reference)
    assert cove("run", "--rm", "-q", reference, "echo", "hi").stderr == ""
    assert cove("run", "--rm", reference, "echo", "hi").stderr == ""
    engine.docker("rmi", "-f", reference)


def test_the_steps_are_plain_lines_when_piped(cove: Client) -> None:
    done = cove("run", "--rm", "--steps", IMAGE, "true")
    assert [line.split()[:2] for line in done.stderr.splitlines()] == [
        ["1", "look"],
        ["2", "pull"],
        ["3", "create"],
        ["4", "mount"],
        ["5", "start"],
    ]
    assert "ms" in done.stderr


def test_the_console_script_is_the_module(tmp_path: Path) -> None:
    for command in ([Path(sys.executable).with_name("cove")], [sys.executable, "-m", "desktop.cli.main"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=HANG_S, check=True)
        assert done.stdout.startswith("cove version ")
