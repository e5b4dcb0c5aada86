"""Explains a failed step: the reason, what remains of the run, and possible remedies."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from desktop.client.engine import ApiError, ConnectionFailed
from desktop.client.reference import InvalidReference
from desktop.platform import platform_for
from desktop.ui.kit.words import shortened, tr
from desktop.ui.run.options import RunWish

PORT_TAKEN = re.compile(
    r"(?:Bind for \S*?:(\d+) failed|(?:listen|bind)[^\n]*?:(\d+)[^\n]*address already in use|port (\d+) is already)"
)
NAME_TAKEN = re.compile(r'container name "/?([^"]+)" is already in use')
NOT_FOUND = re.compile(
    r"manifest unknown|manifest for .* not found|pull access denied|repository does not exist|not found", re.I
)
UNREACHABLE = re.compile(
    r"dial tcp|no such host|connection refused|timed? ?out|unreachable|name resolution|TLS|certificate", re.I
)
NO_COMMAND = re.compile(r'exec: "([^"]*)"[^\n]*(executable file not found|no such file or directory)')
NOT_PERMITTED = re.compile(r'exec: "([^"]*)"[^\n]*permission denied')
NO_SPACE = re.compile(r"no space left on device", re.I)


@dataclass(frozen=True, slots=True)
class Remedy:
    """One button: `kind` is its action (run, options, delete, retry), `wish` the options of the run."""

    text: str
    kind: str
    wish: RunWish
    field: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The explanation of a failed run: title, reason, and remedies, the best first."""

    title: str
    why: str
    remedies: Sequence[Remedy]


@dataclass(frozen=True, slots=True)
class PortFacts:
    """About a port that was taken: a free one to suggest, and who has it, as far as that is known."""

    free: int | None = None
    holder: str = ""


def diagnose(
    wish: RunWish, step: str, error: Exception, *, container_left: bool, port_facts: PortFacts | None = None
) -> Diagnosis:
    """Derive the diagnosis from the engine's message; `port_facts` if a port was taken."""
    text = str(error)
    name = shortened(wish.name) or tr("the container")
    left = (
        tr("Nothing else was changed. The container exists, stopped.")
        if container_left
        else tr("Nothing was left behind.")
    )
    delete = [Remedy(tr("Delete {name}", name=name), "delete", wish)] if container_left else []
    again = Remedy(tr("Try again"), "run", wish)
    options = Remedy(tr("Change options…"), "options", wish)
    if isinstance(error, ConnectionFailed):
        return Diagnosis(tr("The engine does not answer"), f"{text[:1].upper()}{text[1:]}. {left}", [again])
    if isinstance(error, InvalidReference):
        return Diagnosis(tr("“{image}” is not an image's name", image=wish.image), f"{text}. {left}", [options])
    if found := PORT_TAKEN.search(text):
        port = next(group for group in found.groups() if group)
        remedies = []
        known = port_facts or PortFacts()
        if known.free:
            ports = [replace(p, host_port=str(known.free)) if p.host_port == port else p for p in wish.ports]
            remedies.append(Remedy(tr("Use port {port} and start", port=known.free), "run", replace(wish, ports=ports)))
        without = [p for p in wish.ports if p.host_port != port]
        remedies += [
            Remedy(tr("Start without a port"), "run", replace(wish, ports=without)),
            Remedy(tr("Choose another port…"), "options", wish, "ports"),
        ]
        holder = known.holder or tr("Another program or container")
        why = tr("{holder} uses it, and two programs cannot listen on one port.", holder=holder)
        title = tr("Port {port} is already taken on this computer", port=port)
        return Diagnosis(title, f"{why} {left}", [*remedies, *delete])
    if found := NAME_TAKEN.search(text):
        free = replace(wish, name="")
        return Diagnosis(
            tr("The name {name} is already taken", name=found[1]),
            tr("Another container has it. Nothing was changed."),
            [
                Remedy(tr("Run with a generated name"), "run", free),
                Remedy(tr("Choose another name…"), "options", free, "name"),
            ],
        )
    if found := NO_COMMAND.search(text):
        return Diagnosis(
            tr("The command {name} is not in the image", name=found[1]),
            tr("There is no such program on the image's PATH (exit status 127). {left}", left=left),
            [Remedy(tr("Change the command…"), "options", wish, "command"), *delete],
        )
    if found := NOT_PERMITTED.search(text):
        return Diagnosis(
            tr("{name} cannot be executed", name=found[1]),
            tr("It is not a program, or lacks the permission (exit status 126). {left}", left=left),
            [Remedy(tr("Change the command…"), "options", wish, "command"), *delete],
        )
    if NO_SPACE.search(text):
        return Diagnosis(tr("The disk is full"), tr("There was no room for it. {left}", left=left), [again, *delete])
    if step == "pull" and (NOT_FOUND.search(text) or (isinstance(error, ApiError) and error.status == 404)):
        return Diagnosis(
            tr("There is no image {image}", image=wish.image),
            tr("Its registry does not know this name and tag, or requires a login. {left}", left=left),
            [Remedy(tr("Change the name…"), "options", wish, "image"), again],
        )
    if step == "pull" and UNREACHABLE.search(text):
        return Diagnosis(
            tr("The registry of {image} cannot be reached", image=wish.image),
            tr("It did not answer, or its answer could not be trusted. {left}", left=left),
            [again, Remedy(tr("Change the name…"), "options", wish, "image")],
        )
    title = {
        "look": tr("The engine could not look for {image}", image=wish.image),
        "pull": tr("{image} could not be pulled", image=wish.image),
        "create": tr("The container could not be made"),
        "mount": tr("The container's files could not be mounted"),
        "start": tr("The container could not start"),
    }[step]
    return Diagnosis(title, left, [again, options, *delete])


def taken_port(error: Exception) -> int | None:
    """The port that was already in use, if that is why the run failed."""
    found = PORT_TAKEN.search(str(error))
    return int(next(group for group in found.groups() if group)) if found else None


def next_free_port(port: int) -> int | None:
    """The next free port after `port` on this computer. Binds sockets, so call it from a worker thread."""
    for candidate in range(port + 1, min(port + 50, 65_536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return candidate
    return None


def port_program(port: int) -> str:
    """The program on this computer that listens on TCP `port`, in words; empty if the system does not say. Reads many
    files, so call it from a worker thread."""
    holder = platform_for(sys.platform).port_holder("tcp", port)
    return tr("The program {name}", name=holder) if holder else ""
