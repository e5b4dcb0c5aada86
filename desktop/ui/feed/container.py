"""A container as the engine describes it, as a plain value; replies are converted once, when they arrive."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from desktop.ui.kit.states import State
from desktop.ui.kit.words import ago, counted, from_rfc3339, memory, plain_error, span, tr

LOOP_RESTARTS = 3  # so many restarts, with less than
LOOP_QUIET_S = 10.0  # seconds of running since the last one, are a crash loop
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
RESTARTS = ("no", "unless-stopped", "on-failure", "always")  # restart policies, as the API names them
ANONYMOUS = re.compile(r"[0-9a-f]{64}")  # the name of a volume that nobody named


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A published port: `host_port` on `address` of this computer leads to `port` in the container."""

    port: int
    protocol: str
    host_port: int
    address: str = ""

    @property
    def url(self) -> str:
        scheme = "https" if self.port in (443, 3443, 8443) else "http"
        return f"{scheme}://{self.where}"

    @property
    def where(self) -> str:
        host = "127.0.0.1" if self.address in ("", "0.0.0.0", "::") else self.address
        return f"[{host}]:{self.host_port}" if ":" in host else f"{host}:{self.host_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A container's place in a network; `address` is empty while it does not run."""

    network: str
    network_id: str = ""
    address: str = ""


def restart_words(policy: str) -> str:
    """What the restart policy `policy` is called in the window; one that is not in `RESTARTS` keeps its name."""
    return {
        "": tr("No"),
        "no": tr("No"),
        "unless-stopped": tr("Unless I stop it"),
        "on-failure": tr("When it fails"),
        "always": tr("Always"),
    }.get(policy, policy)


def attachments(networks: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """From `NetworkSettings.Networks`."""
    return tuple(
        Attachment(
            network=name,
            network_id=str((end or {}).get("NetworkID") or ""),
            address=str((end or {}).get("IPAddress") or ""),
        )
        for name, end in sorted(networks.items())
    )


def volumes_of(mounts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of the volumes among `Mounts`."""
    return tuple(str(m["Name"]) for m in mounts if m.get("Type") == "volume" and m.get("Name"))


def volume_title(name: str) -> str:
    """A volume's name; of one that nobody named, the first 12 characters."""
    return name[:12] if ANONYMOUS.fullmatch(name) else name


class Doing(StrEnum):
    """An action that was requested and is not confirmed by an event yet."""

    STARTING = "Starting"
    STOPPING = "Stopping"
    RESTARTING = "Restarting"
    DELETING = "Deleting"
    PAUSING = "Pausing"
    RESUMING = "Resuming"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as the engine describes it. `status` is the API's: created, running, paused, restarting, exited…"""

    id: str
    name: str
    image: str
    image_id: str = ""
    command: str = ""
    status: str = "created"
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    ended_by: str = ""  # "user": stopped or killed on request; "engine": with the engine; "": by itself, or not known
    restart_count: int = 0
    health: str = ""
    health_failures: int = 0  # of the last checks in a row
    health_output: str = ""  # of the last failed check
    probe: str = ""  # the health check's command, as events show it
    created_s: float = 0.0
    started_s: float | None = None
    finished_s: float | None = None
    memory_limit: int = 0
    tty: bool = False
    auto_remove: bool = False
    restart_policy: str = ""
    pid: int = 0
    address: str = ""
    ports: tuple[Port, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[Attachment, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    doing: Doing | None = None
    doing_since_s: float = 0.0
    lost: bool = False  # contact to the engine is lost: the other fields hold the last known values
    asked_s: float = field(default=0.0, compare=False)  # when the engine was asked, monotonic clock; 0: not by itself

    @property
    def project(self) -> str:
        return self.labels.get(PROJECT_LABEL, "")

    @property
    def title(self) -> str:
        """The service name in a Compose project, else the whole name."""
        return self.labels.get(SERVICE_LABEL, self.name) if self.project else self.name

    @property
    def is_running(self) -> bool:
        return self.status in ("running", "paused", "restarting")

    @property
    def stopped_by_signal(self) -> bool:
        return self.exit_code in (130, 143)

    @property
    def is_crash_loop(self) -> bool:
        """It was restarted again and again, and has not run for long since."""
        if self.restart_count < LOOP_RESTARTS or self.doing:
            return False
        if self.status == "restarting":
            return True
        return self.status == "running" and time.time() - (self.started_s or 0.0) < LOOP_QUIET_S

    @property
    def has_last_status(self) -> bool:
        """Whether `exit_code` is that of its last end: while it runs, the engine says 0 until this window has seen an
        end."""
        return self.status != "running" or bool(self.exit_code)

    @property
    def state(self) -> State:
        if self.lost and (self.is_running or self.doing):
            return State.UNKNOWN
        if self.is_crash_loop:
            return State.PROBLEM
        if self.doing or self.status in ("restarting", "removing") or self.health == "starting":
            return State.WORKING
        if self.status == "running":
            return State.PROBLEM if self.health == "unhealthy" else State.RUNNING
        if self.status == "paused":
            return State.PAUSED
        if self.status == "dead" or self.error:
            return State.PROBLEM
        if self.ended_by:
            return State.STOPPED
        if self.oom_killed:
            return State.PROBLEM
        if self.exit_code and not self.stopped_by_signal:
            return State.PROBLEM
        return State.STOPPED

    @property
    def state_word(self) -> str:
        """One or two words for the chip."""
        if self.state is State.WORKING and self.doing:
            return tr(self.doing.value)
        if self.state is State.WORKING:
            return tr("Restarting") if self.status == "restarting" else tr("Starting")
        if self.state is State.STOPPED and self.status == "created":
            return tr("Not started")
        if self.state is State.STOPPED and self.ended_by:
            return tr("Stopped")
        if self.state in (State.STOPPED, State.PROBLEM) and self.status == "exited":
            return tr("Exited {code}", code=self.exit_code)
        return self.state.word

    @property
    def note(self) -> str:
        """Text in place of the usage figures; empty for a running container."""
        state = self.state
        if state is State.UNKNOWN:
            return tr("Unknown, was running") if not self.doing else tr("Unknown, was changing")
        if self.doing:
            passed = time.time() - self.doing_since_s if self.doing_since_s else 0.0
            word = tr(self.doing.value)
            return tr("{doing}, {time}", doing=word, time=span(passed)) if passed >= 1 else word
        if self.is_crash_loop and not self.has_last_status:
            return counted(self.restart_count, "Restarted {n} time", "Restarted {n} times")
        if self.is_crash_loop:
            return counted(
                self.restart_count,
                "Restarted {n} time, last exit status {code}",
                "Restarted {n} times, last exit status {code}",
                code=self.exit_code,
            )
        if state is State.WORKING:
            return tr("Waiting for its health check") if self.health == "starting" else tr("Restarting")
        if state is State.PAUSED:
            return tr("Paused, keeps its memory")
        if self.status == "running":
            return tr("Its health check fails") if state is State.PROBLEM else ""
        if self.status == "created":
            return tr("Could not start") if self.error else tr("Not started yet")
        if state is State.STOPPED and self.ended_by:
            return self._how_it_was_stopped
        if self.oom_killed:
            if self.memory_limit:
                return tr(
                    "Exited {code}, out of memory at {limit}", code=self.exit_code, limit=memory(self.memory_limit)
                )
            return tr("Exited {code}, out of memory", code=self.exit_code)
        if self.error:
            return tr("Exited {code}, {error}", code=self.exit_code, error=plain_error(self.error).splitlines()[0])
        if self.stopped_by_signal:
            return tr("Stopped by signal {n}", n=self.exit_code - 128)
        return tr("Exited {code}", code=self.exit_code)

    @property
    def _how_it_was_stopped(self) -> str:
        if self.ended_by == "engine":
            return tr("Stopped with the engine")
        if self.exit_code == 137:
            return tr("Stopped, by force")
        return tr("Stopped")

    def since(self, now_s: float) -> str:
        """The last column: how long the container has run, or how long ago it ended."""
        if self.lost:
            return ""
        if self.is_running and self.started_s:
            return span(now_s - self.started_s)
        if self.finished_s:
            return ago(self.finished_s, now_s)
        return ago(self.created_s, now_s) if self.created_s else ""

    @property
    def haystack(self) -> str:
        """The text that the page's filter searches, in lower case."""
        parts = [self.name, self.title, self.project, self.image, self.id[:12]]
        parts += [str(port.host_port) for port in self.ports]
        return "\n".join(parts).lower()

    @classmethod
    def from_list(cls, entry: Mapping[str, Any]) -> Container:
        """From one entry of `GET /containers/json` (ContainerSummary), which lacks times and reasons."""
        status_text = str(entry.get("Status", ""))
        code = re.search(r"\((\d+)\)", status_text)
        health = re.search(r"\((?:health: )?(starting|healthy|unhealthy)\)", status_text)
        names = entry.get("Names") or [""]
        return cls(
            id=str(entry["Id"]),
            name=str(names[0]).lstrip("/"),
            image=str(entry.get("Image", "")),
            image_id=str(entry.get("ImageID", "")),
            command=str(entry.get("Command", "")),
            status=str(entry.get("State", "created")),
            exit_code=int(code[1]) if code and "Exited" in status_text else 0,
            health=health[1] if health else "",
            created_s=float(entry.get("Created", 0)),
            ports=ports_of_list(entry.get("Ports") or ()),
            volumes=volumes_of(entry.get("Mounts") or ()),
            networks=attachments((entry.get("NetworkSettings") or {}).get("Networks") or {}),
            labels=dict(entry.get("Labels") or {}),
        )

    @classmethod
    def from_inspect(cls, data: Mapping[str, Any]) -> Container:
        """From `GET /containers/{id}/json` (ContainerInspectResponse)."""
        state = data.get("State") or {}
        config = data.get("Config") or {}
        host = data.get("HostConfig") or {}
        network = data.get("NetworkSettings") or {}
        addresses = [str(n.get("IPAddress") or "") for n in (network.get("Networks") or {}).values()]
        command = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
        return cls(
            id=str(data["Id"]),
            name=str(data.get("Name", "")).lstrip("/"),
            image=str(config.get("Image", "")),
            image_id=str(data.get("Image", "")),
            command=" ".join(str(word) for word in command),
            status=str(state.get("Status", "created")),
            exit_code=int(state.get("ExitCode") or 0),
            oom_killed=bool(state.get("OOMKilled")),
            error=str(state.get("Error") or ""),
            restart_count=int(data.get("RestartCount") or 0),
            health=str((state.get("Health") or {}).get("Status") or "").replace("none", ""),
            health_failures=int((state.get("Health") or {}).get("FailingStreak") or 0),
            health_output=_last_failure((state.get("Health") or {}).get("Log") or ()),
            probe=_probe((config.get("Healthcheck") or {}).get("Test") or ()),
            created_s=from_rfc3339(str(data.get("Created", ""))) or 0.0,
            started_s=from_rfc3339(str(state.get("StartedAt", ""))),
            finished_s=from_rfc3339(str(state.get("FinishedAt", ""))),
            memory_limit=int(host.get("Memory") or 0),
            tty=bool(config.get("Tty")),
            auto_remove=bool(host.get("AutoRemove")),
            restart_policy=str((host.get("RestartPolicy") or {}).get("Name") or ""),
            pid=int(state.get("Pid") or 0),
            address=next((a for a in addresses if a), ""),
            ports=ports_of_inspect(network.get("Ports") or {}),
            volumes=volumes_of(data.get("Mounts") or ()),
            networks=attachments(network.get("Networks") or {}),
            labels=dict(config.get("Labels") or {}),
        )


def _last_failure(log: Sequence[Mapping[str, Any]]) -> str:
    """What the last failed check printed, with its exit status."""
    failed = [entry for entry in log if entry.get("ExitCode")]
    if not failed:
        return ""
    output = str(failed[-1].get("Output") or "").strip()
    return tr("{output} (exit status {code})", output=output, code=failed[-1]["ExitCode"]).strip()


def _probe(test: Sequence[str]) -> str:
    """A health check's command as the events of its execs show it."""
    kind, words = (test[0], list(test[1:])) if test else ("", [])
    if kind == "CMD-SHELL":
        words = ["/bin/sh", "-c", *words]
    return " ".join(words) if kind in ("CMD", "CMD-SHELL") else ""


def ports_of_list(entries: Sequence[Mapping[str, Any]]) -> tuple[Port, ...]:
    """The published ports of a list entry, each host port once, although the API lists IPv4 and IPv6 separately."""
    found = {
        (int(e["PublicPort"]), str(e.get("Type", "tcp"))): Port(
            port=int(e["PrivatePort"]),
            protocol=str(e.get("Type", "tcp")),
            host_port=int(e["PublicPort"]),
            address=str(e.get("IP", "")),
        )
        for e in sorted(entries, key=lambda e: str(e.get("IP", "")), reverse=True)
        if e.get("PublicPort")
    }
    return tuple(found[key] for key in sorted(found))


def ports_of_inspect(table: Mapping[str, Any]) -> tuple[Port, ...]:
    """The published ports of `NetworkSettings.Ports`: {"80/tcp": [{"HostIp", "HostPort"}] or null}."""
    found: dict[tuple[int, str], Port] = {}
    for key, bindings in table.items():
        port, _, protocol = key.partition("/")
        for binding in bindings or ():
            if not (host_port := int(binding.get("HostPort") or 0)):
                continue
            where = (host_port, protocol or "tcp")
            address = str(binding.get("HostIp", ""))
            if where not in found or found[where].address.count(":"):
                found[where] = Port(port=int(port), protocol=where[1], host_port=host_port, address=address)
    return tuple(found[key] for key in sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One sample of a container's usage: CPU in percent of one CPU, memory in bytes."""

    cpu_percent: float
    memory_bytes: int
    memory_limit: int  # 0: no limit
    pids: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a container receives and sends in one network, in bytes per second."""

    received: float
    sent: float
