"""The command that Overview offers to copy makes the same container again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop.ui.containers.same_command import same_command
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

NAME = "ui-same"
IMAGE = "ui-own:1"
SAYS = ("ENV GREETING=hello", 'CMD ["sleep", "1000"]', "LABEL made.by=image", "WORKDIR /tmp", "EXPOSE 81", "USER user")
PLAIN = ("busybox", "sleep", "1000")


@pytest.fixture(scope="module")
def own_image(engine: NativeEngine, busybox_tar: Path) -> Iterator[str]:
    """A test image with its own variables, command, labels, working directory, port and user."""
    changes = [word for change in ("ENV PATH=/bin", *SAYS) for word in ("-c", change)]
    engine.docker("import", *changes, str(busybox_tar), IMAGE)
    yield IMAGE
    engine.docker("rmi", IMAGE)


def inspected(engine: NativeEngine) -> dict[str, object]:
    """The options of the container by field, without empty values and values that come from the client or the id."""
    data: dict[str, Any] = json.loads(engine.docker("inspect", NAME).stdout)[0]
    fields = {**data["Config"], **{f"HostConfig.{key}": value for key, value in data["HostConfig"].items()}}
    fields["Hostname"] = fields["Hostname"].replace(data["Id"][:12], "")
    del fields["HostConfig.ConsoleSize"]
    fields["Env"], fields["HostConfig.CapAdd"] = sorted(fields["Env"]), sorted(fields["HostConfig.CapAdd"] or ())
    return {
        key: value for key, value in sorted(fields.items()) if value and value != -1
    }  # the docker CLI sends -1 for "not set"


@pytest.mark.parametrize(
    ("flags", "command"),
    [
        (("-p", "127.0.0.1:18091:8080", "-p", "127.0.0.1::53/udp", "-p", "18092:80", "--expose", "99"), PLAIN),
        (("-i", "-t"), ("busybox", "sh")),
        (
            ("-l", "a=b c", "-l", "com.docker.compose.project=p", "--hostname", "h", "-u", "1000:50", "-w", "/var"),
            PLAIN,
        ),
        ((), (IMAGE,)),
        (("-e", "A=x y", "-e", "GREETING=hello", "-e", "PATH=/bin:/x", "-l", "made.by=image", "-l", "n=1"), (IMAGE,)),
        (("-u", "root", "-w", "/"), (IMAGE, "sleep", "999")),
        (("--entrypoint", "sleep"), (IMAGE, "1000")),
        (("--entrypoint", ""), (IMAGE, "sh", "-c", "sleep 1000; echo 'it''s'")),
        (("-v", "/ui-anonymous", "--tmpfs", "/ui:size=1m", "--mount", "type=tmpfs,dst=/m,tmpfs-size=4096"), PLAIN),
        (("-m", "64m", "--memory-swap", "96m", "--cpus", "0.25", "--pids-limit", "50", "--shm-size", "1m"), PLAIN),
        (("--cap-drop", "ALL", "--cap-add", "KILL", "--read-only", "--init", "--ulimit", "nofile=64:128"), PLAIN),
        (("--restart", "on-failure:3", "--stop-signal", "INT", "--stop-timeout", "3"), PLAIN),
        (("--rm", "--network", "none", "--dns", "1.1.1.1", "--add-host", "x:10.0.0.1", "--group-add", "50"), PLAIN),
        (("--health-cmd", "true || false", "--health-interval", "90s", "--health-retries", "5"), PLAIN),
        (
            ("--log-opt", "max-size=1m", "--security-opt", "no-new-privileges", "--sysctl", "net.ipv4.ip_forward=0"),
            PLAIN,
        ),
        (
            (
                *("--mount", "type=bind,src=/usr,dst=/u,readonly,bind-recursive=writable"),
                *("--mount", "type=bind,src=/etc,dst=/e,bind-recursive=disabled"),
                *("--mount", "type=bind,src=/opt,dst=/o,ro,bind-propagation=rprivate,bind-recursive=readonly"),
            ),
            PLAIN,
        ),
        (("--device-read-bps", "/dev/loop0:1mb", "--device-write-iops", "/dev/loop0:50"), PLAIN),
        (("--pid", "host", "--ipc", "none", "--cgroupns", "host", "--oom-score-adj", "5", "--cpu-shares", "99"), PLAIN),
    ],
)
def test_the_copied_command_makes_the_same_container(
    engine: NativeEngine, named: Callable[..., str], own_image: str, flags: tuple[str, ...], command: tuple[str, ...]
) -> None:
    named(NAME)  # removes it after the test
    engine.docker("rm", "-f", NAME)
    engine.docker("run", "-d", "--name", NAME, *flags, *command)
    with engine.client() as client:
        data = client.inspect(NAME)
        words = same_command(data, client.image_inspect(data["Image"])["Config"])
    before = inspected(engine)
    engine.docker("rm", "-f", "-v", NAME)
    engine.shell(f"{Path(sys.executable).parent}/{' '.join(words)}")
    assert inspected(engine) == before


def test_an_attached_container_is_not_run_in_the_background(engine: NativeEngine, named: Callable[..., str]) -> None:
    named(NAME)
    engine.docker("rm", "-f", NAME)
    engine.docker("create", "-it", "--name", NAME, "busybox", "sh")
    with engine.client() as client:
        data = client.inspect(NAME)
        words = same_command(data, client.image_inspect(data["Image"])["Config"])
    assert words == ["cove run", "-it", f"--name {NAME}", "busybox"]


def test_the_window_offers_it(engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]) -> None:
    flags = ("-it", "-p", "127.0.0.1:18093:8080", "-l", "a=b")
    named(NAME, "sh", flags=flags)
    window = open_window(engine)
    window.containers.wait_until_says(NAME, "running")
    page = window.open_container(NAME, "overview")
    copied = page.copied_command(f"--name {NAME}")
    assert copied == [
        *("cove", "run", "-d", "-it", "--name", NAME, "--label", "a=b", "-p", "127.0.0.1:18093:8080", "busybox")
    ]
