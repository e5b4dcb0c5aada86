"""Odd input: the spawner's child and the interpreter's see, make and refuse the same (see `alike`)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import CGROUPS, DEFAULT_CAPABILITIES
from tests.support.limits import HANG_S
from tests.support.tools import ROOT, unpack_tar
from vmagent.runtime.cgroups import tree
from vmagent.runtime.example import example_spec

Spec = dict[str, Any]
Case = tuple[str, Callable[[Spec], object], dict[str, Any]]  # its name, what it changes, arguments of compile_plan

# Without the owner of /proc/keys, which is the host's null device: crun gives that one to the users of its containers.
LOOK = r"""
    pwd; umask; hostname; env; readlink /proc/self/exe; ls /proc/self/fd; stat -c '%n %F %a %t:%T' /proc/keys
    grep -E '^(Uid|Gid|Groups|Cap|NoNew|Seccomp|Sig[BIC]|Shd)' /proc/self/status; ulimit -a
    cat /proc/self/oom_score_adj
    cut -d' ' -f4- /proc/self/mountinfo | sed 's/\(shared\|master\|propagate_from\):[0-9]*/\1/g'
    ls -lan /dev /dev/* 2>&1 | sed 's/[A-Z][a-z][a-z] [ 0-9][0-9] [0-9:]*//'
    cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/kernel/domainname
"""
PASSWD = (
    b"# c:x:1:1\nroot:x:0:0:root:/root:/bin/sh\nshort:x\nguest:x:1005:1006:G:/home/guest:/bin/sh\n"
    b"big:x:3000000000:3000000001::/big:/b\nminus:x:4294967295:0::/m:\nover:x:4294967296:0::/m:\n"
    b"vast:x:99999999999999999999:0::/m:\nzeros:x:0000000000000000000000007:0008::/z:\nara:x:\xd9\xa3:1::/a:\n"
    b"sup:x:\xc2\xb2:1::/a:\nnul\0nul:x:9:9::/n:\nnulhome:x:10:10::/n\0m:\ncr:x:11:11::/cr\r\nempty:x:12:12:::\n"
    b" x:x:13:13::/sp:\nfew:x:14:14\nfive:x:15:15:g\nh:x:16:16:g:rel/ative:x:y:z:w:v\n1005:x:17:18::/num:\n"
    b"n\xff:x:19:19::/h\xfe:\nroot:x:77:77::/second:\n12345:x:20:20::/x\n"
)
GROUP = (
    b"root:x:0:root\nguests:x:1006:\nextra:x:44:\nmany:x:45:a,guest,b\nalmost:x:46:guests,xguest,gues\nbad:x:q:guest\n"
    b"big:x:4294967294:guest\nover:x:4294967295:guest\n0:x:99:\nara:x:\xd9\xa3:guest\nnul:x:48:guest\0\n"
    b"long:x:51:" + b"somebody," * 20_000 + b"guest\nempty:x:49:,,guest,\nsp:x:50: guest\nlast:x:47:guest"
)
PLACES = [
    *["/d/", "//d", "/d/e/../x", "/../../z", "/missing/../d/q", "/loop/x", "/loop", "/dangling", "/dangling/", "/up/x"],
    *[
        "/chain39",
        "/chain40",
        "/chain44",
        "/slashes/",
        "/file",
        "/file/",
        "/file/x",
        "/fifo",
        "/n\udcff\udcfe",
        "/",
        "",
    ],
    *["/" + "x" * 255, "/" + "x" * 256, "/" + ("y" * 250 + "/") * 16, "/" + "a/" * 2048, "/closed/new", "/t \t\n\"\\'"],
]
KERNELS = ["/proc", "//proc", "/proc/..", "/proc/cpuinfo", "/proc/self", "/proc/self/fd/3", "/sys", "//sys", "/dev/"]
COMMANDS = [
    *[
        "",
        ".",
        "..",
        "./echo",
        "bin/echo",
        "/bin",
        "/noexec",
        "/badfmt",
        "/script",
        "/empty",
        "/closed/prog",
        "/file/x",
    ],
    *["/loop", "/fifo", "/dev/null", "x" * 255, "x" * 5000, "x" * 60000, '"\\\x01\x1f\x7f', "\udcff", "/bin/echo/"],
]
USERS = [
    *["0", "guest", "1005", "big", "3000000000", "minus", "4294967295", "over", "vast", "zeros", "7", "07", "0" * 5000],
    *["9" * 5000, ":44", ":", "guest:", "guest:extra", "0:big", "0:4294967294", "0:over", "ara", "\u0663", "\u00b2"],
    *["nul", "9", "nulhome", "10", "cr", "empty", " x", "few", "h", "17", "n\udcff", "+5", "-1", "2147483648"],
]
NUMBERS = [1, 2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**32 + 7, -1, 2**64, "x", None, 1.5]


SCHEDULING: list[dict[str, Any]] = [
    {"scheduler": {"policy": "SCHED_BATCH", "nice": 7}},
    {"scheduler": {"policy": "SCHED_OTHER", "nice": -5}},
    {"scheduler": {"policy": "SCHED_FIFO", "priority": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}},
    {"scheduler": {"policy": "SCHED_FIFO", "priority": 100}},
    {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1}},
    {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}},
    {"ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}},
    {"execCPUAffinity": {"initial": "0", "final": "1"}},
    {"execCPUAffinity": {"initial": "0-2000"}},
    {"execCPUAffinity": {"final": "4000"}},
]


def mount(destination: str, source: str, *options: str, kind: str = "bind") -> Callable[[Spec], object]:
    entry = {"destination": destination, "type": kind, "source": source, "options": list(options)}
    return lambda spec: spec["mounts"].append(entry)


def process(**changes: Any) -> Callable[[Spec], object]:
    return lambda spec: spec["process"].update(changes)


def user(**changes: Any) -> Callable[[Spec], object]:
    return lambda spec: spec["process"]["user"].update(changes)


def linux(**changes: Any) -> Callable[[Spec], object]:
    return lambda spec: spec["linux"].update(changes)


def device(path: str, major: int = 1, minor: int = 3, **more: Any) -> Callable[[Spec], object]:
    return linux(devices=[{"path": path, "type": "c", "major": major, "minor": minor, **more}])


def rlimit(name: str, soft: int, hard: int) -> Callable[[Spec], object]:
    return process(rlimits=[{"type": "RLIMIT_" + name, "soft": soft, "hard": hard}])


def forty(spec: Spec) -> None:
    for number in range(45):
        mount(f"/many/{number}", "@SOURCE@/f" if number % 2 else "@SOURCE@", "bind", "ro")(spec)


def joining(name: str, path: str) -> Callable[[Spec], object]:
    def change(spec: Spec) -> None:
        del spec["hostname"]
        others = [entry for entry in spec["linux"]["namespaces"] if entry["type"] != name]
        spec["linux"]["namespaces"] = [*others, {"type": name, "path": path}]

    return change


def scheduling(**changes: Any) -> Callable[[Spec], object]:
    """The 41st field of stat is the policy, the 40th the real-time priority, the 19th the nice value."""
    script = "cut -d' ' -f19,40,41 /proc/self/stat; ionice -p $$; grep Cpus_allowed: /proc/self/status"
    return process(args=["sh", "-c", script], **changes)


def copying_up(place: str, *options: str) -> Callable[[Spec], object]:
    script = (
        "cd $0 && find . -mindepth 1 -exec stat -c '%n %A %u %g %s %Y %t:%T %N' {} + | sort;"
        "find . -type f -exec md5sum {} +"
    )

    def change(spec: Spec) -> None:
        mount(place, "tmpfs", "tmpcopyup", *options, kind="tmpfs")(spec)
        process(args=["sh", "-c", script, place])(spec)

    return change


def terminal(size: dict[str, int] | None) -> Callable[[Spec], object]:
    script = "(stty size; tty; stat -c %n.%a.%u.%g.%t.%T /dev/console /dev/pts/*) >/o; cp /o /$(md5sum </o|cut -c1-32)"
    return process(terminal=True, consoleSize=size, args=["sh", "-c", script])


FILTER = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
SETS = {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN", "CAP_SYS_ADMIN"], "permitted": ["CAP_CHOWN"]}
MORE_SETS = {**SETS, "inheritable": ["CAP_CHOWN", "CAP_BPF"], "ambient": ["CAP_CHOWN", "CAP_BPF"]}

GROUPS: dict[str, list[Case]] = {
    "places": [
        *((f"folder at {place!r:.40}", mount(place, "@SOURCE@", "rbind"), {}) for place in PLACES + KERNELS),
        *((f"file at {place!r:.40}", mount(place, "@SOURCE@/f", "bind"), {}) for place in PLACES + KERNELS),
        *(
            (f"{kind} at {place}", mount(place, "x", kind=kind), {})
            for place in KERNELS
            for kind in ("tmpfs", "cgroup")
        ),
    ],
    "sources": [
        (f"from {source!r:.40}", mount("/t", source, "bind"), {})
        for source in [
            "@SOURCE@/l",
            "@SOURCE@/dl",
            "@SOURCE@/p",
            "/dev/fuse",
            "/nowhere",
            "//tmp",
            "/tmp/" + "a/" * 2100,
        ]
    ],
    "mount options": [
        *(
            (f"bind {word}", mount("/t", "@SOURCE@", "rbind", word), {})
            for word in [
                "ro",
                "shared",
                "rslave",
                "private",
                "runbindable",
                "noatime",
                "strictatime",
                "rnoexec",
                "nosymfollow",
            ]
        ),
        ("bind many", mount("/t", "@SOURCE@", "bind", "ro", "shared", "rslave", "noexec", "exec", "nosuid"), {}),
        *(
            (f"tmpfs {word}", mount("/t", "tmpfs", "noexec", word, kind="tmpfs"), {})
            for word in [
                "size=x",
                "mode=700",
                "uid=-1",
                "bogus",
                "bogus=1",
                "size=",
                "=1",
                "sync",
                "rro",
                "unbindable",
                "mpol=" + "x" * 300,
            ]
        ),
        *(
            (f"type {kind!r}", mount("/t/x", "src", kind=kind), {})
            for kind in ["nosuchfs", "ramfs", "ext4", "none", "tmpfs\udcff"]
        ),
        ("no source", mount("/t", "", kind="tmpfs"), {}),
        ("45 mounts", forty, {}),
        ("read-only root", lambda spec: spec["root"].update(readonly=True), {}),
        ("no mounts at all", lambda spec: spec.update(mounts=[]), {}),
        *((f"root is {word}", linux(rootfsPropagation=word), {}) for word in ["rshared", "slave", "runbindable"]),
    ],
    "paths covered": [
        (f"{key} {place!r}", linux(**{key: [place, place]}), {})
        for key in ("maskedPaths", "readonlyPaths")
        for place in [
            "/etc/passwd",
            "/etc",
            "/loop",
            "/dangling",
            "/file/x",
            "/fifo",
            "/proc",
            "/proc/self/../kcore",
            "relative",
            "/x" * 2100,
        ]
    ],
    "devices": [
        *(
            (f"at {place!r:.40}", device(place), {})
            for place in [
                "/dev/a/b/c",
                "/x/y",
                "/dev/null",
                "/",
                "",
                "/dev",
                "/loop/x",
                "/file/x",
                "/up/x",
                "/proc/x",
                "/dev/" + "n" * 256,
            ]
        ),
        *(
            (f"{major}:{minor}", device("/dev/x", major, minor), {})
            for major, minor in [(4095, 1), (4097, 1), (1, 1 << 20), (-1, 3), (1 << 32, 1)]
        ),
        *(
            (f"{more}", device("/dev/x", **more), {})
            for more in [{"fileMode": 0}, {"fileMode": 0o24777}, {"uid": 5, "gid": 6}, {"uid": 1 << 32}, {"uid": -1}]
        ),
        ("another kind there", linux(devices=[{"path": "/dev/null", "type": "b", "major": 7, "minor": 0}]), {}),
    ],
    "numbers": [
        *((f"uid {value}", user(uid=value), {}) for value in NUMBERS),
        *((f"gid {value}", user(gid=value), {}) for value in NUMBERS),
        *((f"another gid {value}", user(additionalGids=[value, 5, 5]), {}) for value in NUMBERS),
        ("60000 groups", user(additionalGids=list(range(12_000))), {}),
        *((f"umask {value}", user(umask=value), {}) for value in (0o777, 0o17777, -1)),
        *((f"oom {value}", process(oomScoreAdj=value), {}) for value in (-1000, 1001, 2**40)),
    ],
    "users": [
        *((f"{name!r:.40}", lambda spec: None, {"user": name}) for name in USERS),
        *(
            (f"in {name!r:.40}", lambda spec: None, {"user": "guest", "group_add": [name, name]})
            for name in ["extra", "44", "nope", "-1", "9" * 30, "", "big", "over", "\u0663", " sp"]
        ),
        ("exact groups", lambda spec: None, {"exact_groups": True}),
        ("long line", lambda spec: None, {"user": "guest"}),
    ],
    "commands": [
        *(
            (f"{name!r:.40}", process(args=[name, "hi"]), {"user": name_of})
            for name in COMMANDS
            for name_of in ("", "guest")
        ),
        *(
            (f"by {path!r:.30} in {cwd}", process(env=["PATH=" + path], cwd=cwd, args=["echo", "hi"]), {})
            for cwd in ("/", "/bin")
            for path in [
                "",
                ":/bin",
                "::",
                "relative",
                "/bin/:",
                "/closed:/bin",
                "/" + "x" * 9000 + ":/bin",
                ":" * 3000 + "/bin",
            ]
        ),
        ("no PATH", process(env=[], args=["echo"]), {}),
        *(
            (f"env {words!r}", process(env=["PATH=/bin", *words]), {})
            for words in [
                ["HOME="],
                ["HOME=", "A=b"],
                ["A=1", "B=2", "A=3"],
                ["=x", "A", "B="],
                ["\udcff=\udcfe"],
                ['A=\n"\\'],
                ["HOME=/a", "HOME="],
            ]
        ),
        *((f"{size} bytes", process(args=["sh", "-c", "echo $#", "x", "y" * size]), {}) for size in (100_000, 127_000)),
        ("an argument that has no bytes", process(args=["echo", "\ud800"]), {}),
    ],
    "working folders": [
        (f"{cwd!r:.40} {name}", process(cwd=cwd), {"user": name})
        for name in ("", "guest")
        for cwd in [
            "/d/../d/e",
            "/made/up",
            "/loop",
            "/dangling/x",
            "/file",
            "/chain44",
            "/proc/self/fd/7",
            "/proc/1/cwd",
            "/closed",
            "//",
            "/..",
            "/proc/made",
            "/" + "c" * 256,
        ]
    ],
    "limits": [
        *(
            (f"{name} {soft} {hard}", rlimit(name, soft, hard), {"user": who})
            for who in ("", "guest")
            for name, soft, hard in [
                ("NOFILE", 20, 10),
                ("NOFILE", 3, 3),
                ("NOFILE", 0, 0),
                ("NOFILE", 2**64 - 1, 2**64 - 1),
                ("CORE", 2**63, 2**64 - 2),
                ("NPROC", 0, 0),
                ("FSIZE", 0, 0),
                ("STACK", 8 << 20, 8 << 20),
            ]
        ),
        *(
            (f"sysctl {key} {value!r:.20}", linux(sysctl={key: value}), {})
            for key, value in [
                ("net.ipv4.ip_forward", "1"),
                ("net.ipv4.ip_forward", "x"),
                ("net.ipv4.ip_forward", ""),
                ("net.none", "1"),
                ("kernel.shmmax", " 6 "),
                ("net", "1"),
                ("net.core.somaxconn", "9" * 5000),
            ]
        ),
        *(
            (f"names {name!r:.20}", lambda spec, name=name: spec.update(hostname=name, domainname=name), {})
            for name in ["x" * 64, "x" * 65, "\u00fc", ""]
        ),
    ],
    "rights": [
        *(
            (
                f"filter {word} {who}",
                lambda spec, word=word: (linux(seccomp=FILTER)(spec), process(noNewPrivileges=word)(spec)),
                {"user": who},
            )
            for word in (False, True)
            for who in ("", "guest")
        ),
        ("no execve", linux(seccomp={**FILTER, "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ERRNO"}]}), {}),
        *((f"odd sets {who}", process(capabilities=MORE_SETS), {"user": who}) for who in ("", "guest")),
        *((f"no sets {who}", lambda spec: spec["process"].pop("capabilities"), {"user": who}) for who in ("", "guest")),
        ("an ambient one alone", process(capabilities={**SETS, "ambient": ["CAP_CHOWN"]}), {"user": "guest"}),
    ],
    "terminals": [
        *((f"{size}", terminal(size), {}) for size in [None, {"height": 5, "width": 9}, {"height": 65535, "width": 1}]),
        ("of a user", terminal(None), {"user": "guest"}),
        ("no devpts", lambda spec: (spec.update(mounts=[]), terminal(None)(spec)), {}),
    ],
    "scheduling": [
        (f"{changes}"[:60], scheduling(**changes), {"user": who}) for who in ("", "guest") for changes in SCHEDULING
    ],
    "copying up": [
        (f"{place!r:.20} {words}", copying_up(place, *words), {})
        for place in ("/copy", "/copy/folder", "/loop", "/missing", "/file", "/dangling")
        for words in ((), ("ro", "nosuid"), ("size=4k",), ("nr_inodes=3",), ("mode=700", "uid=5"))
    ],
    "namespaces": [
        (f"{name} of {path}", joining(name, path), {})
        for name in ("network", "ipc", "uts", "cgroup")
        for path in ("/etc/passwd", "/proc/self/ns/mnt", f"/proc/self/ns/{'net' if name == 'network' else name}")
    ],
}


def _fill_copy(folder: Path) -> None:
    """One of each kind of file, with owners, times, modes and attributes."""
    deep = folder / "folder" / "deep"
    deep.mkdir(parents=True)
    (folder / "big").write_bytes(os.urandom(3 << 20))
    (folder / "empty").touch()
    (folder / "link").symlink_to("../no/where")
    (deep / "program").write_text("#!/bin/sh\n")
    os.chown(deep / "program", 5, 6)
    (deep / "program").chmod(0o6755)
    os.setxattr(deep / "program", "user.name", b"value")
    os.mkfifo(deep / "pipe")
    os.mknod(deep / "device", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.chown(folder / "folder", 7, 8)
    (folder / "folder").chmod(0o2750)
    for path in (deep / "program", folder / "folder", folder / "big"):
        os.utime(path, ns=(10**18, 10**18 + 5))


@pytest.fixture(scope="module")
def lower(busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root file system full of traps; the folder "source" beside it is the source of bind mounts."""
    folder = tmp_path_factory.mktemp("alike")
    root, source = folder / "lower", folder / "source"
    root.mkdir()
    unpack_tar(busybox_tar, root)
    (root / "etc" / "passwd").write_bytes(PASSWD)
    (root / "etc" / "group").write_bytes(GROUP)
    links = {"loop": "loop", "dangling": "/nowhere/at/all", "up": "../../../../etc", "chain0": "/made/by/chain"}
    links |= {f"chain{number}": f"chain{number - 1}" for number in range(1, 45)} | {"slashes": "//etc//./x//y/../z//"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    (root / "d" / "e").mkdir(parents=True)
    os.mkdir(os.fsencode(root) + b"/n\xff\xfe")
    (root / "closed").mkdir(mode=0o700)
    os.mkfifo(root / "fifo")
    texts = {
        "file": "x",
        "noexec": "#!/bin/sh\n",
        "badfmt": "\0\1x",
        "script": "#!/no/such\n",
        "empty": "",
        "closed/prog": "#!/bin/sh\n",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
        (root / name).chmod(0o644 if name in ("file", "noexec") else 0o755)
    _fill_copy(root / "copy")
    (source / "d").mkdir(parents=True)
    (source / "f").write_text("source")
    (source / "l").symlink_to("f")
    (source / "dl").symlink_to("nowhere")
    os.mkfifo(source / "p")
    yield root
    tree().at(f"{CGROUPS}-alike").remove()


def answers(cases: list[Case], lower: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """For each case what the spawner's child did and what the interpreter's did."""
    lines = []
    for _, change, arguments in cases:
        spec = example_spec()
        spec["root"]["readonly"] = False
        sets = {name: list(DEFAULT_CAPABILITIES) for name in ("bounding", "effective", "permitted")}
        process(terminal=False, noNewPrivileges=False, env=["PATH=/bin"], args=["sh", "-c", LOOK], capabilities=sets)(
            spec
        )
        change(spec)
        text = json.dumps({"spec": spec, "plan": arguments, "lower": str(lower)})
        lines.append(text.replace("@SOURCE@", str(lower.parent / "source")))
    argv = [sys.executable, "-m", "tests.runtime.alike", f"{CGROUPS}-alike", str(lower.parent / "run")]
    done = subprocess.run(
        argv, input="\n".join(lines), stdout=subprocess.PIPE, text=True, check=True, timeout=HANG_S, cwd=ROOT
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(lines)
    return [(mine, others) for mine, others in found]


@pytest.mark.parametrize("group", GROUPS)
def test_either_makes_the_same(group: str, lower: Path) -> None:
    different = {}
    made = 0
    for (name, _, _), (mine, others) in zip(GROUPS[group], answers(GROUPS[group], lower), strict=True):
        made += "status" in mine
        if mine != others and mine != {"exception": "Exposed()"}:
            different[name] = {key: (mine.get(key), others.get(key)) for key in mine.keys() | others.keys()}
            different[name] = {key: pair for key, pair in different[name].items() if pair[0] != pair[1]}
    assert different == {}
    assert made > len(GROUPS[group]) / 3, "the spawner can't make most of these"


def test_either_enters_a_working_directory_that_the_command_may_not_enter(lower: Path) -> None:
    nothing: dict[str, list[str]] = {kind: [] for kind in ("bounding", "effective", "permitted")}
    cases: list[Case] = [
        (name, process(cwd="/closed", args=["readlink", "/proc/self/cwd"], capabilities=nothing), {"user": name})
        for name in ("root", "guest")
    ]
    (lower / "closed").chmod(0o700)
    os.chown(lower / "closed", 7, 7)
    for mine, others in answers(cases, lower):
        assert (mine.get("failure"), mine["status"], mine["output"]) == (None, 0, "/closed\n")
        assert mine == others
