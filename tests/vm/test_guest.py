"""The program at the VM's end of the control port. It runs here in a mount namespace that looks like the VM."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from desktop.platform.base import LocalAddress
from desktop.vm.errors import VmError
from desktop.vm.guest import Guest
from desktop.vm.opening import engine_is_idle, open_engine
from tests.support.limits import HANG_S
from vmagent.native import binary

MB = 1 << 20
# What the guest has: a disk vdz with our serial number behind a loop device, an empty data root, the engine's socket.
SET_UP = """
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/cove
mount -t tmpfs tmpfs /run && mkdir /run/cove && mount --bind $WORK/run /run/cove
mkdir $WORK/dev && mknod $WORK/dev/null c 1 3 && mknod $WORK/dev/urandom c 1 9
mount -t tmpfs tmpfs /sys/block && mkdir /sys/block/vda
if [ -n "$DISK" ]; then
  mknod $WORK/dev/vdz b $(stat -c '0x%t 0x%T' $DISK)
  mkdir /sys/block/vdz && echo cove-data >/sys/block/vdz/serial && blockdev --getsz $DISK >/sys/block/vdz/size
fi
mount --bind $WORK/dev /dev
exec "$0" "$1"
"""


@asynccontextmanager
async def control(work: Path, disk: str = "") -> AsyncIterator[Guest]:
    """The program, connected to a Guest."""
    (work / "run").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    guest = Guest()
    with listener:
        listener.bind(str(work / "port"))
        listener.listen()
        connecting = asyncio.create_task(guest.connect(LocalAddress(work / "port")))
        port, _ = await asyncio.get_running_loop().run_in_executor(None, listener.accept)
        await connecting
    with port:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "-m", "sh", "-ec", SET_UP, str(binary("control", os.uname().machine)), str(port.fileno())),
            env={**os.environ, "WORK": str(work), "DISK": disk},
            pass_fds=[port.fileno()],
        )
    try:
        async with asyncio.timeout(HANG_S):
            yield guest
    finally:
        await guest.close()
        process.kill()
        await process.wait()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """An empty disk of 64 MB, which may grow to 96."""
    with (tmp_path / "disk").open("wb") as file:
        file.truncate(64 * MB)
    done = subprocess.run(
        ["losetup", "--find", "--show", tmp_path / "disk"], check=True, capture_output=True, text=True
    )
    device = done.stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_requests_are_answered_by_number_and_none_waits_for_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as guest:
            engine = asyncio.create_task(open_engine(guest, HANG_S), name="open")  # there is no engine yet
            before = float(await guest.request("ping"))
            for _ in range(50):
                assert float(await guest.request("ping")) >= before
            with pytest.raises(VmError, match="no such request: dance with 1 words"):
                await guest.request("dance", "now")
            with pytest.raises(VmError, match="no such request: time with 1 words"):
                await guest.request("time", "5")
            with pytest.raises(VmError, match="the request is too long"):
                await guest.request("engine", "GET", "/" + "x" * 50_000)
            assert not engine.done()
            seen: list[bytes] = []
            server = await asyncio.start_unix_server(replying(seen), tmp_path / "run" / "cove.sock")
            await engine
            assert seen[0].startswith(b"POST /cove/v1/open HTTP/1.1\r\n")
            assert await engine_is_idle(guest, HANG_S)
            server.close()
            await server.wait_closed()

    asyncio.run(scenario())


def replying(seen: list[bytes]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """An engine that opens, and has no containers. It ends its first connection without a reply, as one that dies."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if len(seen) > 1:
            body = b"" if seen[-1].startswith(b"POST") else b"[]\n"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()
        await writer.wait_closed()

    return serve


def test_what_an_earlier_agent_left_in_the_line_harms_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as guest:
            await guest.request("ping")
            assert guest._writer is not None
            guest._writer.write(b"12 tim\n\n77\nping\n" + b"x" * 200_000 + b"\n5")
            with pytest.raises(VmError, match="does not reply"):
                await guest.request("ping", limit_s=0.5)  # its head was joined to the 5
            await guest.request("ping")

    asyncio.run(scenario())


def test_the_clock_is_compared_in_nanoseconds_and_entropy_credited(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as guest:
            hour_ns = 3600 * 10**9
            # The tolerance of a day keeps this machine's clock as it is.
            asked = time.time_ns()
            ahead_ns = int(await guest.request("time", str(asked - hour_ns), str(24 * hour_ns)))
            assert hour_ns <= ahead_ns <= hour_ns + time.time_ns() - asked
            await guest.add_entropy()
            with pytest.raises(VmError, match="entropy: Invalid argument"):
                await guest.request("entropy", "xyz")
            await guest.sync(HANG_S)

    asyncio.run(scenario())


def test_it_tells_how_long_the_processors_have_worked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as guest:
            before_s = await guest.worked_s()
            assert before_s > 0
            assert await guest.worked_s() >= before_s

    asyncio.run(scenario())


def test_an_empty_disk_is_formatted_then_found_ready_then_grown(tmp_path: Path, disk: str) -> None:
    async def scenario(work: str) -> str:
        (tmp_path / work).mkdir()
        async with control(tmp_path / work, disk) as guest:
            did = await guest.attach(HANG_S, may_format=True)
            assert await guest.attach(HANG_S, may_format=True) == "ready", "a second request finds it mounted"
            return did

    assert asyncio.run(scenario("first")) == "formatted"
    assert asyncio.run(scenario("second")) == "ready"
    os.truncate(tmp_path / "disk", 96 * MB)
    subprocess.run(["losetup", "--set-capacity", disk], check=True)
    assert asyncio.run(scenario("third")) == "grown"
    shown = subprocess.run(["dumpe2fs", "-h", disk], check=True, capture_output=True, text=True).stdout
    blocks = {name: rest.strip() for name, _, rest in (line.partition(":") for line in shown.splitlines())}
    assert int(blocks["Block count"]) * int(blocks["Block size"]) == 96 * MB


def test_an_empty_disk_that_held_data_is_not_formatted(tmp_path: Path, disk: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path, disk) as guest:
            with pytest.raises(VmError, match="the data disk is empty, and it held data before"):
                await guest.attach(HANG_S, may_format=False)

    asyncio.run(scenario())
    with open(disk, "rb") as file:
        assert not any(file.read(MB))


def test_a_damaged_file_system_is_repaired_and_said_so(tmp_path: Path, disk: str) -> None:
    subprocess.run(["mke2fs", "-q", "-b", "1024", "-t", "ext4", disk], check=True)
    with open(disk, "r+b") as file:
        file.seek(2048)
        file.write(b"\x5a" * 1024)  # the group descriptors: it can't be mounted

    async def scenario() -> None:
        async with control(tmp_path, disk) as guest:
            assert await guest.attach(HANG_S, may_format=False) == "repaired"
            assert "check" in guest.marks, "the host has heard that it goes on"

    asyncio.run(scenario())


def test_a_disk_with_something_else_on_it_is_left_alone(tmp_path: Path, disk: str) -> None:
    with open(disk, "r+b") as file:
        file.write(b"somebody's data")

    async def scenario() -> None:
        async with control(tmp_path, disk) as guest:
            with pytest.raises(VmError, match="holds something that is not a file system of ours"):
                await guest.attach(HANG_S, may_format=False)

    asyncio.run(scenario())
    assert Path(disk).read_bytes()[:15] == b"somebody's data"
