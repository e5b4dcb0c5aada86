"""Rarely used features: user and time namespaces, idmapped mounts, hooks, scheduling, preserved descriptors.

`launch` imports this module before clone3, and only for a plan that needs it: an ordinary start has no cost, and the
child imports nothing. Methods marked (child) run in the child.
"""

from __future__ import annotations

import os
import resource
import stat
from contextlib import suppress

from vmagent.linux import process as linux
from vmagent.linux import scheduling
from vmagent.linux.idmaps import outside
from vmagent.runtime import hooks, usernamespace
from vmagent.runtime.failure import LaunchError, failed
from vmagent.runtime.plantypes import PlanExtra, ProcessExtra
from vmagent.runtime.process import set_oom_score, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from vmagent.runtime.cgroups import Cgroup
    from vmagent.runtime.plantypes import Plan, Process
    from vmagent.runtime.spawn import Birth, Report


def raise_limits(process: Process) -> None:
    """(child, in the host's user namespace) Raise what needs the host's CAP_SYS_RESOURCE: hard limits above this
    process's own, and a smaller oom_score_adj.

    The limits themselves are set later, because they may prevent the remaining set-up. A failure is not reported here:
    the later attempt reports it.
    """
    for number, _, hard in process.rlimits:
        own_soft, own_hard = resource.getrlimit(number)
        if own_hard != resource.RLIM_INFINITY and hard > own_hard:
            with suppress(OSError, ValueError):  # Python says ValueError for EPERM
                resource.setrlimit(number, (own_soft, signed(hard)))
    with suppress(LaunchError):
        set_oom_score(process.oom_score_adj)


class Extras:
    """The `extra` of a plan and of its process, and what was prepared for them. `plan` is None for an exec."""

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

    def __init__(self, plan: Plan | None, process: Process) -> None:
        self._plan = (plan and plan.extra) or PlanExtra()
        self._process = process.extra or ProcessExtra()
        self._process_plan = process
        self._state: dict[str, Any] = {}
        self._start_hooks: list[hooks.PreparedHook] = []
        self.is_user = False
        self.root_fd = -1
        self.sources: dict[int, int] = {}
        self.devices: dict[str, int] = {}

    def prepare(self, plan: Plan, birth: Birth, joins: list[tuple[int, int]]) -> usernamespace.Prepared:
        """Before clone3: everything that needs the host's root. The caller closes the result. Raises LaunchError."""
        birth.time_offsets = self._plan.time_offsets
        prepared = usernamespace.prepare(plan.rootfs, self._plan.user)
        self.root_fd, self.sources, self.devices = prepared.root_fd, prepared.sources, prepared.devices
        if prepared.user_ns_fd >= 0:
            self.is_user = True
            birth.user_ns_fd = prepared.user_ns_fd
            birth.joins = [(fd, flag) for fd, flag in joins if flag != linux.CLONE_NEWPID]
            birth.as_host = lambda: raise_limits(plan.process)
        return prepared

    def own_cgroup(self, cgroup: Cgroup) -> None:
        """cgroup v2: give the container's own cgroup to its user (config-linux.md, "Cgroup ownership")."""
        if self._plan.cgroup_owner is not None:
            try:
                cgroup.give_to(self._plan.cgroup_owner)
            except OSError as e:
                raise failed("error giving the cgroup to its user", e) from e

    def own_streams(self, fds: tuple[int, int, int]) -> None:
        """Give pipes to the root of a new user namespace: it cannot change their owner, and may open /dev/stdout."""
        user = self._plan.user
        if user is not None and user.uids:
            for fd in fds:
                if fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode):
                    os.fchown(fd, outside(0, user.uids), outside(0, user.gids))

    def before_cgroup(self) -> None:
        """(child) execCPUAffinity, `initial`; for an exec, limits that need the host's capabilities."""
        if self.namespaces & linux.CLONE_NEWUSER:
            raise_limits(self._process_plan)
        _set_affinity(self._process.cpus_initial)

    def in_cgroup(self) -> None:
        """(child) Scheduling, as the host's root; then root of the user namespace."""
        process = self._process
        _set_affinity(self._process.cpus_final)
        doing = "error setting the I/O priority"
        try:
            if process.io_priority is not None:
                scheduling.ioprio_set(*process.io_priority)
            doing = "error setting the scheduler"
            if process.scheduler is not None:
                scheduling.sched_setattr(*process.scheduler)
            doing = "error setting the personality"
            if process.personality is not None:
                scheduling.personality(process.personality)
            doing = "error becoming root of the user namespace"
            if self.is_user:
                self.become_root()
        except OSError as e:
            raise failed(doing, e) from e

    @staticmethod
    def become_root() -> None:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)

    @property
    def namespaces(self) -> int:
        """CLONE_* flags of the namespaces that an exec enters in addition to the usual ones."""
        return self._process.namespaces

    @property
    def keeps_keyring(self) -> bool:
        return self._process.keeps_keyring

    @property
    def preserved_fds(self) -> int:
        """How many descriptors after the standard streams stay open."""
        return self._process.preserved_fds

    def before_pivot(self, report: Report, root_fd: int, caller_umask: int) -> None:
        """(child) Let the launcher run its hooks, then run createContainer's: host's paths, container's namespaces.

        Those begin in the container's root, with the umask of the runtime's caller, as with runc: what they make by a
        relative path is in the container and not on the host. Raises LaunchError.
        """
        if self._plan.asks_for_hooks:
            self._state = report.ask({"hooks": True})
            if found := self._hooks("createContainer"):
                os.fchdir(root_fd)
                own_umask = os.umask(caller_umask)
                hooks.run_hooks("createContainer", found, self._state)
                os.umask(own_umask)
                os.chdir("/")

    def prepare_start_hooks(self) -> None:
        """(child) Open what the startContainer hooks need, before a seccomp filter could refuse it. LaunchError."""
        state = {**self._state, "status": "created"}
        for number, hook in enumerate(self._hooks("startContainer")):
            self._start_hooks.append(hooks.PreparedHook("startContainer", number, hook, state))

    def run_start_hooks(self, env: Mapping[str, str]) -> None:
        """(child) Run the startContainer hooks with exactly the rights of the command, since the image decides what
        they are; `env`: the command's environment. Raises LaunchError.
        """
        for hook in self._start_hooks:  # their descriptors are CLOEXEC: execve closes them
            hook.run(env)

    def _hooks(self, kind: str) -> Sequence[hooks.Hook]:
        return (self._plan.hooks or {}).get(kind) or ()

    def add_environment(self, env: dict[str, str]) -> None:
        """(child) The variables that describe descriptors handed down by a service manager: sd_listen_fds(3)."""
        if self._process.listen_fds:
            env["LISTEN_FDS"] = str(self._process.listen_fds)
            env["LISTEN_PID"] = str(os.getpid())
            if self._process.listen_fdnames:
                env["LISTEN_FDNAMES"] = self._process.listen_fdnames

    @staticmethod
    def hand_over(report: Report, listener_fd: int) -> None:
        """(child) seccomp's listener: the runtime takes its copy and gives it to the agent. Raises LaunchError."""
        report.ask({"listener": listener_fd})
        os.close(listener_fd)


def _set_affinity(cpus: tuple[int, ...]) -> None:
    if cpus:
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as e:
            raise failed("error setting the CPU affinity", e) from e
