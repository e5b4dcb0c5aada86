"""What the engine refuses or answers in docker's words; the words were compared with dockerd's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import NativeEngine

IMAGE, NAME = "busybox:latest", "refusals"


@pytest.fixture
def clean(engine: NativeEngine) -> Iterator[NativeEngine]:
    yield engine
    engine.docker("rm", "-f", NAME, check=False)


def post(engine: NativeEngine, path: str, body: object = None) -> tuple[int, Any]:
    """(status, decoded reply)."""
    command = f"curl -s -w '\\n%{{http_code}}' --unix-socket {engine.socket} -X POST 'http://e{path}'"
    if body is not None:
        command += f" -H content-type:application/json -d '{json.dumps(body)}'"
    text, _, status = engine.shell(command).stdout.rpartition("\n")
    return int(status), json.loads(text) if text else None


def get(engine: NativeEngine, path: str) -> tuple[int, Any]:
    command = f"curl -s -g -w '\\n%{{http_code}}' --unix-socket {engine.socket} 'http://e{path}'"
    text, _, status = engine.shell(command).stdout.rpartition("\n")
    return int(status), json.loads(text)


CPUS = os.cpu_count() or 1
RT_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.rt_period_us")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"MemoryReservation": 1024}, "Minimum memory reservation allowed is 6MB"),
        ({"CpuPeriod": 900}, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
        ({"CpuPeriod": 2_000_000}, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s"),
        ({"CpuQuota": 500}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (
            {"NanoCpus": 900_000_000_000},
            f"Range of CPUs is from 0.01 to {CPUS}.00, as there are only {CPUS} CPUs available",
        ),
        ({"NanoCpus": -1}, f"Range of CPUs is from 0.01 to {CPUS}.00, as there are only {CPUS} CPUs available"),
        ({"CpusetCpus": "0-999"}, "Requested CPUs are not available - requested 0-999, available: 0"),
        ({"CpusetCpus": "x"}, "Invalid value x for cpuset cpus"),
        ({"CpusetMems": "99"}, "Requested memory nodes are not available - requested 99, available: 0"),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"Annotations": {"": "x"}}, "the empty string is not permitted as an annotation key"),
        ({"ExtraHosts": ["x"]}, 'bad format for add-host: "x"'),
        ({"ExtraHosts": ["x:y"]}, 'invalid IP address in add-host: "y"'),
        (
            {"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]},
            'could not select device driver "" with capabilities: [[gpu]]',
        ),
        ({"NetworkMode": "container:x", "Dns": ["1.1.1.1"]}, "conflicting options: dns and the network mode"),
        (
            {"NetworkMode": "container:x", "ExtraHosts": ["a:1.1.1.1"]},
            "conflicting options: custom host-to-IP mapping and the network mode",
        ),
        (
            {"NetworkMode": "container:x", "PublishAllPorts": True},
            "conflicting options: port publishing and the container type network mode",
        ),
        (
            {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "x"}]},
            "invalid device mode: x",
        ),
    ],
)
def test_a_host_config_is_refused_at_create(clean: NativeEngine, host: dict[str, object], words: str) -> None:
    status, reply = post(clean, f"/containers/create?name={NAME}", {"Image": IMAGE, "HostConfig": host})
    assert status == 400
    assert words in reply["message"]


def test_a_folder_without_devices_is_no_device(clean: NativeEngine) -> None:
    refused = clean.docker("run", "--name", NAME, "--device", "/etc", IMAGE, "true", check=False)
    assert refused.returncode == 125
    assert 'error gathering device information while adding custom device "/etc": not a device node' in refused.stderr


@pytest.mark.parametrize("user", ["-1", "0:-1", "4294967295"])
def test_ids_out_of_range_are_refused(clean: NativeEngine, user: str) -> None:
    refused = clean.docker("run", "--name", NAME, f"--user={user}", IMAGE, "true", check=False)
    assert "uids and gids must be in range 0-2147483647" in refused.stderr
    clean.docker("rm", NAME)
    clean.docker("run", "-d", "--name", NAME, IMAGE, "sleep", "1000")
    refused = clean.docker("exec", f"--user={user}", NAME, "true", check=False)
    assert refused.returncode != 0
    assert "uids and gids must be in range 0-2147483647" in refused.stderr


def test_a_wrong_mac_address_is_refused(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", NAME, IMAGE, "sleep", "1000")
    wrong = {"Container": NAME, "EndpointConfig": {"MacAddress": "02:zz"}}
    clean.docker("network", "create", "mac-test")
    try:
        status, reply = post(clean, "/networks/mac-test/connect", wrong)
        assert (status, reply["message"]) == (400, "address 02:zz: invalid MAC address")
    finally:
        clean.docker("rm", "-f", NAME)
        clean.docker("network", "rm", "mac-test")


@pytest.mark.skipif(not RT_PERIOD.exists(), reason="this kernel has no such limit")
def test_a_limit_that_the_kernel_refuses_is_told_as_the_client_s_fault(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", NAME, IMAGE, "sleep", "1000")
    status, reply = post(clean, f"/containers/{NAME}/update", {"CpuRealtimePeriod": -5})
    assert status == 400
    assert reply["message"].startswith("Cannot update container ")
    assert "Invalid argument" in reply["message"]


def test_cpus_exclude_a_quota(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", NAME, "--cpu-quota", "50000", IMAGE, "sleep", "1000")
    refused = clean.docker("update", "--cpus", "1", NAME, check=False)
    assert "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set" in refused.stderr
    clean.docker("update", "--cpu-quota", "20000", NAME)
    clean.docker("rm", "-f", NAME)
    clean.docker("run", "-d", "--name", NAME, "--cpus", "0.5", IMAGE, "sleep", "1000")
    for flag, words in (("--cpu-quota", "CPU Quota"), ("--cpu-period", "CPU Period")):
        refused = clean.docker("update", flag, "20000", NAME, check=False)
        assert f"Conflicting options: {words} cannot be updated as NanoCPUs has already been set" in refused.stderr


@pytest.mark.parametrize(
    "query",
    [
        'containers/json?filters={"status":["bogus"]}',
        'containers/json?filters={"exited":["x"]}',
        'containers/json?filters={"health":["x"]}',
        'containers/json?filters={"is-task":["x"]}',
        'containers/json?filters={"publish":["x"]}',
        'containers/json?filters={"expose":["99999"]}',
        'networks?filters={"dangling":["x"]}',
        'networks?filters={"type":["x"]}',
        'volumes?filters={"dangling":["x"]}',
        "containers/json?filters=nope",
    ],
)
def test_wrong_values_of_filters_are_refused(clean: NativeEngine, query: str) -> None:
    status, reply = get(clean, f"/{query}")
    assert status == 400, reply


@pytest.mark.parametrize("verb", ["containers", "networks"])
def test_a_prune_with_a_wrong_time_prunes_nothing(clean: NativeEngine, verb: str) -> None:
    status, _ = post(clean, f'/{verb}/prune?filters=%7B"until":%5B"x"%5D%7D')
    assert status == 400


def test_a_prune_of_networks_spares_those_that_are_younger(clean: NativeEngine) -> None:
    clean.docker("network", "create", "--label", NAME, NAME)
    for moment, pruned in (("1h", ""), ("2000-01-01T00:00:00Z", ""), ("2100-01-01T00:00:00Z", NAME)):
        flags = ("--filter", f"label={NAME}", "--filter", f"until={moment}")
        assert clean.docker("network", "prune", "-f", *flags).stdout.strip().rpartition("\n")[2] == pruned


def test_containers_are_found_by_their_network(clean: NativeEngine) -> None:
    clean.docker("network", "create", NAME)
    network_id = clean.docker("network", "inspect", "-f", "{{.Id}}", NAME).stdout.strip()
    clean.docker("run", "-d", "--name", NAME, "--network", NAME, IMAGE, "sleep", "1000")
    for value in (NAME, network_id, network_id[:12]):
        found = clean.docker("ps", "--filter", f"network={value}", "--format", "{{.Names}}").stdout
        assert found == f"{NAME}\n"
    clean.docker("rm", "-f", NAME)
    clean.docker("network", "rm", NAME)


@pytest.mark.parametrize("word", ["true", "t", "1"])
def test_each_of_docker_s_words_for_true_finds_what_is_unused(clean: NativeEngine, word: str) -> None:
    clean.docker("network", "create", NAME)
    found = clean.docker("network", "ls", "--filter", f"dangling={word}", "--format", "{{.Name}}").stdout.split()
    clean.docker("network", "rm", NAME)
    assert NAME in found
    assert "bridge" not in found


def test_a_container_is_no_task(clean: NativeEngine) -> None:
    clean.docker("create", "--name", NAME, IMAGE)
    for word, count in (("f", 1), ("false", 1), ("t", 0)):
        _, found = get(clean, f'/containers/json?all=1&filters={{"is-task":["{word}"],"name":["^{NAME}$"]}}')
        assert len(found) == count


def test_a_resize_without_a_terminal_does_nothing(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", NAME, IMAGE, "sleep", "1000")
    assert post(clean, f"/containers/{NAME}/resize?h=10&w=10")[0] == 200
    _, made = post(clean, f"/containers/{NAME}/exec", {"Cmd": ["sleep", "1000"]})
    assert post(clean, f"/exec/{made['Id']}/resize?h=10&w=10")[0] == 200
    assert post(clean, f"/exec/{made['Id']}/start", {"Detach": True})[0] == 200
    assert post(clean, f"/exec/{made['Id']}/resize?h=10&w=10")[0] == 200


def test_details_of_logs_are_the_chosen_labels_and_variables(clean: NativeEngine) -> None:
    options = ("--log-opt", "labels=a,none", "--log-opt", "env-regex=^FO", "-e", "FOO=1 2", "-e", "BAR=3")
    clean.docker("run", "--name", NAME, "--label", "a=b", "--label", "c=d", *options, IMAGE, "echo", "line")
    assert clean.docker("logs", "--details", NAME).stdout == "FOO=1+2,a=b line\n"
    assert clean.docker("logs", "--since", "2100-01-01T00:00:00Z", NAME).stdout == ""


def test_an_exec_has_term_only_with_a_terminal(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "-t", "--name", NAME, IMAGE, "sleep", "1000")
    assert "TERM=" not in clean.docker("exec", NAME, "env").stdout


def test_a_dotted_hostname_has_a_short_form(clean: NativeEngine) -> None:
    done = clean.docker("run", "--name", NAME, "-h", "a.b.c", IMAGE, "sh", "-c", "hostname; tail -n 1 /etc/hosts")
    name, hosts = done.stdout.splitlines()
    assert name == "a.b.c"
    assert hosts.split()[1:] == ["a.b.c", "a"]


def test_an_image_with_several_names_is_not_removed_by_id(clean: NativeEngine) -> None:
    clean.docker("create", "--name", NAME, IMAGE, "true")
    image_id = clean.docker("commit", NAME, "refusals:one").stdout.strip()
    clean.docker("tag", "refusals:one", "refusals:two")
    clean.docker("rm", NAME)
    clean.docker("create", "--name", NAME, "refusals:one", "true")
    refused = clean.docker("rmi", image_id, check=False)
    assert "(must be forced) - image is referenced in multiple repositories" in refused.stderr
    clean.docker("rm", NAME)
    clean.docker("rmi", "-f", image_id)


def test_stats_count_what_the_network_carried(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", NAME, IMAGE, "sleep", "1000")
    gateway = clean.docker("inspect", "-f", "{{.NetworkSettings.Gateway}}", NAME).stdout.strip()
    clean.docker("exec", NAME, "ping", "-c", "3", "-s", "1000", gateway)
    _, sample = get(clean, f"/containers/{NAME}/stats?stream=0")
    for counter in ("rx_bytes", "tx_bytes"):
        assert 3000 < sample["networks"]["eth0"][counter] < 30_000
