"""What the engine in the VM shows of itself: the same calls as natively, on cgroup v2 and with a host's agent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.description import conforms
from tests.support.sockets import free_port
from tests.support.waiting import wait_until
from tests.vm.conftest import Vm

pytestmark = pytest.mark.vm
IMAGE = "busybox:latest"


def test_xray_usage_and_check_work_in_the_vm(vm: Vm) -> None:
    port = free_port()
    serve = ("sh", "-c", "exec httpd -f -p 80")
    vm.docker("run", "-d", "--name", "cvt-shown", "-m", "64m", "-p", f"127.0.0.1:{port}:80", IMAGE, *serve)
    try:
        with vm.engine() as client:
            told: dict[str, Any] = client.xray("cvt-shown", "/bin/sh")
            conforms(told, "GET", "/cove/v1/containers/{id}/xray", 200)
            assert told["control"]["version"] == 2
            assert {one["resource"] for one in told["control"]["pressure"]} == {"cpu", "memory", "io"}
            resources = {one["name"]: one for one in told["control"]["resources"]}
            assert resources["memory"]["limit"] == 64 << 20
            assert 0 < resources["memory"]["used"] < 64 << 20
            assert (told["origin"]["kind"], told["origin"]["layer"]) == ("link", 1)
            [way] = told["network"]["ports"]
            assert way["by_host_agent"]
            assert way["is_rule_there"]
            assert [one["command"] for one in way["listeners"]] == ["httpd -f -p 80"]
            with client.usage(200, ["cvt-shown"]) as stream:
                [sample] = next(iter(stream))["containers"]
            assert sample["cpu_ns"] > 0
            assert 0 < sample["memory_bytes"] < 64 << 20
            wait_until(lambda: len(client.usage_history("cvt-shown")["seconds"]["at_ms"]) >= 2)
        assert "this machine listens there, and passes on to the VM" in vm.cove("xray", "cvt-shown").stdout
        assert vm.cove("system", "check").stdout.startswith("All is well")
    finally:
        vm.docker("rm", "-f", "cvt-shown")
