"""Our seccomp compiler against libseccomp: both programs are run by an interpreter of classic BPF, call by call."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyseccomp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmagent.containers.seccomp_profile import default_profile, resolve_profile
from vmagent.linux.process import CLONE_NEWUSER, PR_SET_NO_NEW_PRIVS, FilterProgram, prctl, unshare
from vmagent.runtime import seccomp
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.seccomp import compile_profile, known_names

_AUDIT = {"x86_64": 0xC000003E, "x86": 0x40000003, "x32": 0xC000003E, "aarch64": 0xC00000B7, "arm": 0x40000028}
_X32_BIT = 0x40000000
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0
_OPS = {
    "SCMP_CMP_EQ": pyseccomp.EQ,
    "SCMP_CMP_NE": pyseccomp.NE,
    "SCMP_CMP_LT": pyseccomp.LT,
    "SCMP_CMP_LE": pyseccomp.LE,
    "SCMP_CMP_GT": pyseccomp.GT,
    "SCMP_CMP_GE": pyseccomp.GE,
    "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ,
}
_INSN = struct.Struct("<HBBI")

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="compares with libseccomp's native x86_64")


def verdict(program: bytes, audit: int, number: int, args: Iterable[int] = ()) -> int:
    """The verdict of `program` on one system call: Documentation/userspace-api/seccomp_filter.rst, classic BPF."""
    data = struct.pack("<IIQ6Q", number, audit, 0, *[*args, 0, 0, 0, 0, 0, 0][:6])
    code = list(_INSN.iter_unpack(program))
    accumulator, at = 0, 0
    while True:
        opcode, on_true, on_false, k = code[at]
        at += 1
        match opcode:
            case 0x20:
                accumulator = struct.unpack_from("<I", data, k)[0]
            case 0x54:
                accumulator &= k
            case 0x05:
                at += k
            case 0x15:
                at += on_true if accumulator == k else on_false
            case 0x25:
                at += on_true if accumulator > k else on_false
            case 0x35:
                at += on_true if accumulator >= k else on_false
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"opcode {opcode:#x}")


def by_libseccomp(profile: Mapping[str, Any], folder: Path) -> bytes:
    """The same profile through libseccomp, added rule by rule as the OCI runtimes do."""
    actions = {"SCMP_ACT_ALLOW": pyseccomp.ALLOW, "SCMP_ACT_KILL": pyseccomp.KILL, "SCMP_ACT_LOG": pyseccomp.LOG}

    def action(name: str, errno: int | None) -> Any:
        return pyseccomp.ERRNO(1 if errno is None else errno) if name == "SCMP_ACT_ERRNO" else actions[name]

    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    built = pyseccomp.SyscallFilter(default)
    architectures = [name.removeprefix("SCMP_ARCH_") for name in profile.get("architectures", ["SCMP_ARCH_X86_64"])]
    for name in architectures:
        if name != "X86_64":
            built.add_arch(getattr(pyseccomp.Arch, name))
    if "X86_64" not in architectures:
        built.remove_arch(pyseccomp.Arch.X86_64)
    for rule in profile["syscalls"]:
        verdict = action(rule["action"], rule.get("errnoRet"))
        if verdict == default:
            continue
        args = [
            pyseccomp.Arg(arg["index"], _OPS[arg["op"]], arg["value"], arg.get("valueTwo", 0))
            for arg in rule.get("args", ())
        ]
        for name in rule["names"]:
            try:
                built.add_rule(verdict, name, *args)
            except OSError:
                continue  # a call that this libseccomp does not know yet
    path = folder / "program"
    with path.open("wb") as file:
        built.export_bpf(file)
    return path.read_bytes()


def by_ours(profile: Mapping[str, Any], machine: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The program for a kernel of `machine`."""
    monkeypatch.setattr(seccomp, "MACHINE", machine)
    seccomp._compile.cache_clear()
    try:
        return compile_profile(profile).instructions
    finally:
        seccomp._compile.cache_clear()


_SAMPLES = {
    "socket": [(family,) for family in (0, 1, 2, 16, 37, 38, 39, 40, 41, 2**32 + 38)],
    "personality": [(p,) for p in (0, 1, 8, 9, 0x20000, 0x20008, 0xFFFFFFFF, 0x40000)],
    "clone": [(flag,) for flag in (0, 0x11, 0x1200011, 0x10000000, 0x20000, 0x40000000, 0x7E020000, 0x80)],
}


_PROFILES = [
    ("x86_64", "amd64", ["x86_64", "x86"]),
    ("x86_64", "amd64", ["x86_64", "x86", "x32"]),
    ("aarch64", "arm64", ["aarch64", "arm"]),
]


@pytest.mark.parametrize("capabilities", [(), ("CAP_SYS_ADMIN",), ("CAP_SYS_PTRACE", "CAP_SYS_TIME")])
@pytest.mark.parametrize(("machine", "goarch", "tables"), _PROFILES)
def test_the_default_profile_decides_as_libseccomp_does(
    machine: str,
    goarch: str,
    tables: list[str],
    capabilities: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Docker's profile on x86_64 and aarch64, and on x86_64 with x32, which Docker's own profile does not have."""
    profile = default_profile(capabilities, goarch)
    profile["architectures"] = [f"SCMP_ARCH_{table.upper()}" for table in tables]
    ours, theirs = by_ours(profile, machine, monkeypatch), by_libseccomp(profile, tmp_path)
    differing, seen = [], 0
    for arch in tables:
        base = _X32_BIT if arch == "x32" else 0
        for number in range(base, base + 549):
            try:
                name = pyseccomp.resolve_syscall(getattr(pyseccomp.Arch, arch.upper()), number).decode()
            except ValueError:
                continue  # newer than this libseccomp, or a gap
            seen += 1
            for args in _SAMPLES.get(name, [(), (7, 7, 7, 7, 7, 7)]):
                mine = verdict(ours, _AUDIT[arch], number, args)
                other = verdict(theirs, _AUDIT[arch], number, args)
                if mine != other:
                    differing.append((arch, name, number, args, hex(mine), hex(other)))
    assert differing == []
    assert seen > 300 * len(tables)


@pytest.mark.parametrize("through", ["socketcall", "ipc"])
@pytest.mark.parametrize(
    "args",
    [
        [],
        [{"index": 0, "op": "SCMP_CMP_NE", "value": 40}],
        [{"index": 2, "op": "SCMP_CMP_EQ", "value": 7}],
        [{"index": 0, "op": "SCMP_CMP_EQ", "value": 3}, {"index": 1, "op": "SCMP_CMP_GT", "value": 6}],
    ],
)
def test_calls_that_i386_multiplexes_are_ruled_there_too(
    through: str, args: list[dict[str, Any]], tmp_path: Path
) -> None:
    number = {"socketcall": 102, "ipc": 117}[through]
    names = [name for name in seccomp._MULTIPLEXED[through].split() if name != "-"]
    for name in names:
        rule = {"names": [name], "action": "SCMP_ACT_LOG", "args": args}
        known = {
            "names": ["fchmodat"],
            "action": "SCMP_ACT_LOG",
        }  # a later call: numbers beyond the last known one give ENOSYS
        architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        profile = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": [rule, known]}
        ours, theirs = compile_profile(profile).instructions, by_libseccomp(profile, tmp_path)
        answers = {
            (call, rest): (verdict(ours, _AUDIT["x86"], number, given), verdict(theirs, _AUDIT["x86"], number, given))
            for call in range(26)
            for rest in (6, 7)
            for given in [(call, rest, rest)]
        }
        assert {key: mine for key, (mine, _) in answers.items()} == {key: other for key, (_, other) in answers.items()}
        assert any(mine != _ERRNO | 1 for mine, _ in answers.values()), name


def test_arguments_of_x32_have_32_bits(tmp_path: Path) -> None:
    refused = {"index": 0, "op": "SCMP_CMP_EQ", "value": 40}
    rules = [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [refused]}]
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": rules}
    for program in (compile_profile(profile).instructions, by_libseccomp(profile, tmp_path)):
        assert verdict(program, _AUDIT["x32"], _X32_BIT | 41, [2**32 + 40]) == _ERRNO | 1
        assert verdict(program, _AUDIT["x86_64"], 41, [2**32 + 40]) == _ALLOW


def test_foreign_architectures_and_x32_are_killed() -> None:
    program = compile_profile(default_profile((), "amd64")).instructions
    assert verdict(program, _AUDIT["aarch64"], 64) == _KILL
    assert verdict(program, _AUDIT["x86_64"], 0x40000000 | 1) == _KILL


def test_calls_newer_than_the_profile_get_enosys() -> None:
    program = compile_profile(default_profile((), "amd64")).instructions
    assert verdict(program, _AUDIT["x86_64"], 480) == _ERRNO | 38
    assert verdict(program, _AUDIT["x86_64"], 250) == _ERRNO | 1  # keyctl: known, and refused


def test_every_name_of_the_default_profile_is_known() -> None:
    names = {name for rule in default_profile((), "amd64")["syscalls"] for name in rule["names"]}
    assert names - known_names() == {"riscv_hwprobe"}


_conditions = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5),
        "op": st.sampled_from(sorted(_OPS)),
        "value": st.sampled_from([0, 1, 5, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63]),
        "valueTwo": st.sampled_from([0, 1, 5, 2**32]),
    }
)
_values = st.sampled_from([0, 1, 4, 5, 6, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**32 + 6, 2**63, 2**64 - 1])


def _holds(condition: Mapping[str, Any], args: list[int]) -> bool:
    have, value = args[condition["index"]], condition["value"]
    holds = {
        "SCMP_CMP_EQ": have == value,
        "SCMP_CMP_NE": have != value,
        "SCMP_CMP_LT": have < value,
        "SCMP_CMP_LE": have <= value,
        "SCMP_CMP_GT": have > value,
        "SCMP_CMP_GE": have >= value,
        "SCMP_CMP_MASKED_EQ": have & value == condition["valueTwo"] & value,
    }
    return bool(holds[condition["op"]])


@settings(deadline=None, max_examples=300)
@given(
    rules=st.lists(st.lists(_conditions, min_size=1, max_size=3, unique_by=lambda c: c["index"]), max_size=3),
    args=st.lists(_values, min_size=6, max_size=6),
)
@pytest.mark.spec("OCI runtime-spec, config-linux.md, Seccomp: args are joined by AND, rules by OR")
def test_argument_comparisons_are_64_bits_wide(rules: list[list[dict[str, Any]]], args: list[int]) -> None:
    syscalls = [{"names": ["openat"], "action": "SCMP_ACT_ALLOW", "args": rule} for rule in rules]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [*syscalls, {"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
    }
    program = compile_profile(profile).instructions
    expected = any(all(_holds(condition, args) for condition in rule) for rule in rules)
    assert (verdict(program, _AUDIT["x86_64"], 257, args) == _ALLOW) == expected


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY"),
        ({"architectures": ["SCMP_ARCH_VAX"]}, "SCMP_ARCH_VAX"),
        ({"flags": ["SECCOMP_FILTER_FLAG_NEW"]}, "SECCOMP_FILTER_FLAG_NEW"),
        ({"syscalls": [{"names": ["dup"], "action": "SCMP_ACT_NOTIFY"}]}, "listenerPath is needed"),
        (
            {"listenerPath": "/x", "syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]},
            "cannot be used for write",
        ),
        ({"listenerMetadata": "x"}, "listenerMetadata without listenerPath"),
        ({"syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]}, "without names"),
        ({"syscalls": [{"names": ["dup"], "action": "SCMP_ACT_LOG", "errnoRet": 1}]}, "takes no errno"),
        ({"defaultErrnoRet": 5}, "takes no errno"),
        ({"flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}, "needs a rule of SCMP_ACT_NOTIFY"),
    ],
)
def test_what_is_not_known_is_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(LaunchError, match=word) as caught:
        compile_profile({"defaultAction": "SCMP_ACT_ALLOW", **change})
    assert caught.value.kind == "spec"


def test_the_kernel_takes_the_default_program_and_obeys_it() -> None:
    program = compile_profile(default_profile((), os.uname().machine))
    loadable = FilterProgram(program.instructions, program.flags)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            loadable.load()
            try:
                unshare(CLONE_NEWUSER)
            except PermissionError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_profile_in_dockers_format_is_resolved_for_the_container() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["riscv_flush_icache"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["riscv64"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.1"}},
        ],
    }

    def names(capabilities: list[str]) -> list[str]:
        return [rule["names"][0] for rule in resolve_profile(profile, capabilities, "amd64")["syscalls"]]

    assert names([]) == ["read", "clone3", "ptrace"]
    assert names(["CAP_SYS_ADMIN"]) == ["read", "mount", "ptrace"]
    assert resolve_profile(profile, [], "amd64")["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
