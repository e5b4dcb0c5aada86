"""QEMU's command line for each platform and processor, as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop.paths import host_paths
from desktop.platform import platform_for
from desktop.platform.base import LocalAddress
from desktop.vm.command import Files, Hardware, probe_command, vm_command
from desktop.vm.image import GuestImage

IMAGE = GuestImage(Path("/image"), "key", "amd64", "6.12")


def files(platform: str) -> Files:
    paths = host_paths({"HOME": "/u", "LOCALAPPDATA": "/u/local"}, platform)
    if platform == "win32":
        qmp, control, tunnel = (LocalAddress(None, port) for port in (4001, 4002, 4003))
    else:
        qmp, control, tunnel = (LocalAddress(paths.run / f"{name}.sock") for name in ("qmp", "control", "tunnel"))
    return Files(
        image=IMAGE,
        console_log=paths.console_log,
        pid_file=paths.qemu_pid,
        qmp=qmp,
        control=control,
        tunnel=tunnel,
    )


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


@pytest.mark.parametrize(
    ("platform", "accelerator", "accel", "cpu"),
    [
        ("linux", "kvm", "kvm", "host"),
        ("darwin", "hvf", "hvf", "host"),
        ("win32", "whpx", "whpx,kernel-irqchip=off", "host"),
        ("linux", "tcg", "tcg,thread=multi,tb-size=64", "max,erms=off"),
    ],
)
def test_the_accelerator_decides_on_processor_and_kernel_words(
    platform: str, accelerator: str, accel: str, cpu: str
) -> None:
    assert accelerator == "tcg" or accelerator in platform_for(platform).accelerators
    command = vm_command(Path("qemu"), Hardware("amd64", accelerator, 2048, 2), files(platform))
    assert (value(command, "-accel"), value(command, "-cpu")) == (accel, cpu)
    words = value(command, "-append").split()
    assert "cove.vm=1" in words
    assert ("mitigations=off" in words) == (accelerator == "tcg"), "a real processor keeps its guards"


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_nothing_listens_but_private_sockets_and_the_loopback(platform: str) -> None:
    command = vm_command(Path("qemu"), Hardware("amd64", "tcg", 2048, 2), files(platform))
    sockets = [word for word in command if word.startswith("socket,")]
    assert len(sockets) == 3
    if platform == "win32":
        assert all(",host=127.0.0.1,port=400" in word for word in sockets)
    else:
        assert all(",path=/u/" in word for word in sockets)
    assert value(command, "-netdev") == "user,id=net", "forwards are added while it runs, to the loopback"
    assert "-S" in command, "it waits until everyone listens"


def test_what_the_guest_sees_does_not_depend_on_the_host() -> None:
    """A saved state fits only the same hardware, so the hardware must not depend on sockets and paths."""

    def seen(platform: str) -> list[str]:
        command = vm_command(Path("qemu"), Hardware("amd64", "tcg", 2048, 2), files(platform))
        return [command[n + 1] for n, word in enumerate(command) if word in ("-device", "-M", "-cpu", "-smp", "-m")]

    assert seen("linux") == seen("darwin") == seen("win32")
    assert "virtio-balloon-pci,free-page-reporting=on" in seen("linux")


def test_the_machine_is_that_of_one_version_of_qemu() -> None:
    """A later QEMU still offers it, so that a saved state keeps fitting."""
    hardware = Hardware("amd64", "tcg", 2048, 2, "7.2")
    assert value(vm_command(Path("q"), hardware, files("linux")), "-M") == "pc-q35-7.2"
    arm = hardware._replace(architecture="arm64", version="10.0")
    assert value(vm_command(Path("q"), arm, files("linux")), "-M") == "virt-10.0"


def test_an_arm_guest_has_the_machine_and_console_of_its_kind() -> None:
    arm = Hardware("arm64", "tcg", 1024, 1)
    command = vm_command(Path("qemu"), arm, files("darwin"))
    assert (value(command, "-M"), value(command, "-cpu")) == ("virt", "max,pauth-impdef=on")
    assert not [word for word in command if word.startswith("vmgenid")], "QEMU has none for ARM"
    assert "pvpanic-pci" in command
    assert "console=ttyAMA0" in value(command, "-append")
    assert value(vm_command(Path("q"), arm._replace(accelerator="hvf"), files("darwin")), "-cpu") == "host"


def test_translated_code_has_a_bound_and_a_panic_ends_qemu() -> None:
    command = vm_command(Path("qemu"), Hardware("amd64", "tcg", 2048, 2), files("linux"))
    assert "tb-size=64" in value(command, "-accel")
    assert "tb-size" not in value(vm_command(Path("q"), Hardware("amd64", "kvm", 2048, 2), files("linux")), "-accel")
    assert value(command, "-action") == "panic=shutdown,reboot=shutdown"


def test_a_comma_in_a_path_stays_in_the_path() -> None:
    odd = files("linux")._replace(console_log=Path("/a,b/console.log"), image=IMAGE._replace(folder=Path("/c,d")))
    command = vm_command(Path("qemu"), Hardware("amd64", "tcg", 2048, 2), odd)
    assert any(word.endswith(",file=/c,,d/root.erofs") for word in command)
    assert "file,id=console,path=/a,,b/console.log" in command


def test_the_probe_boots_without_disks_and_speaks_early() -> None:
    command = probe_command(Path("qemu"), Hardware("amd64", "kvm", 256, 1), IMAGE)
    assert "-drive" not in command
    assert "quiet" not in value(command, "-append")
    assert "cove.probe=1" in value(command, "-append")


def test_two_homes_share_no_path() -> None:
    one, two = (host_paths({"COVE_HOME": f"/h/{name}"}, "linux") for name in ("a", "b"))
    assert one.host_socket != two.host_socket
    assert one.engine_socket != two.engine_socket
    assert one.data_disk != two.data_disk


@pytest.mark.spec("unix(7): sun_path holds 108 bytes; 104 on macOS")
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_sockets_fit_however_long_the_home_is(platform: str) -> None:
    long = "/" + "/".join(["a-rather-long-folder"] * 12)
    paths = host_paths({"COVE_HOME": long}, platform)
    for socket in (paths.host_socket, paths.engine_socket, paths.run / "control.sock"):
        assert len(str(socket)) < 104
    other = host_paths({"COVE_HOME": long + "/other"}, platform)
    assert other.run != paths.run


def test_sockets_are_pipes_on_windows() -> None:
    paths = host_paths({"LOCALAPPDATA": "/u"}, "win32")
    assert str(paths.engine_socket).startswith("\\\\.\\pipe\\cove-")
