"""bpf(2) for cgroup v2: the program that decides which devices a container may use.

cgroup v2 has no devices controller. Instead the kernel runs a BPF_PROG_TYPE_CGROUP_DEVICE program (Linux 4.15) at each
mknod(2) and open(2) of a device.
"""

from __future__ import annotations

import ctypes
import os
import struct

from vmagent.linux.syscall import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

# linux/bpf.h: commands
_PROG_LOAD = 5
_PROG_ATTACH = 8
_PROG_DETACH = 9
_PROG_GET_FD_BY_ID = 13
_PROG_QUERY = 16
_PROG_TYPE_CGROUP_DEVICE = 15
_CGROUP_DEVICE = 6
_F_ALLOW_MULTI = 2

# linux/bpf_common.h: opcodes
_LOAD_WORD = 0x61
_AND_IMM = 0x54
_SHIFT_RIGHT_IMM = 0x74
_MOVE = 0xBC
_MOVE_IMM = 0xB7
_JUMP_NOT_EQUAL = 0x5D
_JUMP_NOT_EQUAL_IMM = 0x55
_JUMP_EQUAL_IMM = 0x15
_EXIT = 0x95
_INSN = struct.Struct("=BBhi")  # struct bpf_insn: code, dst | src << 4, off, imm

_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL_ACCESS = 7


def device_program(rules: Sequence[Mapping[str, Any]]) -> bytes:
    """Compile OCI device rules to BPF. The last rule that matches decides; without a match, access is granted.

    Registers: r2 type, r3 requested access, r4 major, r5 minor (from struct bpf_cgroup_dev_ctx).
    """
    code = [
        _INSN.pack(_LOAD_WORD, 2 | 1 << 4, 0, 0),
        _INSN.pack(_MOVE, 3 | 2 << 4, 0, 0),
        _INSN.pack(_AND_IMM, 2, 0, 0xFFFF),
        _INSN.pack(_SHIFT_RIGHT_IMM, 3, 0, 16),
        _INSN.pack(_LOAD_WORD, 4 | 1 << 4, 4, 0),
        _INSN.pack(_LOAD_WORD, 5 | 1 << 4, 8, 0),
    ]
    for rule in reversed(rules):
        if not _add_rule(code, rule):
            break  # this rule matches everything, so the rules before it have no effect
    else:
        code += [_INSN.pack(_MOVE_IMM, 0, 0, 1), _INSN.pack(_EXIT, 0, 0, 0)]
    return b"".join(code)


def _add_rule(code: list[bytes], rule: Mapping[str, Any]) -> bool:
    """Append the code of one rule; a failed test jumps to the next rule. False if the rule matches everything."""
    allow = bool(rule.get("allow"))
    kind, access = rule.get("type") or "a", 0
    for letter in rule.get("access") or "rwm":
        access |= _ACCESS[letter]
    tests: list[tuple[int, int, int]] = []  # opcode, registers, immediate
    if kind != "a":
        tests.append((_JUMP_NOT_EQUAL_IMM, 2, _TYPES["c" if kind == "u" else kind]))
    if access != _ALL_ACCESS:
        tests += [(_MOVE, 1 | 3 << 4, 0), (_AND_IMM, 1, access)]
        # An "allow" rule matches if it covers all requested access, a "deny" rule if it covers any of it.
        tests.append((_JUMP_NOT_EQUAL, 1 | 3 << 4, 0) if allow else (_JUMP_EQUAL_IMM, 1, 0))
    for register, key in ((4, "major"), (5, "minor")):
        value = rule.get(key)
        if value is not None and value >= 0:
            tests.append((_JUMP_NOT_EQUAL_IMM, register, value))
    for position, (opcode, registers, immediate) in enumerate(tests):
        is_jump = opcode in (_JUMP_NOT_EQUAL, _JUMP_NOT_EQUAL_IMM, _JUMP_EQUAL_IMM)
        offset = len(tests) - position - 1 + 2 if is_jump else 0
        code.append(_INSN.pack(opcode, registers, offset, immediate))
    code += [_INSN.pack(_MOVE_IMM, 0, 0, int(allow)), _INSN.pack(_EXIT, 0, 0, 0)]
    return bool(tests)


def attach_device_rules(cgroup_fd: int, rules: Sequence[Mapping[str, Any]]) -> None:
    """Attach a program for `rules` to the cgroup, then detach the device programs attached before. Raises OSError."""
    program_fd = _load(device_program(rules))
    try:
        before = _attached(cgroup_fd)
        _attach(_PROG_ATTACH, cgroup_fd, program_fd, _F_ALLOW_MULTI)
    finally:
        os.close(program_fd)
    for program_id in before:
        old_fd = _bpf(_PROG_GET_FD_BY_ID, struct.pack("=III", program_id, 0, 0))
        try:
            _attach(_PROG_DETACH, cgroup_fd, old_fd, 0)
        finally:
            os.close(old_fd)


def _bpf(command: int, attr: bytes | ctypes.Array[ctypes.c_char]) -> int:
    return syscall("bpf", None, command, attr, ctypes.c_uint(len(attr)))


def _load(instructions: bytes) -> int:
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attr = struct.pack(
        "=IIQQIIQII",
        _PROG_TYPE_CGROUP_DEVICE,
        len(instructions) // _INSN.size,
        ctypes.addressof(buffer),
        ctypes.addressof(licence),
        0,
        0,
        0,
        0,
        0,
    )
    return _bpf(_PROG_LOAD, attr)


def _attach(command: int, cgroup_fd: int, program_fd: int, flags: int) -> None:
    _bpf(command, struct.pack("=IIII", cgroup_fd, program_fd, _CGROUP_DEVICE, flags))


def _attached(cgroup_fd: int) -> list[int]:
    """The ids of the device programs attached to this cgroup itself (at most 64)."""
    ids = ctypes.create_string_buffer(64 * 4)
    attr = ctypes.create_string_buffer(
        struct.pack("=IIIIQII", cgroup_fd, _CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), 64, 0), 32
    )
    _bpf(_PROG_QUERY, attr)
    count = struct.unpack_from("=I", attr, 24)[0]
    return list(struct.unpack_from(f"={count}I", ids))
