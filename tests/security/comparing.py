"""Compares two reports of the probe line by line: where our container may do less than the other, or more, and why."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import vmagent.runtime
from tests.security.probing import Report

EQUAL, STRICTER, NAMED, WEAKER = "equal", "stricter", "named", "weaker"
ABSENT = "not there"
_ALLOWED = ("allowed",)
_RESTRICTIONS = frozenset(("ro", "nosuid", "nodev", "noexec", "nosymfollow"))
_TABLES = {"x86_64": "x86_64", "x32": "x32", "i386": "x86"}

# Calls that dockerd 20.10's profile refuses and ours allows: each is in the default profile of today's Docker (28.x,
# seccomp/default.json), which ours follows. Refused with EPERM, they would make programs fail that are built with
# today's C libraries: those fall back to older calls on ENOSYS only.
_OF_TODAY = frozenset(
    (
        "cachestat", "fchmodat2", "futex_requeue", "futex_wait", "futex_wake", "getxattrat", "listmount", "listxattrat",
        "map_shadow_stack", "mseal", "name_to_handle_at", "pkey_alloc", "pkey_free", "pkey_mprotect",
        "process_vm_readv", "process_vm_writev", "removexattrat", "setxattrat", "statmount",
    )
)  # fmt: skip


class Difference(NamedTuple):
    section: str
    name: str
    dockers: str
    ours: str
    verdict: str
    reason: str  # empty where it was found to be weaker


def compare(dockers: Report, ours: Report) -> Iterator[Difference]:
    """What is not equal."""
    for section, name in sorted(dockers.keys() | ours.keys()):
        theirs, mine = dockers.get((section, name), ABSENT), ours.get((section, name), ABSENT)
        if theirs != mine and not _comes_and_goes(section, theirs, mine):
            verdict, reason = _JUDGES[section](name, theirs, mine)
            yield Difference(section, name, theirs, mine, verdict, reason)


def call_name(name: str) -> str:
    """ "x86_64 41 (0x26, 0x1)" → "socket (0x26, 0x1)"."""
    table, number, *arguments = name.split(" ", 2)
    return " ".join([_calls()[_TABLES[table]].get(int(number), f"number {number}"), *arguments])


@functools.cache
def _calls() -> dict[str, dict[int, str]]:
    path = Path(vmagent.runtime.__file__ or "").with_name("syscalls.json")
    return {table: {at: name for name, at in calls.items()} for table, calls in json.loads(path.read_text()).items()}


def _comes_and_goes(section: str, theirs: str, mine: str) -> bool:
    """Files of kernel objects that existed during one of the two runs only, and that are not writable."""
    return section in ("proc", "sys") and ABSENT in (theirs, mine) and "w" not in (theirs + mine).replace(ABSENT, "")


def _process(name: str, theirs: str, mine: str) -> tuple[str, str]:
    if name.startswith("Cap") and int(mine, 16) & ~int(theirs, 16) == 0:
        return STRICTER, "fewer capabilities"
    if name in ("SigIgn", "SigBlk") and int(mine, 16) & ~int(theirs, 16) == 0:
        return STRICTER, "fewer signals ignored or blocked"
    return WEAKER, ""


def _exactly(name: str, theirs: str, mine: str) -> tuple[str, str]:
    return WEAKER, ""


def _descriptor(name: str, theirs: str, mine: str) -> tuple[str, str]:
    if theirs.split(" ")[0] == mine.split(" ")[0] == "/dev/null":
        return NAMED, "the null device is open for both directions: the same file in the same container"
    return WEAKER, ""


def _namespace(name: str, theirs: str, mine: str) -> tuple[str, str]:
    return (STRICTER, "a namespace of its own") if mine == "its own" else (WEAKER, "")


def _cgroup(name: str, theirs: str, mine: str) -> tuple[str, str]:
    if mine == "/":
        return STRICTER, "a cgroup namespace of its own: the host's paths are not shown"
    return WEAKER, ""


def _file(name: str, theirs: str, mine: str) -> tuple[str, str]:
    if mine == ABSENT:
        return STRICTER, "is not there"
    if mine.startswith("c 1:3 ") and not theirs.startswith("c "):
        return STRICTER, "is masked, as by today's Docker"
    if theirs[:1] == mine[:1] in ("d", "f") and set(mine) <= set(theirs):
        return STRICTER, "can't be written"
    return WEAKER, ""


def _device(name: str, theirs: str, mine: str) -> tuple[str, str]:
    pairs = list(zip(_device_answers(theirs), _device_answers(mine), strict=False))
    if pairs and all(ours in (dockers, "EPERM") for dockers, ours in pairs):
        return STRICTER, "/dev/net/tun opens where it was given by --device, not by a node made inside"
    return WEAKER, ""


def _device_answers(value: str) -> list[str]:
    return re.findall(r"(?:mknod|read|write) (\w+)", value)


def _mount(name: str, theirs: str, mine: str) -> tuple[str, str]:
    if theirs == ABSENT:
        return (STRICTER, "masked too") if mine.startswith("ro,") else (WEAKER, "")
    if mine == ABSENT:
        return WEAKER, ""
    dockers, ours = (set(value.split(" ")[0].split(",")) & _RESTRICTIONS for value in (theirs, mine))
    kind, propagation = mine.split(" ")[1:]
    if dockers <= ours and propagation in ("private", theirs.split(" ")[2]):
        if dockers < ours:
            return STRICTER, "more flags that forbid"
        if kind == theirs.split(" ")[1]:
            return STRICTER, "gets no mounts that the host makes later"
    return WEAKER, ""


def _call(name: str, theirs: str, mine: str) -> tuple[str, str]:
    if mine == "killed":
        return STRICTER, "no call by x32's numbers at all: a second way to number every call has been a hole before"
    if theirs not in _ALLOWED and mine not in _ALLOWED:
        return (
            NAMED,
            "refused by both, here as by today's profile; 20.10 does not know the call",
        )
    if mine not in _ALLOWED:
        return STRICTER, "refused by today's profile of Docker too"
    if call_name(name) in _OF_TODAY:
        return NAMED, "allowed by today's default profile of Docker, which ours follows; 20.10's is older"
    return WEAKER, ""


_JUDGES = {
    "process": _process,
    "rlimits": _exactly,
    "oom": _exactly,
    "label": _exactly,
    "idmap": _exactly,
    "descriptors": _descriptor,
    "namespaces": _namespace,
    "cgroups": _cgroup,
    "mounts": _mount,
    "dev": _exactly,
    "proc": _file,
    "sys": _file,
    "root": _file,
    "devices": _device,
    "calls": _call,
}
