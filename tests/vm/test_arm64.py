"""The VM of an ARM machine, emulated where this machine is none: the product's own start with the image of that
processor, to a container's output, by all three ways."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.vm.conftest import Vm, build_image

pytestmark = pytest.mark.vm


@pytest.fixture
def arm_vm() -> Iterator[Vm]:
    made = Vm()
    made.environ["COVE_GUEST"] = str(build_image("arm64"))
    try:
        made.start_agent()
        yield made
    finally:
        made.close()


def test_a_container_runs_after_each_kind_of_start(arm_vm: Vm) -> None:
    ids = []
    for stop, way in ((None, "cold"), ((), "saved session"), (("--shutdown",), "template")):
        if stop is not None:
            arm_vm.cove("vm", "stop", *stop)
        arm_vm.cove("vm", "start")
        assert arm_vm.state().way == way
        said = arm_vm.cove("run", "--rm", "cove/hello").stdout
        assert "Hello from a container." in said
        info = json.loads(arm_vm.docker("info", "--format", "json").stdout)
        assert info["Architecture"] == "aarch64"
        ids.append(info["ID"])
    assert len(set(ids)) == 1, "the data disk is the same"
    assert arm_vm.docker("image", "inspect", "--format", "{{.Architecture}}", "cove/hello").stdout.strip() == "arm64"
