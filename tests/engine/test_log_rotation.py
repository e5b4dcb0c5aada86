"""--log-opt max-size and max-file, with the real docker CLI: kept lines, followers, refused values."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.supervisor.test_whole_engine import kill
from tests.support.engine import NativeEngine, native_engine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli
from vmagent.containers.logconfig import DEFAULT, checked, limits
from vmagent.errors import BadRequest, EngineError

IMAGE = "busybox:latest"
LIMITED = ("--network", "none", "--log-opt", "max-size=10k", "--log-opt", "max-file=3")


def inspect(engine: NativeEngine, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(engine.docker("inspect", name).stdout)[0]
    return told


def files(engine: NativeEngine, name: str) -> list[Path]:
    path = Path(inspect(engine, name)["LogPath"])
    assert path.exists()
    return [*path.parent.glob("log.*")]


@pytest.mark.parametrize("tty", [(), ("-t",)])
def test_a_log_with_limits_keeps_its_end(engine: NativeEngine, tty: tuple[str, ...]) -> None:
    engine.docker("run", "-d", "--name", "limited", *tty, *LIMITED, IMAGE, "seq", "1", "20000")
    try:
        engine.docker("wait", "limited")
        kept = engine.docker("logs", "limited").stdout.split()
        assert kept == [str(number) for number in range(int(kept[0]), 20_001)]
        assert 600 < len(kept) < 5100  # its index counts: a line with a record of its own takes 31 bytes, not 7
        assert engine.docker("logs", "--tail", "7", "limited").stdout.split() == kept[-7:]
        stamped = [line.split() for line in engine.docker("logs", "-t", "limited").stdout.splitlines()]
        since, line = stamped[-10]
        assert line in engine.docker("logs", "--since", since, "limited").stdout.split()
        config = inspect(engine, "limited")["HostConfig"]["LogConfig"]
        assert config == {"Type": "json-file", "Config": {"max-size": "10k", "max-file": "3"}}
        assert sum(path.stat().st_size for path in files(engine, "limited")) <= 30_000
        engine.docker("start", "limited")
        engine.docker("wait", "limited")
        kept = engine.docker("logs", "limited").stdout.split()
        assert kept == [str(number) for number in range(int(kept[0]), 20_001)]
    finally:
        engine.docker("rm", "-f", "limited")


def test_who_is_attached_gets_all_of_it_and_leaves_no_more_than_the_limit(engine: NativeEngine) -> None:
    try:
        run = engine.docker("run", "--name", "attached", *LIMITED, IMAGE, "seq", "1", "100000")
        assert run.stdout.split() == [str(number) for number in range(1, 100_001)]
        kept = engine.docker("logs", "attached").stdout.split()
        assert kept == [str(number) for number in range(int(kept[0]), 100_001)]
        assert len(kept) < 5100
        assert sum(path.stat().st_size for path in files(engine, "attached")) <= 30_000
    finally:
        engine.docker("rm", "-f", "attached")


def test_a_follower_goes_over_rotations_while_the_supervisor_is_killed(own_engine: NativeEngine) -> None:
    """Both streams, each line once and in order: 150 KB through files of 10 kB, by a client that lags behind."""
    engine = own_engine
    script = (
        "until test -e /go; do usleep 10000; done; i=0; "
        "while [ $i -lt 6000 ]; do i=$((i+1)); echo out $i; echo err $i >&2; done; exit 5"
    )
    engine.docker("run", "-d", "--name", "told", *LIMITED, IMAGE, "sh", "-c", script)
    command: list[str | Path] = [docker_cli(), "-H", engine.host, "logs", "-f", "told"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        engine.docker("exec", "told", "touch", "/go")
        for _ in range(5):
            kill(engine, "cove-supervisor")
        out, err = follower.communicate(timeout=HANG_S)
    assert engine.docker("wait", "told").stdout == "5\n"
    assert out.splitlines() == [b"out %d" % number for number in range(1, 6001)]
    assert err.splitlines() == [b"err %d" % number for number in range(1, 6001)]
    kept = engine.docker("logs", "told")
    lines = [*kept.stdout.splitlines(), *kept.stderr.splitlines()]
    assert 1000 < len(lines) < 5000
    for text, stream in ((kept.stdout, "out"), (kept.stderr, "err")):
        count = len(text.splitlines())
        assert text.splitlines() == [f"{stream} {number}" for number in range(6001 - count, 6001)]
    engine.docker("rm", "told")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["max-size=x"], "failed to initialize logging driver: invalid size: 'x'"),
        (["max-size=0"], "failed to initialize logging driver: max-size must be a positive number"),
        (["max-file=0"], "failed to initialize logging driver: max-file cannot be less than 1"),
        (["max-file=x"], 'failed to initialize logging driver: strconv.Atoi: parsing "x": invalid syntax'),
        (["compress=1", "max-size=1m"], "compress cannot be true when max-file is less than 2 or max-size is not set"),
        (["x=1"], "unknown log opt 'x' for json-file log driver"),
    ],
)
def test_bad_options_are_refused_in_dockerd_s_words(engine: NativeEngine, options: list[str], says: str) -> None:
    flags = [word for option in options for word in ("--log-opt", option)]
    done = engine.docker("run", "--rm", "--network", "none", *flags, IMAGE, "true", check=False)
    assert done.returncode == 125
    assert says in done.stderr


def test_names_of_options_are_refused_at_create_and_values_at_start(engine: NativeEngine) -> None:
    with contextlib.closing(docker.APIClient(base_url=engine.host, version="1.41")) as client:
        log = {"Type": "json-file", "Config": {"x": "1"}}
        with pytest.raises(docker.errors.APIError, match="unknown log opt 'x' for json-file log driver") as refused:
            client.create_container(IMAGE, "true", host_config={"LogConfig": log})
        assert refused.value.response.status_code == 400
    engine.docker("create", "--name", "bad", "--log-opt", "max-size=x", IMAGE, "true")
    try:
        done = engine.docker("start", "bad", check=False)
        assert "failed to initialize logging driver: invalid size: 'x'" in done.stderr
        state = inspect(engine, "bad")["State"]
        assert (state["Status"], state["ExitCode"]) == ("created", 128)
        assert state["Error"] == "failed to initialize logging driver: invalid size: 'x'"
    finally:
        engine.docker("rm", "bad")


@pytest.mark.parametrize(
    ("driver", "options", "result"),
    [
        ("json-file", {}, None),
        ("json-file", {"max-file": "3"}, None),  # docker accepts it, but without max-size no file is ever full
        ("json-file", {"max-size": "10k"}, (10_000, 1)),
        ("json-file", {"max-size": "1.5 MiB", "max-file": "+2", "compress": "T"}, (1_500_000, 2)),
        ("json-file", {"max-size": "9" * 20 + "g"}, "max-size must be a positive number"),
        ("json-file", {"max-size": ""}, "invalid size: ''"),
        ("json-file", {"max-size": "1k", "max-file": "-2"}, "max-file cannot be less than 1"),
        ("json-file", {"compress": "maybe"}, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        ("local", {}, (20 << 20, 5)),
        ("local", {"max-size": "0", "mode": "non-blocking"}, (0, 5)),
        ("local", {"max-file": "0"}, "compression cannot be enabled when max file count is 1"),
        ("local", {"max-file": "1", "compress": "false"}, (20 << 20, 1)),
        ("local", {"max-file": "x"}, 'invalid value for max-file: x: strconv.Atoi: parsing "x": invalid syntax'),
        ("local", {"max-size": "-1"}, "invalid value for max-size: -1: invalid size: '-1'"),
        ("local", {"tag": "x"}, "unknown log opt 'tag' for log driver local"),
        ("json-file", {"mode": "foo"}, "logger: logging mode not supported: foo"),
        ("json-file", {"max-buffer-size": "4m"}, "max-buffer-size option is only supported with 'mode=non-blocking'"),
    ],
)
def test_options_mean_what_they_mean_to_dockerd(driver: str, options: dict[str, str], result: object) -> None:
    if isinstance(result, str):
        with pytest.raises((BadRequest, EngineError), match=re.escape(result)) as refused:
            limits(checked({"Type": driver, "Config": options}, DEFAULT))
        assert str(refused.value).endswith(result)
    else:
        assert limits(checked({"Type": driver, "Config": options}, DEFAULT)) == result


def test_the_agent_s_own_options_count_where_a_container_says_nothing(busybox_tar: Path) -> None:
    with native_engine("--log-opt", "max-size=5m", "--log-opt", "max-file=2") as engine:
        engine.docker("import", str(busybox_tar), IMAGE)
        assert engine.docker("info", "-f", "{{.LoggingDriver}}").stdout == "json-file\n"
        for flags, config in (
            ([], {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "2"}}),
            (["--log-opt", "max-file=9"], {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "9"}}),
            (["--log-driver", "local"], {"Type": "local", "Config": {}}),
        ):
            made = engine.docker("create", *flags, IMAGE, "true").stdout.strip()
            assert inspect(engine, made)["HostConfig"]["LogConfig"] == config
            engine.docker("rm", made)
    unable = NativeEngine("--log-opt", "foo=1")
    with pytest.raises(AssertionError, match="failed to set log opts: unknown log opt 'foo' for json-file log driver"):
        unable.start()
    assert unable.process is not None
    assert unable.process.wait(HANG_S) == 1
    shutil.rmtree(unable.root)
