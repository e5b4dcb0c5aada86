"""Containers through the Engine API with docker-py: order of events, statuses, races, and paths out of the root."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
import requests
from docker.utils.socket import frames_iter

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until

IMAGE = "busybox:latest"
FOREVER = ["sh", "-c", "trap 'rm /ready; exit 0' TERM; touch /ready; while :; do sleep 0.02; done"]


@pytest.fixture
def api(engine: NativeEngine) -> Iterator[docker.APIClient]:
    """A low-level client; the test's remaining containers are removed at the end."""
    client = docker.APIClient(base_url=engine.host, version="1.44", timeout=HANG_S)
    yield client
    for left in client.containers(all=True, filters={"label": "cvt"}):
        client.remove_container(left["Id"], force=True, v=True)
    client.close()


def make(api: docker.APIClient, command: list[str], *, network: str = "none", **host: Any) -> str:
    config = api.create_host_config(network_mode=network, **host)
    made: str = api.create_container(IMAGE, command, labels=["cvt"], host_config=config)["Id"]
    return made


def start(api: docker.APIClient, container: str) -> None:
    """Start a container with FOREVER if it does not run, and wait until it has set its trap."""
    if not api.inspect_container(container)["State"]["Running"]:
        api.start(container)
    made = api.exec_create(container, ["sh", "-c", "until test -e /ready; do sleep 0.01; done"])["Id"]
    assert api.exec_start(made) == b""


class TestOrders:
    @pytest.mark.spec("Engine API: stop is kill, die, stop; a restart is kill, die, stop, start, restart")
    def test_events_come_in_the_order_that_clients_count_on(self, api: docker.APIClient) -> None:
        container = make(api, FOREVER)
        start(api, container)
        api.restart(container, timeout=5)
        start(api, container)
        api.stop(container, timeout=5)
        start(api, container)
        api.remove_container(container, force=True)
        seen = [event["Action"] for event in _past_events(api, container) if ":" not in event["Action"]]
        seen = [action for action in seen if action != "exec_die"]
        assert seen == (
            [
                "create",
                "start",
                "kill",
                "die",
                "stop",
                "start",
                "restart",
                "kill",
                "die",
                "stop",
                "start",
                "kill",
                "die",
                "destroy",
            ]
        )

    @pytest.mark.spec("Engine API: stop's 204 comes when inspect says exited")
    def test_after_stop_inspect_says_exited(self, api: docker.APIClient) -> None:
        container = make(api, FOREVER)
        start(api, container)
        api.stop(container, timeout=5)
        state = api.inspect_container(container)["State"]
        assert (state["Status"], state["Running"], state["Pid"], state["ExitCode"]) == ("exited", False, 0, 0)

    @pytest.mark.spec("Engine API: a failed start leaves the container created, with its exit code and no start event")
    def test_a_failed_start_says_why_and_leaves_it_created(self, api: docker.APIClient) -> None:
        container = make(api, ["nosuch"])
        with pytest.raises(docker.errors.APIError, match="executable file not found") as failure:
            api.start(container)
        assert failure.value.status_code == 400
        state = api.inspect_container(container)["State"]
        assert (state["Status"], state["ExitCode"]) == ("created", 127)
        assert "executable file not found" in state["Error"]
        assert [event["Action"] for event in _past_events(api, container)] == ["create"]

    def test_a_missing_network_fails_the_start_and_not_the_create(self, api: docker.APIClient) -> None:
        container = make(api, ["true"], network="cvt-nowhere")
        with pytest.raises(docker.errors.NotFound, match="network cvt-nowhere not found"):
            api.start(container)

    def test_a_waiter_for_removal_is_woken_when_a_failed_start_removes(self, api: docker.APIClient) -> None:
        container = make(api, ["nosuch"], auto_remove=True)
        answers: list[Any] = []
        waiting = threading.Event()

        def wait() -> None:
            url = f"{api.base_url}/v1.44/containers/{container}/wait?condition=removed"
            with api.post(url, stream=True, timeout=HANG_S) as answer:
                waiting.set()  # its headers are here: it is registered
                answers.append(answer.json())

        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(HANG_S)
        with pytest.raises(docker.errors.APIError):
            api.start(container)
        thread.join(HANG_S)
        assert answers == [{"StatusCode": 127}]
        with pytest.raises(docker.errors.NotFound):
            api.inspect_container(container)


class TestRefusals:
    def test_verbs_in_the_wrong_state_get_docker_s_status(self, api: docker.APIClient) -> None:
        container = make(api, FOREVER)
        for status, verb in ((409, api.kill), (409, api.pause), (500, api.unpause)):
            with pytest.raises(docker.errors.APIError) as failure:
                verb(container)
            assert failure.value.status_code == status
        api.start(container)
        api.pause(container)
        with pytest.raises(docker.errors.APIError, match="paused") as failure:
            api.exec_create(container, ["true"])
        assert failure.value.status_code == 409
        api.unpause(container)
        with pytest.raises(docker.errors.APIError, match="stop the container before removing") as failure:
            api.remove_container(container)
        assert failure.value.status_code == 409

    def test_a_name_is_given_once_and_is_free_again_after_removal(self, api: docker.APIClient) -> None:
        first = api.create_container(IMAGE, ["true"], name="cvt-name", labels=["cvt"])["Id"]
        with pytest.raises(docker.errors.APIError, match=f'already in use by container "{first}"') as failure:
            api.create_container(IMAGE, ["true"], name="cvt-name", labels=["cvt"])
        assert failure.value.status_code == 409
        api.remove_container("cvt-name")
        api.create_container(IMAGE, ["true"], name="cvt-name", labels=["cvt"])

    def test_many_removals_at_once_remove_once(self, api: docker.APIClient, engine: NativeEngine) -> None:
        container = make(api, FOREVER)
        api.start(container)
        statuses: list[int] = []

        def remove() -> None:
            with docker.APIClient(base_url=engine.host, version="1.44", timeout=HANG_S) as own:
                try:
                    own.remove_container(container, force=True)
                    statuses.append(204)
                except docker.errors.APIError as error:
                    statuses.append(error.status_code)

        threads = [threading.Thread(target=remove) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
        assert statuses.count(204) == 1
        assert set(statuses) <= {204, 404, 409}


class TestPolicies:
    def test_on_failure_restarts_as_often_as_it_says(self, api: docker.APIClient) -> None:
        container = make(api, ["sh", "-c", "exit 3"], restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
        died = 0
        events = api.events(since=1, decode=True, filters={"container": container})
        api.start(container)
        for event in events:
            died += event["Action"] == "die"
            if died == 3:
                break
        events.close()
        told = api.inspect_container(container)
        assert (told["RestartCount"], told["State"]["Status"], told["State"]["ExitCode"]) == (2, "exited", 3)

    def test_rm_takes_the_container_and_its_anonymous_volume(self, api: docker.APIClient, engine: NativeEngine) -> None:
        before = {volume["Name"] for volume in api.volumes()["Volumes"]}
        engine.docker("run", "--rm", "-v", "/data", "-l", "cvt", "--network", "none", IMAGE, "true")
        assert {volume["Name"] for volume in api.volumes()["Volumes"]} == before
        assert not engine.container_folders()


class TestStreams:
    def test_all_who_are_attached_get_all_output_and_late_ones_the_past(
        self, api: docker.APIClient, engine: NativeEngine
    ) -> None:
        container = make(api, ["seq", "20000"])
        expected = "".join(f"{number}\n" for number in range(1, 20001)).encode()
        outputs: list[bytes] = []
        ready = threading.Barrier(4, timeout=HANG_S)

        def attach() -> None:
            with docker.APIClient(base_url=engine.host, version="1.44", timeout=HANG_S) as own:
                sock = own.attach_socket(container, params={"stdout": 1, "stderr": 1, "stream": 1})
                ready.wait()
                outputs.append(b"".join(data for _, data in frames_iter(sock, tty=False)))
                sock._sock.close()  # docker-py leaves it to the garbage collector
                sock.close()

        threads = [threading.Thread(target=attach) for _ in range(3)]
        for thread in threads:
            thread.start()
        ready.wait()
        api.start(container)
        for thread in threads:
            thread.join(HANG_S)
        assert outputs == [expected] * 3
        assert api.attach(container, stdout=True, logs=True, stream=False) == expected
        assert api.logs(container) == expected

    def test_an_exec_s_exit_code_is_there_when_its_stream_ends(self, api: docker.APIClient) -> None:
        container = make(api, FOREVER)
        api.start(container)
        for code in (0, 9, 42):
            made = api.exec_create(container, ["sh", "-c", f"echo out; echo err >&2; exit {code}"])["Id"]
            assert api.exec_start(made, demux=True) == (b"out\n", b"err\n")
            told = api.exec_inspect(made)
            assert (told["Running"], told["ExitCode"]) == (False, code)
        with pytest.raises(docker.errors.APIError) as failure:
            api.exec_start(made)
        assert failure.value.status_code == 409

    @pytest.mark.spec("dockerd 20.10: seen")
    def test_an_exec_that_was_never_started_goes_with_its_run(self, api: docker.APIClient) -> None:
        container = make(api, FOREVER)
        start(api, container)
        made = api.exec_create(container, ["true"])["Id"]
        assert api.exec_inspect(made)["ExitCode"] is None
        api.stop(container, timeout=5)
        for look in (api.exec_inspect, api.exec_start):
            with pytest.raises(docker.errors.NotFound, match=f"No such exec instance: {made}"):
                look(made)
        api.start(container)
        with pytest.raises(docker.errors.NotFound):
            api.exec_start(made)

    def test_what_an_exec_leaves_behind_does_not_hold_its_stream(self, api: docker.APIClient) -> None:
        container = make(api, FOREVER)
        api.start(container)
        made = api.exec_create(container, ["sh", "-c", "sleep 30 & echo done"])["Id"]
        assert api.exec_start(made) == b"done\n"


def tar_of(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class TestFiles:
    @pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
    @pytest.mark.spec("CVE-2018-15664: docker cp must not follow links out of the container")
    def test_no_link_in_a_container_leads_cp_out_of_it(
        self, api: docker.APIClient, tmp_path: Path, *, runs: bool
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text("host")
        links = f"ln -s {tmp_path} /out; ln -s ../../../../../../../..{tmp_path} /up; {'sleep 60' if runs else 'true'}"
        container = make(api, ["sh", "-c", links])
        api.start(container)
        if runs:
            made = api.exec_create(container, ["sh", "-c", "while ! test -L /up; do sleep 0.01; done"])["Id"]
            api.exec_start(made)
        else:
            api.wait(container)
        for link in ("/out", "/up"):
            with pytest.raises(docker.errors.NotFound, match="Could not find the file"):
                api.get_archive(container, f"{link}/secret")
            with pytest.raises(docker.errors.NotFound):
                api.put_archive(container, link, tar_of("secret", b"container"))
            # A member's path through a link is also resolved inside the root, or refused.
            url = f"{api.base_url}/v1.44/containers/{container}/archive"
            planted = api.put(url, params={"path": "/"}, data=tar_of(f"{link[1:]}/planted", b"x"))
            assert planted.status_code in (200, 400, 404, 500)
        assert secret.read_text() == "host"
        assert [path.name for path in tmp_path.iterdir()] == ["secret"]

    def test_a_tree_goes_in_and_comes_out_as_it_was(self, api: docker.APIClient) -> None:
        container = make(api, ["true"])
        api.put_archive(container, "/tmp", tar_of("a/b/c", b"data"))
        stream, stat = api.get_archive(container, "/tmp/a")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            assert sorted(tar.getnames()) == ["a", "a/b", "a/b/c"]
            member = tar.extractfile("a/b/c")
            assert member is not None
            assert member.read() == b"data"
        assert stat["name"] == "a"
        assert stat["mode"] >> 31 == 1
        assert {"Path": "/tmp/a", "Kind": 1} in api.diff(container)

    def test_export_is_the_root_file_system_without_what_is_mounted_in_it(self, api: docker.APIClient) -> None:
        container = make(api, FOREVER, binds=["cvt-export:/data"])
        start(api, container)
        api.exec_start(api.exec_create(container, ["touch", "/data/in-volume", "/own"])["Id"])
        with tarfile.open(fileobj=io.BytesIO(b"".join(api.export(container)))) as tar:
            names = set(tar.getnames())
        assert {"own", "etc/passwd", "data", "proc", "bin/sh"} <= names
        assert not [name for name in names if name.startswith(("data/", "proc/", "sys/"))]
        stream, _ = api.get_archive(container, "/data")  # a copy of the folder has what the container sees there
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            assert tar.getnames() == ["data", "data/in-volume"]
        api.remove_container(container, force=True)
        api.remove_volume("cvt-export")

    def test_a_file_stands_where_the_tar_has_a_folder_only_if_asked(self, api: docker.APIClient) -> None:
        container = make(api, ["true"])
        api.put_archive(container, "/tmp", tar_of("x/y", b""))
        url = f"{api.base_url}/v1.44/containers/{container}/archive"
        refused = api.put(url, params={"path": "/tmp", "noOverwriteDirNonDir": "1"}, data=tar_of("x", b"f"))
        assert isinstance(refused, requests.Response)
        assert refused.status_code == 500
        assert 'cannot overwrite directory "x"' in refused.json()["message"]


def _past_events(api: docker.APIClient, container: str) -> list[dict[str, Any]]:
    """All of the container's own events so far, in order."""
    stream = api.events(since=1, until=_now_s(api), decode=True, filters={"container": container, "type": "container"})
    return list(stream)


def _now_s(api: docker.APIClient) -> str:
    """The engine's current time with its fraction, later than all past events."""
    moment = datetime.fromisoformat(api.info()["SystemTime"].replace("Z", "+00:00")[:26] + "+00:00")
    return f"{moment.timestamp() + 0.001:.6f}"


class TestWaitingForARestart:
    """A container whose restart policy waits before the next start."""

    @pytest.fixture
    def container(self, api: docker.APIClient) -> str:
        made = make(api, ["sh", "-c", "exit 3"], restart_policy={"Name": "unless-stopped"})
        api.start(made)

        def is_waiting() -> bool:  # for 3 s or more after the fifth restart
            shown = api.inspect_container(made)
            return bool(shown["RestartCount"] > 4 and shown["State"]["Status"] == "restarting")

        wait_until(is_waiting)
        return made

    @pytest.mark.parametrize("how", ["stop", "kill"])
    def test_a_stop_or_kill_ends_every_wait(
        self, engine: NativeEngine, api: docker.APIClient, container: str, how: str
    ) -> None:
        results: list[int] = []

        def wait() -> None:
            with contextlib.closing(docker.APIClient(base_url=engine.host, version="1.44", timeout=HANG_S)) as client:
                results.append(client.wait(container)["StatusCode"])

        waiters = [threading.Thread(target=wait) for _ in range(2)]
        for waiter in waiters:
            waiter.start()
        getattr(api, how)(container)
        for waiter in waiters:
            waiter.join(HANG_S)
        assert results == [3, 3]
        assert api.inspect_container(container)["State"]["Status"] == "exited"
        actions = [event["Action"] for event in _past_events(api, container)]
        assert actions.count("stop") == (1 if how == "stop" else 0)

    def test_a_kill_is_remembered_as_a_stop_by_hand(
        self, engine: NativeEngine, api: docker.APIClient, container: str
    ) -> None:
        api.kill(container)
        file = engine.root / "data" / "containers" / container / "state.json"
        wait_until(lambda: json.loads(file.read_text())["status"] == "exited")
        assert json.loads(file.read_text())["stopped_by_hand"], "the next engine must not start it by its policy"


def test_the_server_s_version_parses_as_a_docker_release(engine: NativeEngine) -> None:
    version = engine.docker("info", "-f", "{{.ServerVersion}}").stdout.strip()
    parts = [int(part) for part in version.split(".")]
    assert parts >= [20], "tools refuse what is older"
    assert engine.docker("version", "-f", "{{.Server.Platform.Name}}").stdout.startswith("Cove ")


def test_the_ipc_namespace_of_a_private_container_is_refused(api: docker.APIClient) -> None:
    donor = make(api, FOREVER)
    start(api, donor)
    joiner = make(api, ["true"], ipc_mode=f"container:{donor}")
    with pytest.raises(docker.errors.APIError, match="non-shareable IPC"):
        api.start(joiner)
