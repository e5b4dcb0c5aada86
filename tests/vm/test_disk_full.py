"""The host's disk fills up while a VM runs. It is a second VM, on a home of 90 MB that can grow."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.limits import HANG_S
from tests.vm.conftest import Vm

pytestmark = pytest.mark.vm


@pytest.fixture
def small_vm(guest_image: Path) -> Iterator[Vm]:
    mount = Path(tempfile.mkdtemp(prefix="cvs-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=90m,mode=700", "tmpfs", mount], check=True)
    try:
        (mount / "home").mkdir()
        made = Vm(mount / "home")
        config = {"schema": 1, "vm": {"memory_mb": 512, "cpus": 1, "accelerator": "tcg"}}
        made.paths.config_file.write_text(json.dumps(config))
        try:
            made.start_agent()
            yield made
        finally:
            made.close()
    finally:
        subprocess.run(["umount", mount], check=True)
        mount.rmdir()


def test_a_full_disk_pauses_the_vm_says_so_and_lets_it_go_on(vm: Vm, small_vm: Vm) -> None:
    small_vm.start()
    assert vm.state().qemu_pid != small_vm.state().qemu_pid, "two homes, two VMs at once"
    assert (small_vm.state().memory_mb, small_vm.state().cpus) == (512, 1), "the settings' size"
    with small_vm.client() as client, client.events() as events:
        states = events.states()
        assert next(states).error is None
        write = ["vm", "ssh", "dd if=/dev/urandom of=/var/lib/cove/big bs=1M count=150 2>/dev/null; sync; echo written"]
        command = [str(Path(sys.executable).with_name("cove")), *write]
        with subprocess.Popen(command, env=small_vm.environ, stdout=subprocess.PIPE, text=True) as writer:
            full = next(states)
            assert full.error is not None
            assert "disk is full, so the VM is paused" in full.error.message
            assert full.state == "running"
            subprocess.run(["mount", "-o", "remount,size=400m", small_vm.home.parent], check=True)
            assert next(states).error is None
            assert writer.communicate(timeout=HANG_S)[0] == "written\n", "nothing was lost"
