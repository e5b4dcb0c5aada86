"""Rules of the engine that need no kernel: meaning of requests, docker's messages, restart policies."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from vmagent import durable
from vmagent.containers import records, shapes
from vmagent.containers.configure import complete, discard_unsupported, environment
from vmagent.containers.defaults import FilledHostConfig, plain
from vmagent.containers.hostfiles import extra_hosts, resolv_text
from vmagent.containers.live import Condition, Live
from vmagent.containers.model import (
    MOVES,
    Container,
    ContainerId,
    Event,
    MountKind,
    MountPoint,
    State,
    Status,
    after,
    rfc3339,
)
from vmagent.containers.mounts import requested_mounts
from vmagent.containers.names import Names, checked_name
from vmagent.containers.process import open_process
from vmagent.containers.restart import next_delay_s, should_restart, starts_with_the_engine
from vmagent.containers.security import effective_capabilities, parse_security
from vmagent.containers.spec import StartInputs, build_spec
from vmagent.engine import warming
from vmagent.errors import BadRequest, Conflict, NotFound
from vmagent.paths import DataRoot, ExecRoot
from vmagent.runtime import seccomp
from vmagent.runtime.plan import compile_plan
from vmagent.signals import signal_number

ID = ContainerId("ab" * 32)
IMAGE_CONFIG = {"Cmd": ["sh"], "Entrypoint": None, "Env": ["PATH=/bin", "A=image"], "Labels": {"i": "1"}}


def container(**body: Any) -> Container:
    asked = complete({"Image": "x", **body}, IMAGE_CONFIG, ID, api_version=(1, 44))
    return Container(
        id=ID,
        name="c",
        created_ns=1_700_000_000_000_000_001,
        image_id="sha256:" + "0" * 64,
        image_ref="x",
        platform="linux",
        argv=asked.argv,
        config=asked.config,
        host_config=asked.host_config,
        endpoints=asked.endpoints,
        mounts=[],
    )


@pytest.mark.spec("Engine API, ContainerCreate")
def test_a_request_is_completed_from_the_image_and_docker_s_defaults() -> None:
    made = container(Env=["A=own", "B=2"], Labels={"r": "2"})
    assert made.argv == ["sh"]
    assert made.config["Env"] == ["A=own", "B=2", "PATH=/bin"]
    assert made.config["Labels"] == {"i": "1", "r": "2"}
    assert made.config["Hostname"] == ID[:12]
    host = made.host_config
    assert host["NetworkMode"] == "bridge"
    assert host["ShmSize"] == 64 << 20
    assert host["Binds"] is None
    assert host["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert "HOSTNAME=" + ID[:12] in environment(made.config)


def test_a_record_keeps_no_more_than_differs_and_shows_all() -> None:
    given = {"Memory": 8 << 20, "Sysctls": {"a": "b"}, "Dns": [], "MemorySwap": -1}
    whole = complete({"Image": "x", "HostConfig": given}, IMAGE_CONFIG, ID, api_version=(1, 44)).host_config
    kept = FilledHostConfig(whole)
    assert list(plain(kept).items()) == list(whole.items())
    assert dict(kept) == whole
    assert FilledHostConfig(kept) == kept
    assert (kept["Memory"], kept.get("MemorySwap"), kept["ShmSize"]) == (8 << 20, -1, 64 << 20)
    assert kept.get("Init") is None
    with pytest.raises(KeyError):
        kept["Init"]
    assert sys.getsizeof(kept._values) < 100


def test_an_engine_that_was_warmed_has_nothing_to_compile_for_an_ordinary_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming.log, "warning", lambda *_, **said: pytest.fail(str(said)))
    seccomp._compile.cache_clear()
    warming.warm(DataRoot(tmp_path), ExecRoot(tmp_path))
    assert not list(tmp_path.iterdir())
    compiled = seccomp._compile.cache_info().misses
    assert compiled
    inputs = StartInputs(rootfs=tmp_path, host_files=tmp_path, cgroup_path="/c", own_network=True, pid_of={})
    compile_plan(build_spec(container(), inputs), container_id=ID, cgroup_path="/c", netns_fd=True)
    assert seccomp._compile.cache_info().misses == compiled


@pytest.mark.parametrize("mode", ["private", "none", "host"])
def test_nothing_is_mounted_twice_at_one_place(tmp_path: Path, mode: str) -> None:
    inputs = StartInputs(rootfs=tmp_path, host_files=tmp_path, cgroup_path="/c", own_network=True, pid_of={})
    spec = build_spec(container(HostConfig={"IpcMode": mode}), inputs)
    places = [mount["destination"] for mount in spec["mounts"]]
    assert len(set(places)) == len(places), places


def test_a_container_s_lock_admits_one_at_a_time_and_is_gone_afterwards() -> None:
    async def main() -> None:
        live = Live(container())
        inside: list[int] = []
        most = 0

        async def work(number: int) -> None:
            nonlocal most
            async with live.overlay, live.lock:
                inside.append(number)
                most = max(most, len(inside))
                await asyncio.sleep(0)
                inside.remove(number)

        tasks = [asyncio.ensure_future(work(number)) for number in range(5)]
        await asyncio.sleep(0)
        tasks[2].cancel()  # while it waits
        await asyncio.wait(tasks)
        assert most == 1
        assert sum(task.cancelled() for task in tasks) == 1
        assert live._lock is live._overlay is None

    asyncio.run(main())


def test_an_entrypoint_of_the_request_drops_the_image_s_command() -> None:
    image = {"Cmd": ["-c", "x"], "Entrypoint": ["/bin/sh"]}
    assert complete({"Entrypoint": ["/bin/echo"]}, image, ID, api_version=(1, 44)).argv == ["/bin/echo"]
    assert complete({"Cmd": ["-e"]}, image, ID, api_version=(1, 44)).argv == ["/bin/sh", "-e"]
    assert complete({"Entrypoint": [""], "Cmd": ["ls"]}, image, ID, api_version=(1, 44)).argv == ["ls"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}}, "AutoRemove"),
        ({"HostConfig": {"Memory": 1 << 20}}, "Minimum memory limit"),
        ({"HostConfig": {"NanoCpus": 1, "CpuQuota": 5}}, "Conflicting options"),
        ({"HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}, "unknown policy"),
        ({"HostConfig": {"LogConfig": {"Type": "splunk"}}}, "no log driver named 'splunk'"),
        ({"HostConfig": {"PidMode": "no"}}, "invalid PID mode"),
        ({"HostConfig": {"PortBindings": {"x/tcp": []}}}, "invalid port"),
        ({"WorkingDir": "relative"}, "absolute path"),
        ({"StopSignal": "SIGNOPE"}, "invalid signal"),
        ({"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}}, "cannot be less than 1ms"),
        ({"Env": ["=x"]}, "invalid environment variable"),
        ({"Cmd": {}}, "list of strings"),
    ],
)
def test_what_docker_refuses_is_refused_with_400(body: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        container(**body)


def test_mounts_of_all_forms_are_read_and_a_target_is_used_once() -> None:
    host = {
        **container().host_config,
        "Binds": ["/h:/a:ro", "vol:/b:nocopy"],
        "Mounts": [{"Type": "tmpfs", "Target": "/c"}],
    }
    found = requested_mounts({"Volumes": {"/d/e": {}, "/a": {}}}, host, lambda ref: container())
    assert [(m.kind, m.destination, m.writable) for m in found] == [
        (MountKind.BIND, "/a", False),
        (MountKind.VOLUME, "/b", True),
        (MountKind.TMPFS, "/c", True),
        (MountKind.VOLUME, "/d/e", True),
    ]
    assert found[3].anonymous
    assert not found[1].copy
    with pytest.raises(BadRequest, match="Duplicate mount point: /a"):
        requested_mounts({}, {**host, "Binds": ["/h:/a", "/i:/a/"]}, lambda ref: container())


@pytest.mark.spec("Engine API: a container by id, name or the beginning of an id")
def test_a_name_beats_the_beginning_of_an_id_and_an_ambiguous_one_is_refused() -> None:
    names = Names()
    first, second = ContainerId("a1" + "0" * 62), ContainerId("a2" + "0" * 62)
    for container_id in (first, second):
        names.add_id(container_id)
    names.reserve("a1", second)
    assert names.resolve("a1") == second
    assert names.resolve("/a1") == second
    assert names.resolve("a10") == first
    assert names.resolve(first) == first
    with pytest.raises(BadRequest, match="multiple IDs found with provided prefix: a"):
        names.resolve("a")
    with pytest.raises(NotFound, match="No such container: b"):
        names.resolve("b")
    with pytest.raises(Conflict, match=f'name "/a1" is already in use by container "{second}"'):
        names.reserve("a1", first)
    with pytest.raises(BadRequest):
        checked_name("x")  # docker wants two characters at least


def test_restart_policies_are_docker_s() -> None:
    failed, done = State(exit_code=1, started_ns=1), State(exit_code=0, started_ns=1)
    by_hand = State(exit_code=1, started_ns=1, stopped_by_hand=True)
    always, stopped = {"Name": "always"}, {"Name": "unless-stopped"}
    twice = {"Name": "on-failure", "MaximumRetryCount": 2}
    assert should_restart(always, done)
    assert not should_restart(always, by_hand)
    assert should_restart(twice, failed)
    assert not should_restart(twice, done)
    assert not should_restart(twice, State(exit_code=1, restart_count=2))
    assert starts_with_the_engine(always, by_hand)
    assert not starts_with_the_engine(stopped, by_hand)
    assert not starts_with_the_engine(always, State())  # never started by anyone
    delays = [next_delay_s(0, 0)]
    for _ in range(11):
        delays.append(next_delay_s(delays[-1], 1))
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert delays[-1] == 60
    assert next_delay_s(60, 11) == 0.1


def test_only_the_moves_of_the_table_are_possible() -> None:
    for status in Status:
        for event in Event:
            if (status, event) in MOVES:
                assert after(status, event) is MOVES[status, event]
            else:
                with pytest.raises(Conflict):
                    after(status, event)


def test_a_record_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    made = container(Labels={"a": "ü"})
    made.mounts = [MountPoint(kind=MountKind.TMPFS, destination="/t", options=("size=1",))]
    records.save_new(tmp_path / ID, made)
    made.state.run, made.state.status = 3, Status.EXITED
    records.save_state(tmp_path / ID, made.state, durable=False)
    assert records.load(tmp_path / ID) == made
    record = json.loads((tmp_path / ID / records.CONFIG).read_bytes())
    (tmp_path / ID / records.CONFIG).write_text(json.dumps({**record, "schema": 99}))
    with pytest.raises(records.UnreadableRecord, match="schema"):
        records.load(tmp_path / ID)


def test_waiters_are_told_of_exit_and_removal() -> None:
    async def check() -> None:
        live = Live(container())
        exit_wait, gone = live.wait_for(Condition.NEXT_EXIT), live.wait_for(Condition.REMOVED)
        assert await live.wait_for(Condition.NOT_RUNNING).result() == {"StatusCode": 0}
        live.record.state.exit_code = 7
        live.died()
        assert await exit_wait.result() == {"StatusCode": 7}
        live.removal_failed("no")
        assert await gone.result() == {"StatusCode": 7, "Error": {"Message": "no"}}
        never_ran = live.wait_for(Condition.NEXT_EXIT)
        live.removed()  # moby#34945: all are woken
        assert await never_ran.result() == {"StatusCode": 7}

    asyncio.run(check())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (120, "2 minutes"),
        (3600, "About an hour"), (7200, "2 hours"), (48 * 3600, "2 days"), (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"), (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_durations_are_in_docker_s_words(seconds: int, words: str) -> None:
    assert shapes.ago(seconds * 1_000_000_000) == words


def test_times_have_nine_digits_and_never_is_go_s_zero() -> None:
    assert rfc3339(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
    assert rfc3339(0) == "0001-01-01T00:00:00Z"


def test_signals_are_read_in_every_form() -> None:
    assert [signal_number(text) for text in ("SIGTERM", "term", "15", 9, "RTMIN+3")] == [15, 15, 15, 9, 37]
    for bad in ("SIGX", "0", "99", "", "RTMIN+99", "RTMIN+x", "RTMAX-31", "TERM+1", "-1", "²", "9" * 5000):
        with pytest.raises(BadRequest):
            signal_number(bad)


def test_capabilities_and_security_options_are_checked() -> None:
    host = container().host_config
    assert len(effective_capabilities(host)) == 14
    assert effective_capabilities({**host, "CapDrop": ["ALL"], "CapAdd": ["net_admin"]}) == ["CAP_NET_ADMIN"]
    with pytest.raises(BadRequest, match="invalid capability"):
        effective_capabilities({**host, "CapAdd": ["FLY"]})
    assert parse_security(["seccomp=unconfined"]).seccomp == {}
    assert parse_security(["no-new-privileges"]).no_new_privileges
    for bad in ("seccomp={", "nonsense=1", "apparmor=mine"):
        with pytest.raises(BadRequest):
            parse_security([bad])


def test_resolv_conf_never_names_a_loopback_resolver_of_the_host() -> None:
    text = resolv_text(
        "nameserver 127.0.0.53\noptions edns0\nsearch lan\n", servers=(), search=(), options=(), keep_loopback=False
    )
    assert text == "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch lan\noptions edns0\n"
    assert extra_hosts(["a:1.2.3.4", "h:host-gateway"], "10.0.0.1")[1].address == "10.0.0.1"
    with pytest.raises(BadRequest, match="invalid IP address in add-host"):
        extra_hosts(["a:nowhere"], "")


def test_a_pid_of_another_process_is_not_taken_for_the_container_s() -> None:
    with pytest.raises(ProcessLookupError, match="is not of container"):
        open_process(os.getpid(), ID)
    with pytest.raises(ProcessLookupError, match="no process"):
        open_process((1 << 22) + 1, ID)  # above PID_MAX_LIMIT


def test_cgroup_v2_has_no_swappiness_and_no_way_to_disable_the_oom_killer() -> None:
    host = {"MemorySwappiness": 10, "OomKillDisable": True}
    assert len(discard_unsupported(host, 2)) == 2
    assert host == {"MemorySwappiness": None, "OomKillDisable": False}
    kept = {"MemorySwappiness": 10, "OomKillDisable": True}
    assert discard_unsupported(kept, 1) == []
    assert kept["MemorySwappiness"] == 10


def test_a_move_is_whole_or_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there, here / "one", there / "taken"):
        folder.mkdir()
    with pytest.raises(FileExistsError):  # rename(2) replaces an empty folder
        durable.move(here / "one", there / "taken")
    flushed: list[Path] = []

    def flush(path: Path) -> None:
        flushed.append(path)
        if len(flushed) > 2:
            raise OSError(errno.EIO, "the disk fails")

    monkeypatch.setattr(durable, "fsync_dir", flush)
    durable.move(here / "one", there / "one")
    assert (os.listdir(here), sorted(os.listdir(there))) == ([], ["one", "taken"])
    assert flushed == [there, here]
    with pytest.raises(OSError, match="the disk fails"):
        durable.move(there / "one", there / "other")
    assert sorted(os.listdir(there)) == ["one", "taken"]
