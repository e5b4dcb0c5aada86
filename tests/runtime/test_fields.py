"""Plans as records: immutable, the same after the JSON wire, and of one table with the spawner's C sources."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle
from vmagent.linux import compact_json
from vmagent.native.header import header
from vmagent.runtime import fields, plantypes
from vmagent.runtime.plan import compile_plan
from vmagent.runtime.plantypes import BindMount, Device, Overlay, Plan, Remount

FILTER = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}


def full_plan(bundle: Bundle) -> Plan:
    """One that has every kind of record in it."""
    bundle.mount("/b", "/tmp", "bind", "ro", "rslave")
    bundle.mount("/b", "x", "remount", "noexec", kind="none")
    bundle.mount("/t", "tmpfs", "size=1m", "noexec", kind="tmpfs")
    bundle.linux.update(sysctl={"net.ipv4.ip_forward": "1"}, seccomp=FILTER, maskedPaths=["/proc/kcore"])
    bundle.process.update(
        oomScoreAdj=-5,
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 7, "hard": 2**64 - 1}],
        scheduler={"policy": "SCHED_OTHER", "nice": -3},
        execCPUAffinity={"initial": "0"},
    )
    bundle.linux["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
    bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
    overlay = Overlay(("/l1", "/l2"), "/u", "/w")
    return compile_plan(bundle.spec, container_id="x", cgroup_path="/x", overlay=overlay, user="a:b", group_add=["c"])


def test_a_plan_is_the_same_after_the_wire(bundle: Bundle) -> None:
    plan = full_plan(bundle)
    assert {type(mount) for mount in plan.rootfs.mounts} >= {BindMount, Remount}
    text = compact_json.dumps(fields.to_wire(plan))
    values = compact_json.loads(text)
    again = fields.from_wire(Plan, values)
    assert again == plan
    assert [type(mount) for mount in again.rootfs.mounts] == [type(mount) for mount in plan.rootfs.mounts]
    assert isinstance(again.process.args, tuple)
    assert fields.from_wire(Plan, values) == plan, "reading has changed what was read"
    with pytest.raises(ValueError, match="Plan: 8 fields"):
        fields.from_wire(Plan, values[:-1])


def test_a_record_cannot_be_changed() -> None:
    device = Device("/dev", "null", 0o666, 259, 0, 0)
    with pytest.raises(AttributeError):
        device.name = "zero"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        device.another = 1  # type: ignore[attr-defined]
    assert device._replace(name="zero").path == "/dev/zero"
    for wrong in ({"nam": "zero"}, {"folder": "/dev", "name": "x"}):
        with pytest.raises(TypeError):
            Device(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        device._replace(nam="zero")  # type: ignore[call-arg]


def test_another_order_of_fields_is_another_version() -> None:
    text = fields.describe(plantypes.TABLE)
    lines = text.splitlines()
    at = lines.index("Device.uid: U32")
    assert lines[at + 1] == "Device.gid: U32"
    assert f"UINT32_C({plantypes.VERSION})" in header()
    struct = header().partition("struct device {")[2].partition("};")[0]
    names = [line.split()[-1].strip("*;") for line in struct.splitlines() if line]
    assert names == list(Device._fields)


def test_the_supervisor_loads_no_heavy_module_for_it() -> None:
    """`typing`, `dataclasses` and `re` would each cost it more memory than its own code."""
    code = "import sys; sys.path.append(sys.argv[1]); import vmagent.supervisor.supervisor; print(*sys.modules)"
    root = str(Path(__file__).parents[2])
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, root], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()
    assert "vmagent.runtime.plantypes" in loaded
    assert not {"typing", "dataclasses", "re", "json", "vmagent.native.header"} & set(loaded)
