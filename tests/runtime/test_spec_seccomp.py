"""config-linux.md of the OCI runtime specification, "Seccomp". One statement, one test."""

from __future__ import annotations

import array
import ctypes
import errno
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Bundle
from tests.runtime.test_seccomp import verdict
from tests.support.limits import HANG_S
from vmagent.linux.syscall import MACHINE, libc
from vmagent.runtime import seccomp
from vmagent.runtime.seccomp import compile_profile

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[MACHINE]
_SYSINFO = {"x86_64": 99, "aarch64": 179}[MACHINE]
_ALLOW = {"defaultAction": "SCMP_ACT_ALLOW"}
# linux/seccomp.h
_RETURNS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050001,
    "SCMP_ACT_TRACE": 0x7FF00001,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
}
_RECV = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV: struct seccomp_notif, 80 bytes
_SEND = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND: struct seccomp_notif_resp, 24 bytes
_CONTINUE = 1


def rule(action: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": action, **more}


def asked(profile: dict[str, Any], args: list[int] | None = None) -> int:
    """The result of sysinfo(2) under the filter."""
    return verdict(compile_profile(profile).instructions, _AUDIT, _SYSINFO, args or [0] * 6)


@pytest.mark.parametrize("action", [name for name in _RETURNS if name != "SCMP_ACT_NOTIFY"])
@pytest.mark.spec("config-linux.md, Seccomp: defaultAction")
def test_the_default_action_is_what_is_given(action: str) -> None:
    assert asked({"defaultAction": action}) == _RETURNS[action]


@pytest.mark.parametrize("action", _RETURNS)
@pytest.mark.spec("config-linux.md, Seccomp: syscalls, action")
def test_a_rules_action_is_what_is_given(action: str) -> None:
    default = "SCMP_ACT_LOG" if action == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW"
    profile = {"defaultAction": default, "listenerPath": "/x", "syscalls": [rule(action, "sysinfo")]}
    assert asked(profile) == _RETURNS[action]


@pytest.mark.spec("config-linux.md, Seccomp: defaultErrnoRet")
def test_the_default_errno_is_what_is_given_or_eperm(bundle: Bundle) -> None:
    assert asked({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 77}) & 0xFFFF == 77
    assert asked({"defaultAction": "SCMP_ACT_ERRNO"}) & 0xFFFF == errno.EPERM


@pytest.mark.spec("config-linux.md, Seccomp: defaultErrnoRet")
def test_a_default_errno_for_an_action_that_takes_none_is_an_error(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "defaultErrnoRet": 5}
    bundle.refused("seccomp action SCMP_ACT_ALLOW takes no errno")


@pytest.mark.parametrize("action", ["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"])
@pytest.mark.spec("config-linux.md, Seccomp: syscalls, errnoRet")
def test_a_rules_errno_is_what_is_given_or_eperm(action: str) -> None:
    assert asked({**_ALLOW, "syscalls": [rule(action, "sysinfo", errnoRet=42)]}) & 0xFFFF == 42
    assert asked({**_ALLOW, "syscalls": [rule(action, "sysinfo")]}) & 0xFFFF == errno.EPERM


@pytest.mark.spec("config-linux.md, Seccomp: syscalls, errnoRet")
def test_an_errno_for_an_action_that_takes_none_is_an_error(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "syscalls": [rule("SCMP_ACT_KILL", "sysinfo", errnoRet=1)]}
    bundle.refused("seccomp action SCMP_ACT_KILL takes no errno")


_LISTED = "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X"


@pytest.mark.parametrize("name", [*_LISTED.split(), "PARISC", "PARISC64", "RISCV64"])
@pytest.mark.spec("config-linux.md, Seccomp: architectures")
def test_every_architecture_of_the_list_is_taken(name: str) -> None:
    profile = {**_ALLOW, "architectures": [f"SCMP_ARCH_{name}"], "syscalls": [rule("SCMP_ACT_TRAP", "sysinfo")]}
    assert asked(profile) == _RETURNS["SCMP_ACT_TRAP"], "the machine's own architecture is always there"


@pytest.mark.spec("config-linux.md, Seccomp: architectures")
def test_an_architecture_that_is_none_is_an_error(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "architectures": ["SCMP_ARCH_VAX"]}
    bundle.refused("seccomp architecture 'SCMP_ARCH_VAX' is not known")


@pytest.mark.parametrize("flag", ["TSYNC", "LOG", "SPEC_ALLOW"])
@pytest.mark.spec("config-linux.md, Seccomp: flags")
def test_a_flag_of_the_list_is_taken_by_the_kernel(bundle: Bundle, flag: str) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "flags": [f"SECCOMP_FILTER_FLAG_{flag}"]}
    assert bundle.shell("grep Seccomp: /proc/self/status").split()[1] == "2"


@pytest.mark.spec("config-linux.md, Seccomp: flags")
def test_a_flag_that_is_none_is_an_error(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "flags": ["SECCOMP_FILTER_FLAG_X"]}
    bundle.refused("seccomp flag 'SECCOMP_FILTER_FLAG_X' is not supported")


@pytest.mark.spec("config-linux.md, Seccomp: syscalls, names")
def test_a_rule_needs_a_name(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "syscalls": [rule("SCMP_ACT_ERRNO")]}
    bundle.refused("a seccomp rule without names")


@pytest.mark.spec("config-linux.md, Seccomp: syscalls, names")
def test_a_rule_is_for_every_name_it_has(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {
        **_ALLOW,
        "syscalls": [rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat", "nosuchcall", "chdir")],
    }
    said = bundle.shell("mkdir /x 2>&1 || :; cd /etc 2>&1 || :; echo fine")
    assert said.count("ermit") == 2
    assert said.endswith("fine\n")


@pytest.mark.parametrize("op", seccomp.OPERATORS)
@pytest.mark.spec("config-linux.md, Seccomp: syscalls, args, op")
def test_an_operator_compares_as_its_name_says(op: str) -> None:
    holds = {
        "SCMP_CMP_NE": [4, 6],
        "SCMP_CMP_LT": [4],
        "SCMP_CMP_LE": [4, 5],
        "SCMP_CMP_EQ": [5],
        "SCMP_CMP_GE": [5, 6],
        "SCMP_CMP_GT": [6],
        "SCMP_CMP_MASKED_EQ": [5],
    }[op]
    value = {"value": 7, "valueTwo": 5} if op == "SCMP_CMP_MASKED_EQ" else {"value": 5}
    profile = {**_ALLOW, "syscalls": [rule("SCMP_ACT_TRAP", "sysinfo", args=[{"index": 0, "op": op, **value}])]}
    found = [n for n in (4, 5, 6) if asked(profile, [n, 0, 0, 0, 0, 0]) == _RETURNS["SCMP_ACT_TRAP"]]
    assert found == holds


@pytest.mark.parametrize("index", range(6))
@pytest.mark.spec("config-linux.md, Seccomp: syscalls, args, index")
def test_an_index_is_the_arguments_place(index: int) -> None:
    args = [{"index": index, "op": "SCMP_CMP_EQ", "value": 9}]
    profile = {**_ALLOW, "syscalls": [rule("SCMP_ACT_TRAP", "sysinfo", args=args)]}
    for place in range(6):
        given = [9 if n == place else 0 for n in range(6)]
        assert (asked(profile, given) == _RETURNS["SCMP_ACT_TRAP"]) == (place == index)


@pytest.mark.parametrize(
    ("arg", "word"),
    [
        ({"index": 6, "op": "SCMP_CMP_EQ", "value": 0}, "index 6 is out of range"),
        ({"index": 0, "op": "SCMP_CMP_SIMILAR", "value": 0}, "'SCMP_CMP_SIMILAR' is not known"),
    ],
)
@pytest.mark.spec("config-linux.md, Seccomp: syscalls, args")
def test_an_argument_that_cannot_be_is_an_error(bundle: Bundle, arg: dict[str, Any], word: str) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "syscalls": [rule("SCMP_ACT_ERRNO", "sysinfo", args=[arg])]}
    bundle.refused(word)


class Agent:
    """A seccomp agent: receives listeners, answers each notification with `answer` (an errno, or 0 to continue)."""

    def __init__(self, path: Path, answer: int) -> None:
        self.path, self.answer = path, answer
        self.messages: list[dict[str, Any]] = []
        self.counts: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        self._socket.settimeout(HANG_S)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(HANG_S)
        self._socket.close()

    def _serve(self) -> None:
        peer, _ = self._socket.accept()
        with peer:
            data, ancillary, _, _ = peer.recvmsg(1 << 16, socket.CMSG_SPACE(64))
            while more := peer.recv(1 << 16):
                data += more  # until the runtime closes its end
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        self.messages.append(json.loads(data))
        self.counts.append(len(fds))
        libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
        while True:
            notification = ctypes.create_string_buffer(80)
            if libc.ioctl(fds[0], _RECV, notification) < 0:
                break  # ENOENT: the process that made the call has ended
            number = struct.unpack_from("<Q", notification)[0]
            reply = struct.pack("<QqiI", number, 0, -self.answer, 0 if self.answer else _CONTINUE)
            libc.ioctl(fds[0], _SEND, ctypes.create_string_buffer(reply, 24))
            break
        os.close(fds[0])


@contextmanager
def agent(bundle: Bundle, answer: int) -> Iterator[Agent]:
    made = Agent(bundle.folder / "agent.sock", answer)
    bundle.linux["seccomp"] = {
        **_ALLOW,
        "listenerPath": str(made.path),
        "listenerMetadata": "for the agent",
        "syscalls": [rule("SCMP_ACT_NOTIFY", "sethostname")],
    }
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_ADMIN")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.spec("config-linux.md, Seccomp: listenerPath")
def test_the_agent_decides_about_calls_of_which_it_is_notified(bundle: Bundle, *, no_new_privileges: bool) -> None:
    bundle.process["noNewPrivileges"] = no_new_privileges
    with agent(bundle, errno.EXDEV):
        assert "ross-device" in bundle.shell("hostname x 2>&1 || :")


@pytest.mark.spec("config-linux.md, The Container Process State")
def test_the_agent_gets_the_containers_process_state_and_one_descriptor(bundle: Bundle) -> None:
    with agent(bundle, 0) as made:
        assert bundle.shell("hostname changed; hostname") == "changed\n"
    (message,) = made.messages
    assert made.counts == [1]
    assert message["fds"] == ["seccompFd"]
    assert message["ociVersion"].startswith("1.")
    assert message["metadata"] == "for the agent"
    assert (message["state"]["id"], message["state"]["status"]) == (bundle.id, "creating")
    assert message["pid"] == message["state"]["pid"] > 1


@pytest.mark.spec("config-linux.md, Seccomp: listenerPath")
def test_an_agent_that_cannot_be_reached_is_an_error(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "listenerPath": "/missing", "syscalls": [rule("SCMP_ACT_NOTIFY", "sysinfo")]}
    bundle.refused("error sending the seccomp listener to /missing")


@pytest.mark.spec("config-linux.md, Seccomp: listenerPath")
def test_the_listeners_path_is_ignored_where_nobody_is_notified(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "listenerPath": "/missing"}
    assert bundle.shell("echo fine") == "fine\n"


@pytest.mark.spec("config-linux.md, Seccomp: listenerMetadata")
def test_metadata_without_a_listener_is_an_error(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "listenerMetadata": "x"}
    bundle.refused("listenerMetadata without listenerPath")


@pytest.mark.spec("config-linux.md, Seccomp")
def test_an_exec_is_under_the_containers_profile(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {**_ALLOW, "syscalls": [rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat")]}
    bundle.start("sleep", "60")
    assert "ermit" in bundle.command("exec", bundle.id, "mkdir", "/x").stderr
