"""From the flags of `run` and `create` to the body of the Engine API's container create.

What is said here about a flag's syntax is docker's; every error is worded as docker words it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from desktop.cli import mountflags
from desktop.cli.flags import Parsed, parse_bytes

Json = dict[str, Any]

ATTACHABLE = ("stdin", "stdout", "stderr")


class BadFlag(ValueError):
    """A flag has an invalid value; str() is the message for the user."""


def build(flags: Parsed, environ: Mapping[str, str], *, detach: bool) -> Json:
    """The body. `flags.args` is the image and the command with its arguments. Raises BadFlag."""
    image, *command = flags.args
    attached = _attached(flags, detach=detach)
    opens_stdin = flags.on("interactive")
    body: Json = {
        "Hostname": flags.text("hostname") or "",
        "Domainname": flags.text("domainname") or "",
        "User": flags.text("user") or "",
        "AttachStdin": attached["stdin"],
        "AttachStdout": attached["stdout"],
        "AttachStderr": attached["stderr"],
        "ExposedPorts": {},
        "Tty": flags.on("tty"),
        "OpenStdin": opens_stdin,
        "StdinOnce": opens_stdin and attached["stdin"],
        "Env": environment(flags, environ),
        "Cmd": command or None,
        "Image": image,
        "Volumes": {},
        "WorkingDir": flags.text("workdir") or "",
        "Entrypoint": _entrypoint(flags),
        "Labels": _labels(flags),
    }
    if (signal := flags.text("stop-signal")) is not None:
        body["StopSignal"] = signal
    if (timeout_s := flags.number("stop-timeout")) is not None:
        body["StopTimeout"] = timeout_s
    if (health := _health(flags)) is not None:
        body["Healthcheck"] = health
    host = _host_config(flags)
    mountflags.apply(flags, body, host)
    _apply_ports(flags, body, host)
    _apply_networks(flags, body, host)
    body["HostConfig"] = host
    return body


def _attached(flags: Parsed, *, detach: bool) -> dict[str, bool]:
    wanted = [name.lower() for name in flags.many("attach")]
    for name in wanted:
        if name not in ATTACHABLE:
            raise BadFlag(
                f'invalid argument "{name}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'
            )
    if detach:
        return dict.fromkeys(ATTACHABLE, False)
    attached = {name: name in wanted for name in ATTACHABLE}
    if flags.on("interactive"):
        attached["stdin"] = True
    if not wanted:
        attached["stdout"] = attached["stderr"] = True
    return attached


def _entrypoint(flags: Parsed) -> list[str] | None:
    """`--entrypoint ""` removes the image's entrypoint. As docker does, send a list of one empty string for it."""
    value = flags.text("entrypoint")
    return None if value is None else [value]


# --- key=value


def environment(flags: Parsed, environ: Mapping[str, str]) -> list[str]:
    """Entries of the files, then of the flags. A name without `=` takes its value from our environment; in a file it is
    left out if our environment does not have it."""
    pairs = []
    for file in flags.many("env-file"):
        for line in read_lines(file):
            name, has_value, _ = line.partition("=")
            if not name.strip() or re.search(r"\s", name):
                raise BadFlag(f"invalid env file ({file}): variable '{name}' contains whitespaces")
            if has_value:
                pairs.append(line)
            elif name in environ:
                pairs.append(f"{name}={environ[name]}")
    for text in flags.many("env"):
        name, has_value, _ = text.partition("=")
        if not name:
            raise BadFlag(f'invalid argument "{text}" for "-e, --env" flag: invalid environment variable: {text}')
        pairs.append(f"{name}={environ[name]}" if not has_value and name in environ else text)
    return pairs


def read_lines(file: str) -> list[str]:
    """Lines of an env or label file: no empty ones, no comments. Raises BadFlag."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as e:
        raise BadFlag(f"open {file}: {(e.strerror or str(e)).lower()}") from e
    except UnicodeDecodeError as e:
        raise BadFlag(f"env file {file} contains invalid utf8 bytes") from e
    lines = (line.lstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _labels(flags: Parsed) -> dict[str, str]:
    pairs = [line for file in flags.many("label-file") for line in read_lines(file)] + flags.many("label")
    return _mapping(pairs)


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


# --- the host's side


def _throttled(text: str, parsed: Callable[[str], int]) -> Json:
    """PATH:RATE of a device. Raises ValueError in docker's words."""
    path, colon, rate = text.partition(":")
    if not colon:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    kind = "<device-path>:<number>" if parsed is int else "<device-path>:<number>[<unit>]"
    unit = "" if parsed is int else ". Unit is optional and can be kb, mb, or gb"
    try:
        value = parsed(rate)
    except ValueError:
        value = -1
    if value < 0:
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is {kind}. Number must be a positive integer{unit}"
        )
    return {"Path": path, "Rate": value}


def _weight_device(text: str) -> Json:
    """PATH:WEIGHT. Raises ValueError in docker's words."""
    path, colon, weight = text.partition(":")
    if not colon:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    if not weight.isdecimal() or (int(weight) and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def _host_config(flags: Parsed) -> Json:
    limits = {
        "Memory": flags.number("memory") or 0,
        "MemoryReservation": flags.number("memory-reservation") or 0,
        "MemorySwap": flags.number("memory-swap") or 0,
        "NanoCpus": flags.number("cpus") or 0,
        "CpuShares": flags.number("cpu-shares") or 0,
        "CpuPeriod": flags.number("cpu-period") or 0,
        "CpuQuota": flags.number("cpu-quota") or 0,
        "CpusetCpus": flags.text("cpuset-cpus") or "",
        "CpusetMems": flags.text("cpuset-mems") or "",
        "BlkioWeight": flags.number("blkio-weight") or 0,
        "BlkioWeightDevice": [_weight_device(text) for text in flags.many("blkio-weight-device")],
        "BlkioDeviceReadBps": [_throttled(text, parse_bytes) for text in flags.many("device-read-bps")],
        "BlkioDeviceWriteBps": [_throttled(text, parse_bytes) for text in flags.many("device-write-bps")],
        "BlkioDeviceReadIOps": [_throttled(text, int) for text in flags.many("device-read-iops")],
        "BlkioDeviceWriteIOps": [_throttled(text, int) for text in flags.many("device-write-iops")],
        "CpuRealtimePeriod": flags.number("cpu-rt-period") or 0,
        "CpuRealtimeRuntime": flags.number("cpu-rt-runtime") or 0,
        "CgroupParent": flags.text("cgroup-parent") or "",
        "Devices": [_device(text) for text in flags.many("device")],
        "DeviceCgroupRules": flags.many("device-cgroup-rule") or None,
        "Ulimits": [_ulimit(text) for text in flags.many("ulimit")],
        "OomKillDisable": flags.on("oom-kill-disable"),
    }
    host: Json = {
        **limits,
        "AutoRemove": flags.on("rm"),
        "RestartPolicy": restart_policy(flags.text("restart")),
        "CapAdd": flags.many("cap-add") or None,
        "CapDrop": flags.many("cap-drop") or None,
        "GroupAdd": flags.many("group-add") or None,
        "Privileged": flags.on("privileged"),
        "ReadonlyRootfs": flags.on("read-only"),
        "SecurityOpt": [_security_opt(text) for text in flags.many("security-opt")] or None,
        "StorageOpt": _mapping(flags.many("storage-opt")) or None,
        "Sysctls": _mapping(flags.many("sysctl")) or None,
        "PidMode": flags.text("pid") or "",
        "IpcMode": flags.text("ipc") or "",
        "UTSMode": flags.text("uts") or "",
        "UsernsMode": flags.text("userns") or "",
        "CgroupnsMode": flags.text("cgroupns") or "",
        "ShmSize": flags.number("shm-size") or 0,
        "OomScoreAdj": flags.number("oom-score-adj") or 0,
        "Dns": flags.many("dns") or [],
        "DnsOptions": flags.many("dns-option") or [],
        "DnsSearch": flags.many("dns-search") or [],
        "ExtraHosts": [_extra_host(text) for text in flags.many("add-host")] or None,
        "Links": flags.many("link") or None,
        "LogConfig": {"Type": flags.text("log-driver") or "", "Config": _mapping(flags.many("log-opt"))},
        "PublishAllPorts": flags.on("publish-all"),
        "Runtime": flags.text("runtime") or "",
        "Isolation": flags.text("isolation") or "",
        "VolumeDriver": flags.text("volume-driver") or "",
        "VolumesFrom": flags.many("volumes-from") or None,
        "Annotations": _mapping(flags.many("annotation")) or None,
    }
    if flags.given("pids-limit"):
        host["PidsLimit"] = flags.number("pids-limit")
    if flags.given("memory-swappiness"):
        host["MemorySwappiness"] = flags.number("memory-swappiness")
    if flags.given("init"):
        host["Init"] = flags.on("init")
    if host["AutoRemove"] and host["RestartPolicy"]["Name"] not in ("", "no"):
        raise BadFlag("conflicting options: cannot specify both --restart and --rm")
    return host


def restart_policy(text: str | None) -> Json:
    """`no`, `on-failure[:n]`, `always`, `unless-stopped`; None: no. Raises BadFlag."""
    if text is None:
        return {"Name": "no", "MaximumRetryCount": 0}
    name, colon, count = text.partition(":")
    if not name and colon:
        raise BadFlag("invalid restart policy format: no policy provided before colon")
    if colon and not count.lstrip("-").isdecimal():
        raise BadFlag("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count) if colon else 0}


def _device(text: str) -> Json:
    """`host[:container][:rwm]`."""
    parts = text.split(":")
    permissions = "rwm"
    if len(parts) > 1 and re.fullmatch("[rwm]{1,3}", parts[-1]):
        permissions = parts.pop()
    if not 1 <= len(parts) <= 2 or not parts[0]:
        raise BadFlag(f"bad format for path: {text}")
    return {"PathOnHost": parts[0], "PathInContainer": parts[-1], "CgroupPermissions": permissions}


def _ulimit(text: str) -> Json:
    name, equals, values = text.partition("=")
    soft, _, hard = values.partition(":")
    try:
        if not equals:
            raise ValueError
        limits = int(soft), int(hard) if hard else int(soft)
    except ValueError:
        raise BadFlag(f'invalid argument "{text}" for "--ulimit" flag: invalid ulimit argument: {text}') from None
    if limits[1] != -1 and (limits[0] > limits[1] or limits[0] == -1):
        raise BadFlag(
            f'invalid argument "{text}" for "--ulimit" flag: '
            f"ulimit soft limit must be less than or equal to hard limit: {limits[0]} > {limits[1]}"
        )
    return {"Name": name, "Soft": limits[0], "Hard": limits[1]}


def _security_opt(text: str) -> str:
    """Replace the file name of a seccomp profile by the file's text: that is what the API takes."""
    key, _, value = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
    if key != "seccomp" or value in ("unconfined", "builtin"):
        return text
    try:
        profile = json.loads(Path(value).read_text(encoding="utf-8"))
    except OSError as e:
        raise BadFlag(f"opening seccomp profile ({value}) failed: {e.strerror}") from e
    except ValueError as e:
        raise BadFlag(f"compacting json for seccomp profile ({value}) failed: {e}") from e
    return f"seccomp={json.dumps(profile, separators=(',', ':'))}"


def _extra_host(text: str) -> str:
    """`host:ip` or `host=ip`; the API takes the first form."""
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    if not found or not name or not address:
        raise BadFlag(f'invalid argument "{text}" for "--add-host" flag: bad format for add-host: "{text}"')
    return f"{name}:{address.strip('[]')}"


def _health(flags: Parsed) -> Json | None:
    """The health check: `NONE`, a shell command, or only other intervals for the image's own check."""
    times = {
        "Interval": flags.number("health-interval"),
        "Timeout": flags.number("health-timeout"),
        "StartPeriod": flags.number("health-start-period"),
        "StartInterval": flags.number("health-start-interval"),
        "Retries": flags.number("health-retries"),
    }
    given = {key: value for key, value in times.items() if value is not None}
    command = flags.text("health-cmd")
    if flags.on("no-healthcheck"):
        if given or command:
            raise BadFlag("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if command:
        return {"Test": ["CMD-SHELL", command], **given}
    return given or None


# --- ports and networks


def _apply_ports(flags: Parsed, body: Json, host: Json) -> None:
    bindings: dict[str, list[Json]] = {}
    for text in flags.many("publish"):
        for key, address, host_port in parse_publish(text):
            bindings.setdefault(key, []).append({"HostIp": address, "HostPort": host_port})
            body["ExposedPorts"][key] = {}
    for text in flags.many("expose"):
        ports, _, protocol = text.partition("/")
        if ":" in text:
            raise BadFlag(f"invalid port format for --expose: {text}")
        first, last = _port_range(ports, f"invalid range format for --expose: {text}")
        for port in range(first, last + 1):
            body["ExposedPorts"][f"{port}/{protocol or 'tcp'}"] = {}
    host["PortBindings"] = bindings


def parse_publish(text: str) -> list[tuple[str, str, str]]:
    """`[ip:][host[-host]:]port[-port][/protocol]` as (port/protocol, address, host port or range or "")."""
    rest, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    if protocol not in ("tcp", "udp", "sctp"):
        raise BadFlag(f"invalid proto: {protocol}")
    before, _, container = rest.rpartition(":")
    address, _, published = before.rpartition(":") if ":" in before else ("", "", before)
    address = address.strip("[]")
    if address:
        import ipaddress

        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise BadFlag(f"invalid IP address: {address}") from None
    if not container:
        raise BadFlag(f"no port specified: {text}<empty>")
    first, last = _port_range(container, f"invalid containerPort: {container}")
    if not published:
        return [(f"{port}/{protocol}", address, "") for port in range(first, last + 1)]
    host_first, host_last = _port_range(published, f"invalid hostPort: {published}", least=0)
    if last - first == host_last - host_first:
        return [(f"{first + n}/{protocol}", address, str(host_first + n)) for n in range(last - first + 1)]
    if first == last:  # one port, published on the first free port of a range
        return [(f"{first}/{protocol}", address, f"{host_first}-{host_last}")]
    raise BadFlag(f"invalid ranges specified for container and host Ports: {container} and {published}")


def _port_range(text: str, problem: str, least: int = 1) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise BadFlag(problem)
    ports = int(first), int(last if dash else first)
    if not least <= ports[0] <= ports[1] <= 65535:
        raise BadFlag(problem)
    return ports


def _apply_networks(flags: Parsed, body: Json, host: Json) -> None:
    """The first network becomes `NetworkMode`; the flags for addresses and aliases apply to it."""
    wanted = flags.many("network") or ["default"]
    endpoints: Json = {}
    for text in wanted:
        name, endpoint = _network(text)
        endpoints[name] = endpoint
    mode = next(iter(endpoints))
    host["NetworkMode"] = mode
    first = endpoints[mode]
    own: Json = {}
    if flags.text("ip") or flags.text("ip6"):
        own["IPAMConfig"] = {"IPv4Address": flags.text("ip") or "", "IPv6Address": flags.text("ip6") or ""}
    if aliases := flags.many("network-alias"):
        own["Aliases"] = aliases
    if mac := flags.text("mac-address"):
        own["MacAddress"] = mac
        body["MacAddress"] = mac  # where engines below 1.44 look for it
    if (host["Links"] or own.get("Aliases")) and mode in ("host", "none"):
        raise BadFlag("conflicting options: host type networking can't be used with links or aliases")
    first.update(own)
    needs_endpoint = len(endpoints) > 1 or first or mode not in ("default", "bridge", "host", "none")
    if needs_endpoint and not mode.startswith("container:"):
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints}


def _network(text: str) -> tuple[str, Json]:
    """A name, or `name=…,alias=…,ip=…,mac-address=…`."""
    if "=" not in text:
        return text, {}
    name = ""
    endpoint: Json = {}
    for field in text.split(","):
        key, _, value = field.partition("=")
        if key == "name":
            name = value
        elif key == "alias":
            endpoint.setdefault("Aliases", []).append(value)
        elif key in ("ip", "ip6"):
            family = "IPv4Address" if key == "ip" else "IPv6Address"
            endpoint.setdefault("IPAMConfig", {})[family] = value
        elif key == "mac-address":
            endpoint["MacAddress"] = value
        else:
            raise BadFlag(f'invalid argument "{text}" for "--network" flag: invalid field key {key}')
    if not name:
        raise BadFlag(f'invalid argument "{text}" for "--network" flag: network name/id is not specified')
    return name, endpoint
