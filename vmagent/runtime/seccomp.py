"""OCI seccomp profiles (config-linux.md, "Seccomp") as BPF programs, by a compiler of our own.

System calls of one outcome are joined to ranges and searched by a binary tree: the kernel emulates a filter for every
system call number when it is loaded, so depth counts there, and at run time. The result is that of
libseccomp (tests compare the two): a rule without arguments beats those with, a rule that says the default is left out,
several conditions on one argument are alternatives, a foreign architecture is killed, and on i386 a rule for a call of
sockets or of System V IPC is one for the same call through socketcall(2) or ipc(2) too.
"""

from __future__ import annotations

import json
import marshal
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from vmagent.linux.process import SECCOMP_FILTER_FLAG_NEW_LISTENER
from vmagent.linux.syscall import MACHINE
from vmagent.runtime.failure import SPEC, LaunchError

# linux/audit.h; the name of the table of numbers in syscalls.json; whether arguments have 64 bits
_ARCHITECTURES = {
    "SCMP_ARCH_X86_64": (0xC000003E, "x86_64", True),
    "SCMP_ARCH_X86": (0x40000003, "x86", False),
    "SCMP_ARCH_X32": (0xC000003E, "x32", False),
    "SCMP_ARCH_AARCH64": (0xC00000B7, "aarch64", True),
    "SCMP_ARCH_ARM": (0x40000028, "arm", False),
}
# Other architectures of libseccomp. No kernel that this program runs on reports them for a call, and a filter kills
# calls of an architecture that it does not name. So they are accepted and left out.
_FOREIGN = frozenset(
    "SCMP_ARCH_" + name
    for name in [
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "PARISC",
        "PARISC64",
        "RISCV64",
        "LOONGARCH64",
        "M68K",
        "SH",
        "SHEB",
    ]
)
ARCHITECTURES = tuple(_ARCHITECTURES)
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_X32_BIT = 0x40000000
# i386 calls that can also be made through one multiplexed call, by its first argument, counted from 1 ("-": unused):
# linux/net.h, linux/ipc.h.
_MULTIPLEXED = {
    "socketcall": "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom "
    "shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg",
    "ipc": "semop semget semctl semtimedop - - - - - - msgsnd msgrcv msgget msgctl - - - - - - shmat shmdt shmget "
    "shmctl",
}

# linux/seccomp.h
_KILL_PROCESS = 0x80000000
_KILL_THREAD = 0x00000000
_TRAP = 0x00030000
_ERRNO = 0x00050000
_TRACE = 0x7FF00000
_LOG = 0x7FFC0000
_NOTIFY = 0x7FC00000
_ALLOW = 0x7FFF0000
_ACTIONS = {
    "SCMP_ACT_KILL": _KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": _KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": _KILL_PROCESS,
    "SCMP_ACT_TRAP": _TRAP,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_TRACE": _TRACE,
    "SCMP_ACT_ALLOW": _ALLOW,
    "SCMP_ACT_LOG": _LOG,
    "SCMP_ACT_NOTIFY": _NOTIFY,
}
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # the container's first process has one thread: nothing to synchronise
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
_WAIT_KILLABLE = 32
ACTIONS, FLAGS = tuple(_ACTIONS), tuple(_FLAGS)
_EPERM, _ENOSYS = 1, 38
_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS

# linux/bpf_common.h
_LD_ABS = 0x20
_JEQ = 0x15
_JGT = 0x25
_JGE = 0x35
_JA = 0x05
_AND = 0x54
_RET = 0x06
_OFFSET_NR, _OFFSET_ARCH, _OFFSET_ARGS = 0, 4, 16  # struct seccomp_data, little endian
_INSN = struct.Struct("<HBBI")


class Program(NamedTuple):
    """`instructions`: an array of struct sock_filter; `flags` for seccomp(2)."""

    instructions: bytes
    flags: int


class _Condition(NamedTuple):
    argument: int
    op: str
    value: int
    value_two: int


class _Outcome(NamedTuple):
    """What happens to one system call: the first of `rules` whose conditions all hold, else `otherwise`."""

    rules: tuple[tuple[tuple[_Condition, ...], int], ...]
    otherwise: int


_Code = list[tuple[int, int, int, int]]


def compile_profile(profile: Mapping[str, Any]) -> Program:
    """The BPF program of an OCI seccomp object; programs are cached by the object's content.

    Raises LaunchError (spec) for actions, architectures, flags or comparisons that are not known.
    """
    # marshal takes half of json's time. Its version 2 has no back references: equal profiles give equal bytes.
    return _compile(marshal.dumps(dict(profile), 2))


@lru_cache(maxsize=64)
def _compile(content: bytes) -> Program:
    profile = marshal.loads(content)
    notifies = _check_listener(profile)
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    names = list(profile.get("architectures") or ())
    native = NATIVE.get(MACHINE)
    if native is not None and native not in names:
        names.insert(0, native)
    groups: dict[int, list[tuple[str, bool]]] = {}
    for name in names:
        if name in _FOREIGN:
            continue
        if name not in _ARCHITECTURES:
            raise LaunchError(SPEC, f"seccomp architecture {name!r} is not known")
        audit, table, wide = _ARCHITECTURES[name]
        if (table, wide) not in groups.setdefault(audit, []):
            groups[audit].append((table, wide))
    code: _Code = [(_LD_ABS, 0, 0, _OFFSET_ARCH)]
    for audit, tables in groups.items():
        body: _Code = [(_LD_ABS, 0, 0, _OFFSET_NR)]
        body += _for_tables(profile, tables, default)
        code += [(_JEQ, 1, 0, audit), (_JA, 0, 0, len(body)), *body]
    code.append((_RET, 0, 0, _KILL_THREAD))
    if len(code) > _MAX_INSTRUCTIONS:
        raise LaunchError(
            SPEC, f"the seccomp profile needs {len(code)} instructions, the kernel takes {_MAX_INSTRUCTIONS}"
        )
    flags = 0
    for flag in profile.get("flags") or ():
        if flag not in _FLAGS:
            raise LaunchError(SPEC, f"seccomp flag {flag!r} is not supported")
        flags |= _FLAGS[flag]
    if notifies:
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER
    elif flags & _WAIT_KILLABLE:
        raise LaunchError(SPEC, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule of SCMP_ACT_NOTIFY")
    return Program(b"".join(_INSN.pack(*instruction) for instruction in code), flags)


def _check_listener(profile: Mapping[str, Any]) -> bool:
    """Whether the profile needs a listener. Raises LaunchError for a listener that could not work."""
    if profile.get("listenerMetadata") and not profile.get("listenerPath"):
        raise LaunchError(SPEC, "seccomp.listenerMetadata without listenerPath")
    if profile["defaultAction"] == "SCMP_ACT_NOTIFY":
        raise LaunchError(SPEC, "SCMP_ACT_NOTIFY cannot be the default action: the runtime itself could not go on")
    rules = [rule for rule in profile.get("syscalls") or () if rule["action"] == "SCMP_ACT_NOTIFY"]
    if rules and not profile.get("listenerPath"):
        raise LaunchError(SPEC, "seccomp.listenerPath is needed for SCMP_ACT_NOTIFY")
    if any("write" in rule["names"] for rule in rules):
        raise LaunchError(
            SPEC, "SCMP_ACT_NOTIFY cannot be used for write: the runtime needs write to pass on the listener"
        )
    return bool(rules)


def _for_tables(profile: Mapping[str, Any], tables: Sequence[tuple[str, bool]], default: int) -> _Code:
    """The search among the numbers of one audit architecture (x86_64 and x32 share one)."""
    outcomes: dict[int, _Outcome] = {}
    unknown = default
    highest = -1
    wide = tables[0][1] or len(tables) > 1  # `_search` handles the width of x32
    has_x32 = any(table == "x32" for table, _ in tables)
    for table, _ in tables:
        numbers = _numbers()[table]
        found = _outcomes(profile, numbers, default, _multiplexed(numbers) if table == "x86" else {})
        outcomes.update(found)
        named = {numbers[name] for rule in profile.get("syscalls") or () for name in rule["names"] if name in numbers}
        highest = max(highest, max((n & ~_X32_BIT for n in named if n & ~_X32_BIT < 0xF0000), default=-1))
    if default & 0xFFFF0000 not in (_ALLOW, _LOG) and highest >= 0:
        unknown = _ERRNO | _ENOSYS  # newer than the profile: libc falls back on ENOSYS, not on EPERM
    ranges = _ranges(outcomes, default, unknown, highest, has_x32)
    if any(table == "x86_64" for table, _ in tables) and not has_x32:
        ranges = [r for r in ranges if r[0] < _X32_BIT]
        ranges.append((_X32_BIT, _Outcome((), _KILL_THREAD)))
    return _search(ranges, wide)


def _multiplexed(numbers: Mapping[str, int]) -> dict[str, tuple[int, _Condition]]:
    """Call name → (number of the multiplexed call, condition on its first argument)."""
    return {
        name: (numbers[through], _Condition(0, "SCMP_CMP_EQ", position, 0))
        for through, names in _MULTIPLEXED.items()
        for position, name in enumerate(names.split(), 1)
        if name != "-"
    }


def _outcomes(
    profile: Mapping[str, Any],
    numbers: Mapping[str, int],
    default: int,
    multiplexed: Mapping[str, tuple[int, _Condition]],
) -> dict[int, _Outcome]:
    plain: dict[int, int] = {}
    guarded: dict[int, list[tuple[tuple[_Condition, ...], int]]] = {}
    for rule in profile.get("syscalls") or ():
        if not rule.get("names"):
            raise LaunchError(SPEC, "a seccomp rule without names")
        action = _action(rule["action"], rule.get("errnoRet"))
        if action == default:
            continue
        alternatives = _alternatives(rule.get("args") or ())
        for name in rule["names"]:
            number = numbers.get(name)
            if number is not None and alternatives:
                guarded.setdefault(number, []).extend((conditions, action) for conditions in alternatives)
            elif number is not None:
                plain.setdefault(number, action)
            if name in multiplexed:
                number, which = multiplexed[name]
                guarded.setdefault(number, []).extend(
                    ((which, *(condition for condition in conditions if condition.argument)), action)
                    for conditions in alternatives or [()]
                )
    result = {number: _Outcome((), action) for number, action in plain.items()}
    for number, rules in guarded.items():
        if number not in result:
            result[number] = _Outcome(tuple(dict.fromkeys(rules)), default)
    return result


def _alternatives(args: Sequence[Mapping[str, Any]]) -> list[tuple[_Condition, ...]]:
    conditions = [
        _Condition(arg["index"], arg["op"], arg.get("value", 0) & (1 << 64) - 1, arg.get("valueTwo", 0) & (1 << 64) - 1)
        for arg in args
    ]
    for condition in conditions:
        if not 0 <= condition.argument <= 5:
            raise LaunchError(SPEC, f"seccomp argument index {condition.argument} is out of range")
        if condition.op not in _COMPARISONS:
            raise LaunchError(SPEC, f"seccomp comparison {condition.op!r} is not known")
    if len({condition.argument for condition in conditions}) < len(conditions):
        return [(condition,) for condition in conditions]
    return [tuple(conditions)] if conditions else []


def _action(name: str, errno_ret: int | None) -> int:
    if name not in _ACTIONS:
        raise LaunchError(SPEC, f"seccomp action {name!r} is not supported")
    action = _ACTIONS[name]
    if errno_ret is not None and action not in (_ERRNO, _TRACE):
        raise LaunchError(SPEC, f"seccomp action {name} takes no errno")
    if action in (_ERRNO, _TRACE):
        action |= _EPERM if errno_ret is None else errno_ret & 0xFFFF
    return action


def _ranges(
    outcomes: Mapping[int, _Outcome], default: int, unknown: int, highest: int, has_x32: bool
) -> list[tuple[int, _Outcome]]:
    """[(first number, outcome)] in ascending order, neighbours of one outcome joined; the first begins at 0."""
    starts: dict[int, _Outcome] = {0: _Outcome((), default)}
    for base in (0, _X32_BIT) if has_x32 else (0,):
        starts[base] = _Outcome((), default)
        starts[base + highest + 1] = _Outcome((), unknown)
    for number in sorted(outcomes):
        after = number + 1
        if after not in starts and after not in outcomes:
            starts[after] = _Outcome((), unknown if number & ~_X32_BIT > highest else default)
        starts[number] = outcomes[number]
    joined: list[tuple[int, _Outcome]] = []
    for number in sorted(starts):
        if not joined or joined[-1][1] != starts[number]:
            joined.append((number, starts[number]))
    return joined


def _search(ranges: Sequence[tuple[int, _Outcome]], wide: bool) -> _Code:
    """A binary tree of comparisons; the number is in the accumulator until a leaf looks at arguments."""
    if len(ranges) == 1:
        return _leaf(ranges[0][1], wide and ranges[0][0] < _X32_BIT)  # x32's arguments have 32 bits
    middle = len(ranges) // 2
    low, high = _search(ranges[:middle], wide), _search(ranges[middle:], wide)
    if len(low) <= 255:
        return [(_JGE, len(low), 0, ranges[middle][0]), *low, *high]
    return [(_JGE, 0, 1, ranges[middle][0]), (_JA, 0, 0, len(low)), *low, *high]


def _leaf(outcome: _Outcome, wide: bool) -> _Code:
    code: _Code = [(_RET, 0, 0, outcome.otherwise)]
    for conditions, action in reversed(outcome.rules):
        test: _Code = [(_RET, 0, 0, action)]
        for condition in reversed(conditions):
            # Built from the last test backwards, so that each test knows the length of the code that it may jump over.
            test = _test(condition, wide, len(test)) + test
        code = test + code
    return code


def _test(condition: _Condition, wide: bool, skip: int) -> _Code:
    """Fall through if the condition holds, jump over `skip` further instructions if not."""
    low_at = _OFFSET_ARGS + 8 * condition.argument
    masks = ((1 << 64) - 1, condition.value) if condition.op != "SCMP_CMP_MASKED_EQ" else (condition.value, 0)
    value = condition.value_two & condition.value if condition.op == "SCMP_CMP_MASKED_EQ" else condition.value
    compare = _COMPARISONS[condition.op]
    low: _Code = [(_LD_ABS, 0, 0, low_at)]
    high: _Code = [(_LD_ABS, 0, 0, low_at + 4)]
    if condition.op == "SCMP_CMP_MASKED_EQ":
        low.append((_AND, 0, 0, masks[0] & 0xFFFFFFFF))
        high.append((_AND, 0, 0, masks[0] >> 32))
    low_value, high_value = value & 0xFFFFFFFF, value >> 32
    opcode, is_negated = compare
    on_true, on_false = (skip, 0) if is_negated else (0, skip)
    low.append((opcode, on_true, on_false, low_value))
    if not wide:
        return low
    # High words first: equal → the low words decide; else their order does.
    if opcode == _JEQ:
        unequal = len(low) if is_negated else len(low) + skip
        return [*high, (_JEQ, 0, unequal, high_value), *low]
    # greater: high > value → true; high == value → low words; else false. `is_negated` swaps the two ends.
    when_true = len(low) + (skip if is_negated else 0)
    when_false = len(low) + (0 if is_negated else skip)
    return [*high, (_JGT, when_true + 1, 0, high_value), (_JEQ, 0, when_false, high_value), *low]


# op → (comparison of the low word, whether the condition is its opposite)
_COMPARISONS = {
    "SCMP_CMP_EQ": (_JEQ, False),
    "SCMP_CMP_NE": (_JEQ, True),
    "SCMP_CMP_MASKED_EQ": (_JEQ, False),
    "SCMP_CMP_GT": (_JGT, False),
    "SCMP_CMP_GE": (_JGE, False),
    "SCMP_CMP_LT": (_JGE, True),
    "SCMP_CMP_LE": (_JGT, True),
}


@lru_cache(maxsize=1)
def _numbers() -> dict[str, dict[str, int]]:
    """System call numbers by table and name, as the kernel's headers have them (syscalls.json beside this file)."""
    tables: dict[str, dict[str, int]] = json.loads((Path(__file__).parent / "syscalls.json").read_text())
    return tables


OPERATORS = tuple(_COMPARISONS)


def known_names() -> frozenset[str]:
    """Every system call name that the tables know."""
    return frozenset(name for table in _numbers().values() for name in table)
