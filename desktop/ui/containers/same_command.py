"""The command that makes a container like an inspected one: `cove run` with its options, without its image's defaults.

The input is `GET /containers/{id}/json` (ContainerInspectResponse) and the Config of its image. Defaults of the engine
are left out, so that the command is as short as the one that was typed.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from desktop.ui.kit.secrets import is_secret

Json = Mapping[str, Any]
MIB = 2**20
DEFAULT_SHM_BYTES = 64 * MIB
# Flags that take the value of a HostConfig field as it is; values in the last column are the engine's defaults.
PLAIN_FLAGS: tuple[tuple[str, str, tuple[object, ...]], ...] = (
    ("cgroup-parent", "CgroupParent", ("",)),
    ("cpu-shares", "CpuShares", (0,)),
    ("cpu-period", "CpuPeriod", (0,)),
    ("cpu-quota", "CpuQuota", (0,)),
    ("cpu-rt-period", "CpuRealtimePeriod", (0,)),
    ("cpu-rt-runtime", "CpuRealtimeRuntime", (0,)),
    ("cpuset-cpus", "CpusetCpus", ("",)),
    ("cpuset-mems", "CpusetMems", ("",)),
    ("blkio-weight", "BlkioWeight", (0,)),
    ("memory-swappiness", "MemorySwappiness", (-1,)),
    ("pids-limit", "PidsLimit", (0,)),
    ("oom-score-adj", "OomScoreAdj", (0,)),
    ("cgroupns", "CgroupnsMode", ("", "private")),
    ("ipc", "IpcMode", ("", "private", "shareable")),
    ("pid", "PidMode", ("",)),
    ("uts", "UTSMode", ("",)),
    ("userns", "UsernsMode", ("",)),
    ("runtime", "Runtime", ("", "runc")),
    ("isolation", "Isolation", ("", "default")),
    ("volume-driver", "VolumeDriver", ("",)),
)
SWITCHES = (
    ("privileged", "Privileged"),
    ("read-only", "ReadonlyRootfs"),
    ("init", "Init"),
    ("oom-kill-disable", "OomKillDisable"),
    ("publish-all", "PublishAllPorts"),
)
LISTS = (
    ("cap-add", "CapAdd"),
    ("cap-drop", "CapDrop"),
    ("group-add", "GroupAdd"),
    ("dns", "Dns"),
    ("dns-option", "DnsOptions"),
    ("dns-search", "DnsSearch"),
    ("add-host", "ExtraHosts"),
    ("device-cgroup-rule", "DeviceCgroupRules"),
    ("volumes-from", "VolumesFrom"),
)
MAPPINGS = (("sysctl", "Sysctls"), ("storage-opt", "StorageOpt"), ("annotation", "Annotations"))
RECURSION = (
    ("NonRecursive", "disabled"),
    ("ReadOnlyNonRecursive", "writable"),
    ("ReadOnlyForceRecursive", "readonly"),
)
DEVICE_RATES = (
    ("device-read-bps", "BlkioDeviceReadBps"),
    ("device-read-iops", "BlkioDeviceReadIOps"),
    ("device-write-bps", "BlkioDeviceWriteBps"),
    ("device-write-iops", "BlkioDeviceWriteIOps"),
)
HEALTH_TIMES = (
    ("health-interval", "Interval"),
    ("health-timeout", "Timeout"),
    ("health-start-period", "StartPeriod"),
    ("health-start-interval", "StartInterval"),
)


def same_command(data: Json, image: Json, program: str = "cove", *, hides_secrets: bool = False) -> list[str]:
    """The command's words, each quoted for a shell, an option with its value in one. `image` is the image's Config.

    `hides_secrets`: of variables whose name tells a secret only the name, so that the shell's own value is taken.
    """
    config, host = data.get("Config") or {}, data.get("HostConfig") or {}
    words = [f"{program} run"]
    # An attached container was run in the foreground, any other with `-d`.
    if not any(config.get(f"Attach{stream}") for stream in ("Stdin", "Stdout", "Stderr")):
        words[0] += " -d"
    words += _terminal(config)
    words += _identity(data, config, image)
    words += _ports(config, host, image)
    words += _networks(data, config, host)
    words += _storage(config, host, image)
    words += _environment(config, image, hides_secrets=hides_secrets)
    words += _health(config.get("Healthcheck") or {}, image.get("Healthcheck") or {})
    words += _limits(host)
    words += _options(host)
    words += _life(config, host, image)
    entrypoint, command = _command(config, image)
    words += entrypoint
    words.append(shlex.quote(str(config.get("Image", ""))))
    words += command
    return words


def _flag(name: str, value: object) -> str:
    return f"--{name} {shlex.quote(str(value))}"


def _terminal(config: Json) -> Iterator[str]:
    letters = ("i" if config.get("OpenStdin") else "") + ("t" if config.get("Tty") else "")
    if letters:
        yield f"-{letters}"


def _identity(data: Json, config: Json, image: Json) -> Iterator[str]:
    yield _flag("name", str(data.get("Name", "")).lstrip("/"))
    hostname = config.get("Hostname") or ""
    if hostname and hostname != str(data.get("Id", ""))[:12]:  # the id's beginning is the default
        yield _flag("hostname", hostname)
    if config.get("Domainname"):
        yield _flag("domainname", config["Domainname"])
    if (config.get("User") or "") != (image.get("User") or ""):
        yield _flag("user", config.get("User") or "root")
    if (config.get("WorkingDir") or "/") != (image.get("WorkingDir") or "/"):
        yield _flag("workdir", config.get("WorkingDir") or "/")
    given = image.get("Labels") or {}
    for key, value in (config.get("Labels") or {}).items():
        if given.get(key) != value:
            yield _flag("label", f"{key}={value}")


def _ports(config: Json, host: Json, image: Json) -> Iterator[str]:
    bindings = host.get("PortBindings") or {}
    for key, bound in bindings.items():
        port, _, protocol = key.partition("/")
        target = port if protocol in ("", "tcp") else key
        for binding in bound or ():
            address, published = str(binding.get("HostIp") or ""), str(binding.get("HostPort") or "")
            address = f"[{address}]" if ":" in address else address
            source = f"{address}:{published}:" if address else f"{published}:" if published else ""
            yield f"-p {shlex.quote(f'{source}{target}')}"
    exposed = set(config.get("ExposedPorts") or {}) - set(image.get("ExposedPorts") or {}) - set(bindings)
    for key in sorted(exposed):
        yield _flag("expose", key.removesuffix("/tcp"))


def _networks(data: Json, config: Json, host: Json) -> Iterator[str]:
    """The flags of the networks: NetworkMode names the first one; its addresses and aliases are separate flags."""
    mode = str(host.get("NetworkMode") or "default")
    endpoints = (data.get("NetworkSettings") or {}).get("Networks") or {}
    own_names = {str(data.get("Id", ""))[:12], str(data.get("Name", "")).lstrip("/")}
    others = [name for name in endpoints if name != mode and (name, mode) != ("bridge", "default")]
    if mode not in ("default", "bridge") or others:
        yield _flag("network", mode)
    for address_flag, value in _endpoint(endpoints.get(mode) or {}, own_names):
        yield _flag({"alias": "network-alias"}.get(address_flag, address_flag), value)
    if config.get("MacAddress"):
        yield _flag("mac-address", config["MacAddress"])
    for name in others:
        fields = [f"{key}={value}" for key, value in _endpoint(endpoints[name] or {}, own_names)]
        yield _flag("network", ",".join([f"name={name}", *fields]) if fields else name)
    for link in host.get("Links") or ():  # "/target:/name/alias"
        target, _, alias = str(link).partition(":")
        yield _flag("link", f"{target.lstrip('/')}:{alias.rpartition('/')[2]}")


def _endpoint(endpoint: Json, own_names: set[str]) -> Iterator[tuple[str, str]]:
    """The configured values of a network endpoint: (ip, ip6 or alias, value)."""
    addresses = endpoint.get("IPAMConfig") or {}
    for key, name in (("ip", "IPv4Address"), ("ip6", "IPv6Address")):
        if addresses.get(name):
            yield key, str(addresses[name])
    for alias in endpoint.get("Aliases") or ():
        if alias not in own_names:
            yield "alias", str(alias)


def _storage(config: Json, host: Json, image: Json) -> Iterator[str]:
    for bind in host.get("Binds") or ():
        yield f"-v {shlex.quote(str(bind))}"
    targets = {str(bind).split(":")[1] for bind in host.get("Binds") or () if ":" in str(bind)}
    for path in sorted(set(config.get("Volumes") or {}) - set(image.get("Volumes") or {}) - targets):
        yield f"-v {shlex.quote(path)}"
    for mount in host.get("Mounts") or ():
        yield _flag("mount", _mount(mount))
    for path, options in (host.get("Tmpfs") or {}).items():
        yield _flag("tmpfs", f"{path}:{options}" if options else path)


def _mount(mount: Json) -> str:
    """One entry of HostConfig.Mounts in the notation of `--mount`: a line of CSV."""
    fields = [f"type={mount.get('Type', 'volume')}"]
    if mount.get("Source"):
        fields.append(f"src={mount['Source']}")
    fields.append(f"dst={mount.get('Target', '')}")
    if mount.get("ReadOnly"):
        fields.append("readonly")
    bind, volume = mount.get("BindOptions") or {}, mount.get("VolumeOptions") or {}
    tmpfs, driver = mount.get("TmpfsOptions") or {}, volume.get("DriverConfig") or {}
    simple = (
        ("bind-propagation", bind.get("Propagation")),
        ("bind-recursive", next((word for key, word in RECURSION if bind.get(key)), "")),
        ("bind-create-src", "true" if bind.get("CreateMountpoint") else ""),
        ("volume-nocopy", "true" if volume.get("NoCopy") else ""),
        ("volume-subpath", volume.get("Subpath")),
        ("volume-driver", driver.get("Name")),
        ("tmpfs-size", tmpfs.get("SizeBytes")),
        ("tmpfs-mode", f"{tmpfs['Mode']:o}" if tmpfs.get("Mode") else ""),
    )
    fields += [f"{key}={value}" for key, value in simple if value]
    fields += [f"volume-label={key}={value}" for key, value in (volume.get("Labels") or {}).items()]
    fields += [f"volume-opt={key}={value}" for key, value in (driver.get("Options") or {}).items()]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _environment(config: Json, image: Json, *, hides_secrets: bool) -> Iterator[str]:
    given = set(image.get("Env") or ())
    for entry in config.get("Env") or ():
        if entry not in given:
            name = str(entry).partition("=")[0]
            yield f"-e {shlex.quote(name if hides_secrets and is_secret(name) else str(entry))}"


def _health(check: Json, given: Json) -> Iterator[str]:
    test = list(check.get("Test") or ())
    if test[:1] == ["NONE"]:
        if list(given.get("Test") or ())[:1] != ["NONE"]:
            yield "--no-healthcheck"
        return
    if test and test != list(given.get("Test") or ()):
        command = test[1] if test[0] == "CMD-SHELL" and len(test) == 2 else shlex.join(test[1:])
        yield _flag("health-cmd", command)
    for name, key in HEALTH_TIMES:
        if check.get(key) and check[key] != given.get(key):
            yield _flag(name, _duration(int(check[key])))
    if check.get("Retries") and check["Retries"] != given.get("Retries"):
        yield _flag("health-retries", check["Retries"])


def _duration(ns: int) -> str:
    for unit, length in (("s", 1_000_000_000), ("ms", 1_000_000)):
        if ns % length == 0:
            return f"{ns // length}{unit}"
    return f"{ns}ns"


def _limits(host: Json) -> Iterator[str]:
    memory, swap = int(host.get("Memory") or 0), int(host.get("MemorySwap") or 0)
    if memory:
        yield _flag("memory", _size(memory))
    if swap and swap != 2 * memory:  # twice the memory is the default
        yield _flag("memory-swap", _size(swap))
    if host.get("MemoryReservation"):
        yield _flag("memory-reservation", _size(int(host["MemoryReservation"])))
    if host.get("NanoCpus"):
        yield _flag("cpus", f"{int(host['NanoCpus']) / 1e9:.9f}".rstrip("0").rstrip("."))
    if (host.get("ShmSize") or DEFAULT_SHM_BYTES) != DEFAULT_SHM_BYTES:
        yield _flag("shm-size", _size(int(host["ShmSize"])))
    for limit in host.get("Ulimits") or ():
        yield _flag("ulimit", f"{limit['Name']}={limit['Soft']}:{limit['Hard']}")
    for name, key in DEVICE_RATES:
        for limit in host.get(key) or ():
            yield _flag(name, f"{limit['Path']}:{limit['Rate']}")
    for limit in host.get("BlkioWeightDevice") or ():
        yield _flag("blkio-weight-device", f"{limit['Path']}:{limit['Weight']}")
    for device in host.get("Devices") or ():
        permissions = device.get("CgroupPermissions") or "rwm"
        yield _flag("device", f"{device['PathOnHost']}:{device['PathInContainer']}:{permissions}")


def _size(count: int) -> str:
    return f"{count // MIB}m" if count > 0 and count % MIB == 0 else str(count)


def _options(host: Json) -> Iterator[str]:
    for name, key, defaults in PLAIN_FLAGS:
        if host.get(key) is not None and host[key] not in defaults:
            yield _flag(name, host[key])
    for name, key in SWITCHES:
        if host.get(key):
            yield f"--{name}"
    for name, key in LISTS:
        for value in host.get(key) or ():
            yield _flag(name, value)
    for name, key in MAPPINGS:
        for field, value in (host.get(key) or {}).items():
            yield _flag(name, f"{field}={value}")
    for option in host.get("SecurityOpt") or ():
        # The API returns the profile's text, but the flag takes a file: use a placeholder name for the user to replace.
        yield _flag("security-opt", "seccomp=profile.json" if str(option).startswith("seccomp={") else option)
    log = host.get("LogConfig") or {}
    if (log.get("Type") or "json-file") != "json-file":
        yield _flag("log-driver", log["Type"])
    for field, value in (log.get("Config") or {}).items():
        yield _flag("log-opt", f"{field}={value}")


def _life(config: Json, host: Json, image: Json) -> Iterator[str]:
    policy = host.get("RestartPolicy") or {}
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    if name != "no":
        yield _flag("restart", f"{name}:{count}" if count else name)
    if config.get("StopSignal") and config["StopSignal"] != image.get("StopSignal"):
        yield _flag("stop-signal", config["StopSignal"])
    if config.get("StopTimeout") is not None:
        yield _flag("stop-timeout", config["StopTimeout"])
    if host.get("AutoRemove"):
        yield "--rm"


def _command(config: Json, image: Json) -> tuple[list[str], list[str]]:
    """The `--entrypoint` flag if it differs from the image's, and the words after the image.

    The flag takes one word. The entrypoint's other words are put before the command, which gives the same process.
    """
    entrypoint, command = list(config.get("Entrypoint") or ()), list(config.get("Cmd") or ())
    if entrypoint == list(image.get("Entrypoint") or ()):
        return [], [] if command == list(image.get("Cmd") or ()) else [shlex.quote(str(word)) for word in command]
    first, rest = (str(entrypoint[0]), entrypoint[1:]) if entrypoint else ("", [])
    return [_flag("entrypoint", first)], [shlex.quote(str(word)) for word in (*rest, *command)]
