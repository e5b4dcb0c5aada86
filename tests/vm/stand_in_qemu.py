"""A stand-in for QEMU: its monitor and control port reply to the host agent; the tunnel's port and the SSH port accept
and stay silent.

    python stand_in_qemu.py QMP_SOCKET CONTROL_SOCKET TUNNEL_SOCKET SSH_PORT

It writes `ready` on standard output, then each request that the control port receives. `stop` there, or `quit` on the
monitor, ends it, as they end a QEMU with our guest in it. It stands for a guest that hangs, which a real one cannot be
made to do at a chosen step.
"""

from __future__ import annotations

import asyncio
import json
import sys


async def main(qmp: str, control: str, tunnel: str, ssh_port: int) -> None:
    ended = asyncio.Event()

    async def monitor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
        writer.write(json.dumps({"QMP": {"version": version, "capabilities": []}}).encode() + b"\r\n")
        sent = ""
        while data := await reader.read(4096):
            sent = (sent + data.decode()).lstrip()
            try:
                command, length = json.JSONDecoder().raw_decode(sent)  # no line ends: the client sends bare objects
            except ValueError:
                continue
            sent = sent[length:]
            answer = {"return": {}} | ({"id": command["id"]} if "id" in command else {})
            writer.write(json.dumps(answer).encode() + b"\r\n")
            if command["execute"] == "quit":
                ended.set()

    async def port(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            number, _, request = line.decode().strip().partition(" ")
            print(request, flush=True)
            if request == "stop":
                writer.write(f"{number} ok\n".encode())
                ended.set()

    async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    await asyncio.start_unix_server(monitor, qmp)
    await asyncio.start_unix_server(port, control)
    await asyncio.start_unix_server(silence, tunnel)
    await asyncio.start_server(silence, "127.0.0.1", ssh_port)
    print("ready", flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
