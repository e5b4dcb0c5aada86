"""The options of the run dialog, as the body of the API's create and as the equivalent command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from desktop.ui.kit.command_text import WIDTH, in_lines, one_line
from desktop.ui.kit.secrets import is_secret
from desktop.ui.kit.words import tr


class BadOption(ValueError):
    """A field has an invalid value; str() says how to correct it, `field` names it."""

    def __init__(self, field_name: str, text: str) -> None:
        super().__init__(text)
        self.field = field_name


@dataclass(frozen=True, slots=True, kw_only=True)
class PortWish:
    host_port: str  # with an address before it, if there is one: 127.0.0.1:8080, [::1]:8080; empty: the engine chooses
    port: str
    protocol: str = "tcp"

    @property
    def key(self) -> str:
        """The port in the container as the API names it: 80/tcp."""
        return f"{self.port}/{self.protocol}"

    @property
    def _where(self) -> tuple[str, str]:
        """The address on this computer, without brackets, and the port."""
        address, _, published = self.host_port.rpartition(":")
        return address.strip("[]"), published

    def binding(self) -> dict[str, str]:
        """The port on this computer as the API's PortBinding."""
        address, published = self._where
        return {"HostIp": address, "HostPort": published} if address else {"HostPort": published}

    def check(self) -> None:
        """Raises BadOption."""
        address, published = self._where
        for what in (self.port, published or "1"):
            if not what.isdigit() or not 0 < int(what) < 65_536:
                raise BadOption("ports", tr("Use a number from 1 to 65535."))
        if address and not _is_address(address):
            raise BadOption("ports", tr("Before the port may stand an address of this computer: 127.0.0.1:8080."))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class MountWish:
    source: str  # a volume's name, or a folder's path
    target: str
    read_only: bool = False

    @property
    def bind(self) -> str:
        """As `-v` and the API's Binds have it."""
        return f"{self.source}:{self.target}{':ro' if self.read_only else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWish:
    """The options of a container to run; texts are as typed, and `check` validates them."""

    image: str
    name: str = ""
    command: str = ""
    ports: Sequence[PortWish] = ()
    environment: Sequence[tuple[str, str]] = ()
    mounts: Sequence[MountWish] = ()
    memory: str = ""  # megabytes
    cpus: str = ""
    restart: str = "no"
    remove: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises BadOption for the first invalid field."""
        if not self.image.strip():
            raise BadOption("image", tr("Name an image."))
        for wish in self.ports:
            wish.check()
        for mount in self.mounts:
            if not mount.source or not mount.target.startswith("/"):
                raise BadOption("mounts", tr("Name a volume or folder, and a place that begins with /."))
        for name, _value in self.environment:
            if not name or "=" in name:
                raise BadOption("environment", tr("A variable needs a name without =."))
        if self.memory and (not self.memory.isdigit() or int(self.memory) < 6):
            raise BadOption("memory", tr("Use a number of MB, 6 or more."))
        try:
            if self.cpus and not 0 < float(self.cpus) < 1_000:
                raise ValueError
        except ValueError:
            raise BadOption("cpus", tr("Use a number of CPUs, such as 0.5 or 2.")) from None
        try:
            shlex.split(self.command)
        except ValueError:
            raise BadOption("command", tr("A quote is not closed.")) from None
        if self.remove and self.restart != "no":
            raise BadOption("restart", tr("A container that deletes itself cannot be restarted."))

    def config(self) -> dict[str, Any]:
        """The body of `POST /containers/create`. Raises BadOption."""
        self.check()
        bindings: dict[str, list[dict[str, str]]] = {}
        for wish in self.ports:
            bindings.setdefault(wish.key, []).append(wish.binding())
        host: dict[str, Any] = {"RestartPolicy": {"Name": self.restart}, "AutoRemove": self.remove}
        if bindings:
            host["PortBindings"] = bindings
        if self.mounts:
            host["Binds"] = [mount.bind for mount in self.mounts]
        if self.memory:
            host["Memory"] = int(self.memory) * 1024 * 1024
        if self.cpus:
            host["NanoCpus"] = round(float(self.cpus) * 1e9)
        config: dict[str, Any] = {"Image": self.image.strip(), "HostConfig": host, **self.extra}
        if self.command.strip():
            config["Cmd"] = shlex.split(self.command)
        if self.environment:
            config["Env"] = [f"{name}={value}" for name, value in self.environment]
        if bindings:
            config["ExposedPorts"] = {key: {} for key in bindings}
        return config

    def words(self, program: str = "cove") -> list[str]:
        """The words of the command; an option and its value are one word."""
        words = [f"{program} run -d"]
        if self.name:
            words.append(f"--name {shlex.quote(self.name)}")
        for wish in self.ports:
            protocol = f"/{wish.protocol}" if wish.protocol != "tcp" else ""
            words.append(f"-p {wish.host_port + ':' if wish.host_port else ''}{wish.port}{protocol}")
        for mount in self.mounts:
            words.append(f"-v {shlex.quote(mount.bind)}")
        for name, value in self.environment:
            # a secret is taken from the environment of whoever runs the command: it is never shown
            words.append(f"-e {shlex.quote(name if is_secret(name) else f'{name}={value}')}")
        if self.memory:
            words.append(f"--memory {self.memory}m")
        if self.cpus:
            words.append(f"--cpus {self.cpus}")
        if self.restart != "no":
            words.append(f"--restart {self.restart}")
        if self.remove:
            words.append("--rm")
        words.append(shlex.quote(self.image.strip() or "IMAGE"))
        if self.command.strip():
            words.append(self.command.strip())
        return words

    def command_line(self, program: str = "cove") -> str:
        return one_line(self.words(program))

    def command_lines(self, width: int = WIDTH) -> str:
        return in_lines(self.words(), width)
