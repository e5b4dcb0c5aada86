"""What of a container can be edited: its settings as a `RunWish`, what differs in another one, and what that asks of
the engine. Limits and the restart policy change while it runs; all else needs a new container."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from desktop.ui.feed.container import restart_words
from desktop.ui.kit.secrets import is_secret
from desktop.ui.kit.words import tr
from desktop.ui.run.options import MountWish, PortWish, RunWish

Json = Mapping[str, Any]
MIB = 1 << 20
SHOWN_MOUNTS = ("bind", "volume")


def wish_of(data: Json, image: Json) -> RunWish:
    """The settings of an inspected container; `image` is its image's Config, whose own values are left out."""
    config, host = data["Config"], data["HostConfig"]
    given = set(image.get("Env") or ())
    command = list(config.get("Cmd") or ())
    return RunWish(
        image=str(config.get("Image") or ""),
        name=str(data.get("Name") or "").lstrip("/"),
        command=shlex.join(command) if command != list(image.get("Cmd") or ()) else "",
        ports=tuple(_ports(host)),
        environment=tuple(_split(entry) for entry in config.get("Env") or () if entry not in given),
        mounts=tuple(_mounts(host)),
        memory=str(int(host.get("Memory") or 0) // MIB or ""),
        cpus=f"{int(host.get('NanoCpus') or 0) / 1e9:.9f}".rstrip("0").rstrip(".") if host.get("NanoCpus") else "",
        restart=str((host.get("RestartPolicy") or {}).get("Name") or "no"),
    )


def _split(entry: str) -> tuple[str, str]:
    name, _, value = str(entry).partition("=")
    return name, value


def _ports(host: Json) -> Iterator[PortWish]:
    for key, bound in (host.get("PortBindings") or {}).items():
        port, _, protocol = str(key).partition("/")
        for binding in bound or ():
            address, published = str(binding.get("HostIp") or ""), str(binding.get("HostPort") or "")
            address = f"[{address}]" if ":" in address else address
            where = f"{address}:{published}" if address else published
            yield PortWish(host_port=where, port=port, protocol=protocol or "tcp")


def _mounts(host: Json) -> Iterator[MountWish]:
    for bind in host.get("Binds") or ():
        source, target, options = _bind(str(bind))
        yield MountWish(source=source, target=target, read_only="ro" in options)
    for mount in host.get("Mounts") or ():
        if mount.get("Type") in SHOWN_MOUNTS and mount.get("Source"):
            yield MountWish(
                source=str(mount["Source"]), target=str(mount.get("Target")), read_only=bool(mount.get("ReadOnly"))
            )


def _bind(text: str) -> tuple[str, str, list[str]]:
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    return source, target, options.split(",") if options else []


# differences ---------------------------------------------------------------------------------------------------------


def differences(before: RunWish, after: RunWish) -> list[str]:
    """What `after` has otherwise, a line each. The value of a secret is not in it."""
    lines = [tr("Port {port} is added", port=_port_text(port)) for port in after.ports if port not in before.ports]
    lines += [tr("Port {port} is removed", port=_port_text(port)) for port in before.ports if port not in after.ports]
    lines += [tr("{mount} is mounted", mount=_mount_text(m)) for m in after.mounts if m not in before.mounts]
    lines += [
        tr("{mount} is no longer mounted; what is in it stays", mount=_mount_text(m))
        for m in before.mounts
        if m not in after.mounts
    ]
    lines += _variables(dict(before.environment), dict(after.environment))
    for title, old, new in (
        (tr("Command"), before.command or tr("the image's"), after.command or tr("the image's")),
        (tr("Memory"), _limit(before.memory, tr("MB")), _limit(after.memory, tr("MB"))),
        (tr("CPUs"), _limit(before.cpus), _limit(after.cpus)),
        (tr("Restart"), restart_words(before.restart), restart_words(after.restart)),
    ):
        if old != new:
            lines.append(tr("{title}: {old} becomes {new}", title=title, old=old, new=new))
    return lines


def _variables(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name, value in after.items():
        if name not in before:
            yield tr("{name} is set", name=name if is_secret(name) else f"{name}={value}")
        elif before[name] != value:
            if is_secret(name):
                yield tr("{name} gets another value", name=name)
            else:
                yield tr("{name}: {old} becomes {new}", name=name, old=before[name] or "“”", new=value or "“”")
    for name in before:
        if name not in after:
            yield tr("{name} is removed", name=name)


def _limit(value: str, unit: str = "") -> str:
    return " ".join((value, unit)).strip() if value else tr("no limit")


def _port_text(port: PortWish) -> str:
    here = port.host_port or tr("any free")
    return tr("{here} to {port}/{protocol}", here=here, port=port.port, protocol=port.protocol)


def _mount_text(mount: MountWish) -> str:
    text = tr("{source} at {target}", source=mount.source, target=mount.target)
    return tr("{mount}, read only", mount=text) if mount.read_only else text


def needs_new(before: RunWish, after: RunWish) -> bool:
    """Whether the change needs a new container; an update cannot take a limit away."""
    if (before.memory and not after.memory) or (before.cpus and not after.cpus):
        return True
    return (before.command, set(before.ports), set(before.mounts), before.environment) != (
        after.command,
        set(after.ports),
        set(after.mounts),
        after.environment,
    )


# what the engine is asked for ----------------------------------------------------------------------------------------


def update_of(data: Json, before: RunWish, after: RunWish) -> dict[str, Any]:
    """The body of `POST /containers/{id}/update` for what changes while it runs. Swap keeps its distance to memory."""
    host, told = data["HostConfig"], dict[str, Any]()
    if before.memory != after.memory:
        memory, swap = int(after.memory or 0) * MIB, int(host.get("MemorySwap") or 0)
        if swap > 0:
            swap = memory + max(0, swap - int(host.get("Memory") or 0)) if memory else 0
        told |= {"Memory": memory, "MemorySwap": swap}
    if before.cpus != after.cpus:
        told["NanoCpus"] = round(float(after.cpus or 0) * 1e9)
    if before.restart != after.restart:
        told["RestartPolicy"] = {"Name": after.restart}
    return told


def edited(body: Json, image: Json, data: Json, before: RunWish, after: RunWish) -> dict[str, Any]:
    """`body`, which makes the same container once more, changed to `after`. What both have stays as it is in `body`,
    with all that the form does not show."""
    body = {**body}
    host = {**body["HostConfig"], **update_of(data, before, after)}
    body["HostConfig"] = host
    if before.command != after.command:
        body["Cmd"] = shlex.split(after.command) if after.command else image.get("Cmd")
    if before.environment != after.environment:
        body["Env"] = _environment(body.get("Env") or (), before, after)
    if set(before.ports) != set(after.ports):
        _set_ports(body, host, before, after)
    if set(before.mounts) != set(after.mounts):
        _set_mounts(host, before, after)
    return body


def _environment(entries: Sequence[str], before: RunWish, after: RunWish) -> list[str]:
    own = {f"{name}={value}" for name, value in before.environment} | {name for name, _ in before.environment}
    names = {name for name, _value in after.environment}
    kept = [entry for entry in entries if entry not in own and _split(entry)[0] not in names]
    return [*kept, *(f"{name}={value}" for name, value in after.environment)]


def _set_ports(body: dict[str, Any], host: dict[str, Any], before: RunWish, after: RunWish) -> None:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in after.ports:
        bindings.setdefault(port.key, []).append(port.binding())
    gone = {port.key for port in before.ports} - set(bindings)
    exposed: dict[str, Any] = {key: {} for key in body.get("ExposedPorts") or {} if key not in gone}
    host["PortBindings"] = bindings
    body["ExposedPorts"] = {**exposed, **{key: {} for key in bindings}}


def _set_mounts(host: dict[str, Any], before: RunWish, after: RunWish) -> None:
    wanted = {(mount.source, mount.target): mount for mount in after.mounts}
    known = {(mount.source, mount.target) for mount in before.mounts}
    binds: list[str] = []
    for bind in host.get("Binds") or ():
        source, target, options = _bind(str(bind))
        if (source, target) not in known:
            binds.append(str(bind))
        elif mount := wanted.get((source, target)):
            kept = [option for option in options if option not in ("ro", "rw")]
            kept += ["ro"] if mount.read_only else []
            binds.append(":".join((source, target, ",".join(kept))).rstrip(":"))
    mounts: list[dict[str, Any]] = []
    for told in host.get("Mounts") or ():
        place = (str(told.get("Source") or ""), str(told.get("Target") or ""))
        if place not in known:
            mounts.append(told)
        elif mount := wanted.get(place):
            mounts.append({**told, "ReadOnly": mount.read_only})
    binds += [mount.bind for place, mount in wanted.items() if place not in known]
    host["Binds"], host["Mounts"] = binds or None, mounts or None
