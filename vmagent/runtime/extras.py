"""What few containers ask for: user and time namespaces, idmapped mounts, copy-up, hooks, scheduling, kept descriptors.

Loaded by `launch` before clone3 and only for a plan that asks, so that an ordinary start pays for none of it; the child
finds everything imported. Methods marked (child) run there.
"""

from __future__ import annotations

import os
import resource
import stat
from contextlib import suppress

from vmagent.linux import mounts, scheduling
from vmagent.linux import process as linux
from vmagent.linux.idmaps import outside
from vmagent.runtime import hooks, usernamespace
from vmagent.runtime.copyup import copy_up
from vmagent.runtime.failure import MOUNT, LaunchError, failed
from vmagent.runtime.process import set_oom_score

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vmagent.runtime.cgroups import Cgroup
    from vmagent.runtime.spawn import Birth, Report


def raise_limits(process: dict[str, Any]) -> None:
    """(child, in the host's user namespace) What takes CAP_SYS_RESOURCE of the host: a hard limit above ours, and a
    smaller oom_score_adj. The limits themselves are set later, as they may hinder what is still to do; and what this
    process may not do either is told then, by whoever tries it again.
    """
    for number, _, hard in process["rlimits"]:
        own_soft, own_hard = resource.getrlimit(number)
        if own_hard != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > own_hard):
            with suppress(OSError, ValueError):  # Python says ValueError for EPERM
                resource.setrlimit(number, (own_soft, hard))
    if process["oom_score_adj"] is not None:
        with suppress(LaunchError):
            set_oom_score(process["oom_score_adj"])


class Extras:
    """`plan["extra"]` and `process["extra"]` (either may be None), and what was prepared for them."""

    __slots__ = (
        "_plan",
        "_process",
        "_process_plan",
        "_start_hooks",
        "_state",
        "devices",
        "is_user",
        "root_fd",
        "sources",
    )

    def __init__(self, plan: dict[str, Any] | None, process: dict[str, Any]) -> None:
        self._plan: dict[str, Any] = (plan and plan["extra"]) or {}
        self._process: dict[str, Any] = process["extra"] or {}
        self._process_plan = process
        self._state: dict[str, Any] = {}
        self._start_hooks: list[hooks.PreparedHook] = []
        self.is_user = False
        self.root_fd = -1
        self.sources: dict[int, int] = {}
        self.devices: dict[str, int] = {}

    def prepare(self, plan: dict[str, Any], birth: Birth, joins: list[tuple[int, int]]) -> usernamespace.Prepared:
        """Before clone3: everything that needs the host's root. The caller closes the result. Raises LaunchError."""
        birth.time_offsets = self._plan.get("time_offsets")
        prepared = usernamespace.prepare(plan, self._plan.get("user"))
        self.root_fd, self.sources, self.devices = prepared.root_fd, prepared.sources, prepared.devices
        if prepared.user_ns_fd >= 0:
            self.is_user = True
            birth.user_ns_fd = prepared.user_ns_fd
            birth.joins = [(fd, flag) for fd, flag in joins if flag != linux.CLONE_NEWPID]
            birth.as_host = lambda: raise_limits(plan["process"])
        return prepared

    def own_cgroup(self, cgroup: Cgroup) -> None:
        """cgroup v2: give the container's own cgroup to its user (config-linux.md, "Cgroup ownership")."""
        owner = self._plan.get("cgroup_owner")
        if owner is not None:
            try:
                cgroup.give_to(owner)
            except OSError as e:
                raise failed("error giving the cgroup to its user", e) from e

    def own_streams(self, fds: tuple[int, int, int]) -> None:
        """Give pipes to the root of a new user namespace: it can't take them, and may open /dev/stdout."""
        user = self._plan.get("user") or {}
        if user.get("uid_map"):
            for fd in fds:
                if fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode):
                    os.fchown(fd, outside(0, user["uid_map"]), outside(0, user["gid_map"]))

    def before_cgroup(self) -> None:
        """(child) execCPUAffinity, `initial`; for an exec, what a root in a user namespace may not do."""
        if self.namespaces & linux.CLONE_NEWUSER:
            raise_limits(self._process_plan)
        self._set_affinity("cpus_initial")

    def in_cgroup(self) -> None:
        """(child) Scheduling, as the host's root; then root of the user namespace."""
        process = self._process
        self._set_affinity("cpus_final")
        doing = "error setting the I/O priority"
        try:
            if process.get("io_priority"):
                scheduling.ioprio_set(*process["io_priority"])
            doing = "error setting the scheduler"
            if process.get("scheduler"):
                scheduling.sched_setattr(*process["scheduler"])
            doing = "error setting the personality"
            if process.get("personality") is not None:
                scheduling.personality(process["personality"])
            doing = "error becoming root of the user namespace"
            if self.is_user:
                self.become_root()
        except OSError as e:
            raise failed(doing, e) from e

    @staticmethod
    def become_root() -> None:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)

    def _set_affinity(self, key: str) -> None:
        if cpus := self._process.get(key):
            try:
                os.sched_setaffinity(0, cpus)
            except OSError as e:
                raise failed("error setting the CPU affinity", e) from e

    @property
    def namespaces(self) -> int:
        """Which a process that joins the container enters beyond the usual ones."""
        return int(self._process.get("namespaces") or 0)

    @property
    def keeps_keyring(self) -> bool:
        return bool(self._process.get("keeps_keyring"))

    @property
    def preserved_fds(self) -> int:
        """How many descriptors after the standard streams stay open."""
        return int(self._process.get("preserved_fds") or 0)

    def copy_up(self, root_fd: int, mount: dict[str, Any], fd: int) -> None:
        """(child) Raises LaunchError (mount)."""
        try:
            copy_up(root_fd, mount["destination"], fd)
        except OSError as e:
            raise failed(f"error copying {mount['destination']} into its tmpfs", e, MOUNT) from e

    def before_pivot(self, report: Report, root_fd: int, caller_umask: int) -> None:
        """(child) Let the runtime run its hooks, then run createContainer's: host's paths, container's namespaces.

        Those begin in the container's root, with the umask of the runtime's caller, as with runc: what they make by a
        relative path is in the container and not on the host. Then make read-only what was asked to be so from the
        start but had to be written to first. Raises LaunchError.
        """
        if self._plan.get("asks_for_hooks"):
            self._state = report.ask({"hooks": True})
            if found := self._plan.get("createContainer"):
                os.fchdir(root_fd)
                own_umask = os.umask(caller_umask)
                hooks.run_hooks("createContainer", found, self._state)
                os.umask(own_umask)
                os.chdir("/")
        for destination in self._plan.get("late_read_only") or ():
            try:
                target = mounts.open_in_root(root_fd, destination)
                mounts.mount_setattr(target, set_=mounts.MOUNT_ATTR_RDONLY)
                os.close(target)
            except OSError as e:
                raise failed(f"error making {destination} read-only", e, MOUNT) from e

    def prepare_start_hooks(self) -> None:
        """(child) Open what the startContainer hooks need, before a seccomp filter could refuse it. LaunchError."""
        state = {**self._state, "status": "created"}
        for number, hook in enumerate(self._plan.get("startContainer") or ()):
            self._start_hooks.append(hooks.PreparedHook("startContainer", number, hook, state))

    def run_start_hooks(self, env: Mapping[str, str]) -> None:
        """(child) Run the startContainer hooks with exactly the rights of the command, since the image decides what
        they are; `env`: the command's environment. Raises LaunchError.
        """
        for hook in self._start_hooks:  # their descriptors are CLOEXEC: execve closes them
            hook.run(env)

    def add_environment(self, env: dict[str, str]) -> None:
        """(child) What goes with descriptors that a service manager handed down: sd_listen_fds(3)."""
        if self._process.get("listen_fds"):
            env["LISTEN_FDS"] = str(self._process["listen_fds"])
            env["LISTEN_PID"] = str(os.getpid())
            if names := self._process.get("listen_fdnames"):
                env["LISTEN_FDNAMES"] = names

    @staticmethod
    def hand_over(report: Report, listener_fd: int) -> None:
        """(child) seccomp's listener: the runtime takes its copy and gives it to the agent. Raises LaunchError."""
        report.ask({"listener": listener_fd})
        os.close(listener_fd)
