"""config.md of the OCI runtime specification: process and user. One statement, one test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle


@pytest.mark.spec("config.md, Process")
def test_a_specification_without_a_process_is_refused(bundle: Bundle) -> None:
    del bundle.spec["process"]
    (bundle.folder / "config.json").write_text("{}")
    bundle.write()
    done = bundle.create()
    assert (done.returncode, done.stderr) == (1, "the specification has no process")


@pytest.mark.spec("config.md, Process: terminal")
def test_a_terminal_is_the_three_standard_streams(bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    assert bundle.shell("for n in 0 1 2; do readlink /proc/self/fd/$n; done").split() == ["/dev/pts/0"] * 3


@pytest.mark.spec("config.md, Process: terminal")
def test_there_is_no_terminal_unless_it_is_asked_for(bundle: Bundle) -> None:
    del bundle.process["terminal"]
    assert bundle.run("sh", "-c", "tty; test ! -e /dev/console").stdout == "not a tty\n"


@pytest.mark.spec("config.md, Process: consoleSize")
def test_the_console_size_is_ignored_without_a_terminal(bundle: Bundle) -> None:
    bundle.process["consoleSize"] = {"height": 5, "width": 6}
    assert bundle.shell("echo fine") == "fine\n"


@pytest.mark.spec("config.md, Process: consoleSize")
def test_the_console_size_is_the_terminals(bundle: Bundle) -> None:
    bundle.process.update(terminal=True, consoleSize={"height": 44, "width": 111})
    assert bundle.shell("stty size").split() == ["44", "111"]


@pytest.mark.spec("config.md, Process: cwd")
def test_the_working_folder_must_be_absolute(bundle: Bundle) -> None:
    bundle.process["cwd"] = "tmp"
    bundle.refused("cwd must be an absolute path")


@pytest.mark.spec("config.md, Process: cwd")
def test_the_command_begins_in_its_working_folder(bundle: Bundle) -> None:
    bundle.process["cwd"] = "/etc"
    assert bundle.shell("pwd; ls passwd") == "/etc\npasswd\n"


@pytest.mark.spec("config.md, Process: env")
def test_the_environment_is_what_is_given(bundle: Bundle) -> None:
    bundle.process["env"] = ["PATH=/bin", "A=b=c", "EMPTY=", "HOME=/x"]
    assert set(bundle.run("/bin/env").stdout.split()) == {"PATH=/bin", "A=b=c", "EMPTY=", "HOME=/x"}


@pytest.mark.parametrize("args", [[], None])
@pytest.mark.spec("config.md, Process: args")
def test_at_least_one_argument_is_needed(bundle: Bundle, args: list[str] | None) -> None:
    bundle.process["args"] = args
    bundle.refused("args must not be empty")


@pytest.mark.spec("config.md, Process: args")
def test_the_command_is_searched_in_the_path_as_execvp_does(bundle: Bundle) -> None:
    (bundle.rootfs / "first").mkdir()
    (bundle.rootfs / "first" / "echo").write_text("not executable")
    bundle.process["env"] = ["PATH=/first:/bin"]
    assert bundle.run("echo", "a b", "").stdout == "a b \n"


@pytest.mark.spec("config.md, POSIX process: rlimits")
def test_a_limit_that_the_kernel_does_not_know_is_an_error(bundle: Bundle) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_TEMPER", "soft": 1, "hard": 1}]
    bundle.refused("rlimit 'RLIMIT_TEMPER' is not known")


@pytest.mark.spec("config.md, POSIX process: rlimits")
def test_every_limit_of_the_kernel_is_known(bundle: Bundle) -> None:
    words = {
        "CPU": "Max cpu time",
        "FSIZE": "Max file size",
        "DATA": "Max data size",
        "STACK": "Max stack size",
        "CORE": "Max core file size",
        "RSS": "Max resident set",
        "NPROC": "Max processes",
        "NOFILE": "Max open files",
        "MEMLOCK": "Max locked memory",
        "AS": "Max address space",
        "LOCKS": "Max file locks",
        "SIGPENDING": "Max pending signals",
        "MSGQUEUE": "Max msgqueue size",
        "RTTIME": "Max realtime timeout",
    }
    sizes = {name: 4096 * (100_000 + number) for number, name in enumerate(words)}
    sizes.update(NOFILE=300, NPROC=400, SIGPENDING=500, MEMLOCK=4096, MSGQUEUE=8192, STACK=1 << 20)
    bundle.process["rlimits"] = [{"type": f"RLIMIT_{name}", "soft": size, "hard": size} for name, size in sizes.items()]
    lines = bundle.run("/bin/cat", "/proc/self/limits").stdout.splitlines()
    for name, word in words.items():
        line = next(line for line in lines if line.startswith(word))
        assert line[len(word) :].split()[:2] == [str(sizes[name])] * 2, line


@pytest.mark.spec("config.md, POSIX process: rlimits, soft")
def test_the_soft_limit_is_what_is_given(bundle: Bundle) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 4096, "hard": 8192}]
    assert bundle.shell("grep 'Max core' /proc/self/limits").split()[4] == "4096"


@pytest.mark.spec("config.md, POSIX process: rlimits, hard")
def test_the_hard_limit_is_what_is_given(bundle: Bundle) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 4096, "hard": 8192}]
    assert bundle.shell("grep 'Max core' /proc/self/limits").split()[5] == "8192"


@pytest.mark.spec("config.md, POSIX process: rlimits")
def test_a_limit_given_twice_is_an_error(bundle: Bundle) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2
    bundle.refused("rlimit 'RLIMIT_CORE' is given twice")


@pytest.mark.spec("config.md, Linux Process: apparmorProfile")
def test_an_apparmor_profile_is_refused(bundle: Bundle) -> None:
    bundle.process["apparmorProfile"] = "strict"
    bundle.refused("neither AppArmor nor SELinux")


@pytest.mark.spec("config.md, Linux Process: selinuxLabel")
def test_an_selinux_label_is_refused(bundle: Bundle) -> None:
    bundle.process["selinuxLabel"] = "system_u:system_r:svirt_lxc_net_t:s0"
    bundle.refused("neither AppArmor nor SELinux")


@pytest.mark.spec("config.md, Linux Process: capabilities")
def test_a_capability_that_is_none_is_a_warning(bundle: Bundle) -> None:
    bundle.process["capabilities"]["bounding"] += ["CAP_FLY"]
    done = bundle.run("echo", "fine")
    assert done.stdout == "fine\n"
    assert "level=warning msg=\"unknown capability 'CAP_FLY' in bounding is left out\"" in done.stderr


@pytest.mark.spec("config.md, Linux Process: capabilities")
def test_a_capability_that_cannot_be_granted_is_no_failure(bundle: Bundle) -> None:
    held = int(Path("/proc/self/status").read_text().split("CapPrm:")[1].split()[0], 16)
    for kind in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"][kind] = ["CAP_SYS_RESOURCE", "CAP_CHOWN"]
    said = bundle.shell("grep CapEff /proc/self/status").split()[1]
    assert int(said, 16) == (1 << 24 | 1) & held


SETS = {
    "effective": "CapEff",
    "bounding": "CapBnd",
    "inheritable": "CapInh",
    "permitted": "CapPrm",
    "ambient": "CapAmb",
}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.spec("config.md, Linux Process: capabilities")
def test_each_capability_set_is_what_is_given(bundle: Bundle, kind: str) -> None:
    """As a user other than root, for whom no special rules hold; each set differs by one capability from the others."""
    chosen = ["CAP_CHOWN", "CAP_NET_RAW"]
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {name: list(chosen) for name in SETS}
    bundle.process["capabilities"]["bounding"] = [*chosen, "CAP_KILL"]
    expected = 1 | 1 << 13 | (1 << 5 if kind == "bounding" else 0)
    assert int(bundle.shell(f"grep {SETS[kind]} /proc/self/status").split()[1], 16) == expected


@pytest.mark.spec("config.md, Linux Process: noNewPrivileges")
def test_no_new_privileges_stops_setuid_programs(bundle: Bundle) -> None:
    program = bundle.rootfs / "bin" / "suid"
    program.write_bytes((bundle.rootfs / "bin" / "busybox").read_bytes())
    program.chmod(0o4755)
    (bundle.rootfs / "bin" / "id").unlink(missing_ok=True)
    (bundle.rootfs / "bin" / "id").symlink_to("suid")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["noNewPrivileges"] = True
    assert bundle.shell("grep NoNewPrivs /proc/self/status; grep -c . /proc/self/mounts >/dev/null; id -u").split()[
        1:
    ] == ["1", "1000"]


@pytest.mark.spec("config.md, Linux Process: oomScoreAdj")
def test_the_oom_score_is_what_is_given(bundle: Bundle) -> None:
    bundle.process["oomScoreAdj"] = 321
    assert bundle.run("/bin/cat", "/proc/self/oom_score_adj").stdout == "321\n"


@pytest.mark.spec("config.md, Linux Process: oomScoreAdj")
def test_the_oom_score_stays_when_nothing_is_given(bundle: Bundle) -> None:
    own = Path("/proc/self/oom_score_adj").read_text()
    assert bundle.run("/bin/cat", "/proc/self/oom_score_adj").stdout == own


def _stat(text: str) -> list[str]:
    """The fields of /proc/PID/stat after the name; the first is field 3 of proc(5)."""
    return text[text.rindex(")") + 2 :].split()


@pytest.mark.parametrize(
    ("scheduler", "nice", "priority", "policy"),
    [
        ({"policy": "SCHED_BATCH", "nice": 5}, "5", "0", "3"),
        ({"policy": "SCHED_OTHER"}, "0", "0", "0"),
        ({"policy": "SCHED_IDLE"}, str(os.getpriority(os.PRIO_PROCESS, 0)), "0", "5"),  # which has no nice value to set
    ],
)
@pytest.mark.spec("config.md, Linux Process: scheduler")
def test_the_scheduler_is_what_is_given_and_unset_values_are_zero(
    bundle: Bundle, scheduler: dict[str, object], nice: str, priority: str, policy: str
) -> None:
    bundle.process["scheduler"] = scheduler
    fields = _stat(bundle.run("/bin/cat", "/proc/self/stat").stdout)
    assert (fields[16], fields[37], fields[38]) == (nice, priority, policy)


@pytest.mark.parametrize(
    ("scheduler", "word"),
    [
        ({"policy": "SCHED_LATER"}, "scheduler.policy 'SCHED_LATER' is not known"),
        ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_X"]}, "'SCHED_FLAG_X' is not known"),
        ({"policy": "SCHED_OTHER", "nice": 20}, "is not between -20 and 19"),
        ({"policy": "SCHED_OTHER", "priority": 3}, "is for SCHED_FIFO and SCHED_RR"),
        ({"policy": "SCHED_FIFO", "runtime": 3}, "are for SCHED_DEADLINE"),
        ({"policy": "SCHED_DEADLINE"}, "error setting the scheduler"),
    ],
)
@pytest.mark.spec("config.md, Linux Process: scheduler")
def test_a_scheduler_that_cannot_be_is_an_error(bundle: Bundle, scheduler: dict[str, object], word: str) -> None:
    bundle.process["scheduler"] = scheduler
    bundle.refused(word)


@pytest.mark.spec("config.md, Linux Process: scheduler, flags")
def test_scheduler_flags_are_set(bundle: Bundle) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    mine, childs = bundle.shell("cat /proc/$$/stat; cat /proc/self/stat; true").splitlines()
    assert _stat(mine)[38] == "3"
    assert (_stat(mine)[16], _stat(childs)[16]) == ("-5", "0"), "a child begins anew"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"class": "IOPRIO_CLASS_BE", "priority": 6}, "best-effort: prio 6"),
        ({"class": "IOPRIO_CLASS_IDLE"}, "idle"),
        ({"class": "IOPRIO_CLASS_RT", "priority": 2}, "realtime: prio 2"),
    ],
)
@pytest.mark.spec("config.md, Linux Process: ioPriority")
def test_the_io_priority_is_what_is_given(bundle: Bundle, given: dict[str, object], said: str) -> None:
    bundle.process["ioPriority"] = given
    assert bundle.run("ionice").stdout.startswith(said)


@pytest.mark.parametrize("given", [{"class": "IOPRIO_CLASS_X"}, {"class": "IOPRIO_CLASS_BE", "priority": 8}])
@pytest.mark.spec("config.md, Linux Process: ioPriority")
def test_an_io_priority_that_is_none_is_an_error(bundle: Bundle, given: dict[str, object]) -> None:
    bundle.process["ioPriority"] = given
    bundle.refused("ioPriority.")


@pytest.mark.spec("config.md, Linux Process: execCPUAffinity")
def test_an_exec_runs_on_the_cpus_that_are_given(bundle: Bundle) -> None:
    cpu = max(os.sched_getaffinity(0))
    bundle.process["execCPUAffinity"] = {"initial": "0", "final": str(cpu)}
    bundle.start("sleep", "60")
    said = bundle.command("exec", bundle.id, "grep", "Cpus_allowed_list", "/proc/self/status").stdout
    assert said.split()[1] == str(cpu)
    bundle.command("delete", "--force", bundle.id)
    bundle.process["execCPUAffinity"] = {"initial": "0-x"}
    bundle.refused("is no list of CPUs")


@pytest.mark.spec("config.md, POSIX-platform User: uid")
def test_the_user_is_who_is_given(bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 77, "gid": 0}
    assert bundle.shell("id -u; touch /dev/shm/x && stat -c %u /dev/shm/x").split() == ["77", "77"]


@pytest.mark.spec("config.md, POSIX-platform User: gid")
def test_the_group_is_what_is_given(bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 0, "gid": 88}
    assert bundle.shell("id -g; id -G").split() == ["88", "88"]


@pytest.mark.spec("config.md, POSIX-platform User: umask")
def test_the_umask_is_what_is_given(bundle: Bundle) -> None:
    bundle.process["user"]["umask"] = 0o037
    assert bundle.shell("umask; touch /x; stat -c %a /x").split() == ["0037", "640"]


@pytest.mark.spec("config.md, POSIX-platform User: umask")
def test_the_umask_is_an_ordinary_one_when_none_is_given(bundle: Bundle) -> None:
    assert bundle.shell("umask") == "0022\n"


@pytest.mark.spec("config.md, POSIX-platform User: additionalGids")
def test_additional_groups_are_the_processs_own(bundle: Bundle) -> None:
    bundle.process["user"]["additionalGids"] = [5, 1234]
    assert bundle.shell("id -G").split() == ["0", "5", "1234"]
