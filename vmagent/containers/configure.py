"""Checks the body of POST /containers/create and completes it (Engine API, ContainerCreate).

An invalid request is refused here, before anything is made. The image's configuration is merged in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmagent.containers import defaults, logconfig
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.limits import check_combinations, check_resources
from vmagent.errors import BadRequest
from vmagent.runtime.cgroups import tree as cgroup_tree
from vmagent.signals import signal_number

RESTART_POLICIES = ("", "no", "always", "on-failure", "unless-stopped")
_PORT = re.compile(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A create request, completed."""

    config: JsonObject
    host_config: JsonObject
    endpoints: dict[str, JsonObject]  # network name as given → EndpointSettings
    argv: list[str]
    warnings: list[str]


def complete(
    body: Mapping[str, Any],
    image_config: Mapping[str, Any],
    container_id: str,
    *,
    api_version: tuple[int, int],
    log_default: JsonObject = logconfig.DEFAULT,
) -> Requested:
    """The completed request. Raises BadRequest for a request that docker refuses.

    `image_config`: the image's `config` object (OCI or docker). `log_default`: LogConfig for requests without one.
    """
    host_given = _object(body, "HostConfig")
    config = _config(body, image_config, container_id)
    host_config = _host_config(host_given, api_version, log_default)
    mode = host_config["NetworkMode"]
    warnings = [*_warnings(host_config, mode), *discard_unsupported(host_config, cgroup_tree().version)]
    if mode == "host" or host_config["UTSMode"] == "host":
        config["Hostname"] = body.get("Hostname") or ""
    elif mode.startswith("container:"):
        if body.get("Hostname"):
            raise BadRequest("conflicting options: hostname and the network mode")
        config["Hostname"] = ""
    argv = [*config["Entrypoint"], *(config["Cmd"] or ())] if config["Entrypoint"] else config["Cmd"]
    if not argv:
        raise BadRequest("no command specified")
    endpoints = _endpoints(body, mode, config.get("MacAddress"))
    if len(endpoints) > 1 and api_version < (1, 44):
        raise BadRequest("Container cannot be created with multiple network endpoints")
    return Requested(config=config, host_config=host_config, endpoints=endpoints, argv=argv, warnings=warnings)


def _object(body: Mapping[str, Any], key: str) -> JsonObject:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"invalid JSON: {key} must be an object")
    return value


def _strings(value: Any, what: str) -> list[str] | None:
    """A field of Go's type `strslice`: a string means a list with one element."""
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"invalid JSON: {what} must be a list of strings")
    return list(value)


def _config(body: Mapping[str, Any], image: Mapping[str, Any], container_id: str) -> JsonObject:
    config = defaults.filled(defaults.CONFIG, defaults.CONFIG_OPTIONAL, dict(body))
    for key in ("Cmd", "Entrypoint", "Env", "Shell"):
        if key in config:
            config[key] = _strings(config[key], key)
    config["Hostname"] = config["Hostname"] or container_id[:12]
    if len(config["Hostname"]) > 63 or not (config["Hostname"] + config["Domainname"]).isprintable():
        raise BadRequest(f"invalid hostname: {config['Hostname']}")
    # An entrypoint in the request also drops the image's command.
    if config["Entrypoint"] is None or config["Entrypoint"] == []:
        if config["Cmd"] is None or config["Cmd"] == []:
            config["Cmd"] = image.get("Cmd")
        if config["Entrypoint"] is None:
            config["Entrypoint"] = image.get("Entrypoint")
    if config["Entrypoint"] == [""]:  # the CLI's --entrypoint ""
        config["Entrypoint"] = None
    given_env = config["Env"] or []
    names = {entry.partition("=")[0] for entry in given_env}
    config["Env"] = [e for e in image.get("Env") or () if e.partition("=")[0] not in names]
    config["Env"] = [*given_env, *config["Env"]]
    for entry in config["Env"]:
        if not entry.partition("=")[0]:
            raise BadRequest(f"invalid environment variable: {entry}")
    config["Labels"] = {**(image.get("Labels") or {}), **(config["Labels"] or {})}
    config["User"] = config["User"] or image.get("User") or ""
    config["WorkingDir"] = config["WorkingDir"] or image.get("WorkingDir") or ""
    if config["WorkingDir"] and not config["WorkingDir"].startswith("/"):
        raise BadRequest(f"the working directory '{config['WorkingDir']}' is invalid, it needs to be an absolute path")
    for key in ("Volumes", "ExposedPorts"):
        if merged := {**(image.get(key) or {}), **(config.get(key) or {})}:
            config[key] = merged
    if not config.get("StopSignal") and image.get("StopSignal"):
        config["StopSignal"] = image["StopSignal"]
    if config.get("StopSignal"):
        signal_number(config["StopSignal"])
    if "Healthcheck" in config:
        config["Healthcheck"] = {**(image.get("Healthcheck") or {}), **config["Healthcheck"]}
        _check_health(config["Healthcheck"])
    elif image.get("Healthcheck"):
        config["Healthcheck"] = dict(image["Healthcheck"])
    config["ExposedPorts"] = {checked_port(key): {} for key in config.get("ExposedPorts") or ()}
    if not config["ExposedPorts"]:
        del config["ExposedPorts"]
    if config["Tty"] and not config["AttachStdin"] and config["StdinOnce"] and not config["OpenStdin"]:
        config["StdinOnce"] = False
    return config


def _check_health(health: Mapping[str, Any]) -> None:
    for key in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        value = health.get(key) or 0
        if value and value < 1_000_000:  # nanoseconds
            raise BadRequest(f"{key} in Healthcheck cannot be less than 1ms")
    if (health.get("Retries") or 0) < 0:
        raise BadRequest("Retries in Healthcheck cannot be negative")


def checked_port(key: str) -> str:
    """`80` or `80/tcp` as `80/tcp`. Raises BadRequest."""
    match = _PORT.fullmatch(key)
    if not match or not 0 < int(match[1]) < 65536:
        raise BadRequest(f'invalid port specification: "{key}"')
    return f"{int(match[1])}/{match[3] or 'tcp'}"


def _host_config(given: JsonObject, api_version: tuple[int, int], log_default: JsonObject) -> JsonObject:
    host = defaults.filled(defaults.HOST_CONFIG, defaults.HOST_CONFIG_OPTIONAL, given)
    host["NetworkMode"] = "bridge" if host["NetworkMode"] in ("", "default") else host["NetworkMode"]
    host["IpcMode"] = host["IpcMode"] or "private"
    host["CgroupnsMode"] = host["CgroupnsMode"] or "private"
    host["Runtime"] = host["Runtime"] or "runc"
    host["ShmSize"] = host["ShmSize"] or defaults.SHM_SIZE
    if host["ShmSize"] < 0:
        raise BadRequest("SHM size can not be less than 0")
    if host["Privileged"]:
        # A privileged container has no default lists, only those that the user gave.
        host["MaskedPaths"], host["ReadonlyPaths"] = given.get("MaskedPaths"), given.get("ReadonlyPaths")
    host["LogConfig"] = logconfig.checked(host["LogConfig"], log_default)
    check_restart_policy(host["RestartPolicy"])
    if host["AutoRemove"] and host["RestartPolicy"]["Name"] not in ("", "no"):
        raise BadRequest("can't set 'AutoRemove' and 'RestartPolicy' together")
    if host["Runtime"] not in ("runc", "io.containerd.runc.v2", "cove"):
        raise BadRequest(f"unknown or invalid runtime name: {host['Runtime']}")
    if ".." in host["CgroupParent"].split("/"):
        raise BadRequest(f"invalid cgroup parent: {host['CgroupParent']}")
    if host.get("StorageOpt"):
        raise BadRequest("--storage-opt is not supported: containers share the file system of the data root")
    if host.get("DeviceRequests"):
        request = host["DeviceRequests"][0]
        wanted = "[" + " ".join(f"[{' '.join(group)}]" for group in request.get("Capabilities") or ()) + "]"
        raise BadRequest(f'could not select device driver "{request.get("Driver") or ""}" with capabilities: {wanted}')
    if host.get("Isolation") not in (None, "", "default"):
        raise BadRequest(f"invalid isolation \"{host['Isolation']}\": linux only supports 'default'")
    for mode in ("IpcMode", "PidMode", "UTSMode", "UsernsMode", "CgroupnsMode"):
        _check_mode(mode, host[mode])
    check_resources(host)
    check_combinations(host)
    for key, bindings in (host["PortBindings"] or {}).items():
        checked_port(key)
        if bindings is None:
            host["PortBindings"][key] = [{"HostIp": "", "HostPort": ""}]
    host["PortBindings"] = {checked_port(key): value for key, value in (host["PortBindings"] or {}).items()}
    _fill_memory_swap(host)
    return host


def check_restart_policy(policy: JsonObject) -> None:
    """Fill in both fields. Raises BadRequest."""
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    if name not in RESTART_POLICIES:
        raise BadRequest(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if count and name != "on-failure":
        raise BadRequest("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if count < 0:
        raise BadRequest("invalid restart policy: maximum retry count cannot be negative")
    if (policy.get("Name"), policy.get("MaximumRetryCount")) != (name, count):  # else keep the shared object
        policy["Name"], policy["MaximumRetryCount"] = name, count


def _check_mode(field: str, mode: str) -> None:
    kind, colon, rest = mode.partition(":")
    allowed = {
        "IpcMode": ("", "none", "private", "shareable", "host"),
        "PidMode": ("", "private", "host"),
        "UTSMode": ("", "private", "host"),
        "UsernsMode": ("", "host"),
        "CgroupnsMode": ("", "private", "host"),
    }[field]
    if field in ("IpcMode", "PidMode") and kind == "container" and colon and rest:
        return
    if mode not in allowed:
        words = {
            "IpcMode": "IPC",
            "PidMode": "PID",
            "UTSMode": "UTS",
            "UsernsMode": "userns",
            "CgroupnsMode": "cgroup namespace",
        }
        raise BadRequest(f"invalid {words[field]} mode: {mode}")


def _fill_memory_swap(host: JsonObject) -> None:
    if host["Memory"] > 0 and host["MemorySwap"] == 0:
        host["MemorySwap"] = 2 * host["Memory"]


def _warnings(host: JsonObject, mode: str) -> list[str]:
    warnings = []
    if mode == "host" and host["PortBindings"]:
        warnings.append("Published ports are discarded when using host network mode")
    return warnings


def discard_unsupported(host: JsonObject, cgroup_version: int) -> list[str]:
    """Remove from `host` the limits that cgroup v2 does not support, as dockerd does. Returns the warnings."""
    if cgroup_version == 1:
        return []
    warnings = []
    if host.get("MemorySwappiness") not in (None, -1):
        host["MemorySwappiness"] = None
        warnings.append("Your kernel does not support memory swappiness capabilities. Memory swappiness discarded.")
    if host.get("OomKillDisable"):
        host["OomKillDisable"] = False
        warnings.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
    return warnings


def _endpoints(body: Mapping[str, Any], mode: str, mac: str | None) -> dict[str, JsonObject]:
    """Network name → EndpointSettings; the network of the network mode comes first."""
    if body.get("NetworkDisabled"):
        return {}
    if mode.startswith("container:"):
        return {}
    given = _object(_object(body, "NetworkingConfig"), "EndpointsConfig")
    given = {("bridge" if name == "default" else name): dict(settings or {}) for name, settings in given.items()}
    first = given.pop(mode, {})
    if mac and not first.get("MacAddress"):
        first["MacAddress"] = mac
    return {mode: first, **given}


def environment(
    config: Mapping[str, Any], *, tty: bool | None = None, linked: Sequence[str] = (), extra: Sequence[str] = ()
) -> list[str]:
    """The environment of a container's process: docker's own variables, overridden by those of the configuration.

    `tty`: whether the process has a terminal; None: as the configuration says. `linked`: variables of --link. `extra`:
    of an exec.
    """
    own = [f"PATH={defaults.PATH}", f"HOSTNAME={config['Hostname']}", *linked]
    if config["Tty"] if tty is None else tty:
        own.append("TERM=xterm")
    merged: dict[str, str] = {}
    for entry in (*own, *(config["Env"] or ()), *extra):
        name, equals, value = entry.partition("=")
        if equals:
            merged[name] = value
        else:
            merged.pop(name, None)  # NAME without a value removes a variable of the image
    return [f"{name}={value}" for name, value in merged.items()]
