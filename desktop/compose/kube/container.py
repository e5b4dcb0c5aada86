"""A service as a container of a pod: command, variables, probes, resources, rights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from desktop.compose.body import exposed, security_option
from desktop.compose.kube.context import Conversion, Json, named, object_name, without_empty
from desktop.compose.model.deploy import Resource
from desktop.compose.model.develop import Hook
from desktop.compose.model.devices import DeviceRequest
from desktop.compose.model.service import Service

_PULL_POLICIES = {"always": "Always", "never": "Never", "missing": "IfNotPresent"}
_SECOND = 10**9
# docker's defaults for what a healthcheck does not say
_INTERVAL_S, _TIMEOUT_S, _RETRIES = 30, 30, 3


def container(conversion: Conversion, service: Service, mounts: Sequence[Json]) -> Json:
    """`mounts`: volumeMounts of the pod's volumes."""
    if service.entrypoint == ():
        conversion.note(service, "entrypoint", "an empty one has no equivalent: the image's counts")
    image = conversion.project.image_of(service)
    if service.build is not None:
        conversion.note(service, "build", f"push the image {image} to a registry from which the cluster pulls")
    return without_empty(
        {
            "name": object_name(service.name),
            "image": image,
            "imagePullPolicy": _pull_policy(conversion, service),
            "command": [literal(one) for one in service.entrypoint or ()],
            "args": [literal(one) for one in service.command or ()],
            "workingDir": service.working_dir,
            "ports": ports([service]),
            "env": named(
                (key, literal(value)) for key, value in sorted(service.environment.items()) if value is not None
            ),
            "resources": _resources(conversion, service),
            "volumeMounts": list(mounts),
            "readinessProbe": _probe(conversion, service),
            "lifecycle": _lifecycle(conversion, service),
            "securityContext": _rights(conversion, service),
            "stdin": service.stdin_open or None,
            "tty": service.tty or None,
        }
    )


def literal(text: str) -> str:
    """Kubernetes replaces `$(NAME)` in commands and variables; Compose does not."""
    return text.replace("$(", "$$(")


def ports(services: Iterable[Service]) -> list[Json]:
    """The ports that the services expose or publish, each once."""
    every = dict.fromkeys((number, protocol.upper()) for service in services for number, protocol in exposed(service))
    return [{"containerPort": number, "protocol": protocol} for number, protocol in every]


def _pull_policy(conversion: Conversion, service: Service) -> str:
    policy = service.pull_policy
    if policy and policy != "build" and policy not in _PULL_POLICIES:
        conversion.note(service, "pull_policy", f"{policy!r} has no equivalent: the cluster pulls what it lacks")
        return "IfNotPresent"
    return _PULL_POLICIES.get(policy, "")


# --- resources


def _resources(conversion: Conversion, service: Service) -> Json:
    deploy = service.deploy.resources if service.deploy is not None else None
    limits = (deploy.limits if deploy is not None else None) or Resource()
    reserved = (deploy.reservations if deploy is not None else None) or Resource()
    most = _amounts(limits.cpus or _cpus(service), limits.memory or service.mem_limit)
    least = _amounts(reserved.cpus, reserved.memory or service.mem_reservation)
    for request in (*service.gpus, *reserved.devices):
        most.update(_devices(conversion, service, request))
    if limits.pids or service.pids_limit:
        conversion.note(service, "pids_limit", "the limit of processes is a setting of the cluster's nodes")
    if reserved.generic_resources or limits.generic_resources:
        conversion.note(service, "deploy.resources", "generic resources have no equivalent")
    return without_empty({"limits": most, "requests": least})


def _cpus(service: Service) -> float:
    if service.cpus or not service.cpu_quota:
        return service.cpus
    return service.cpu_quota / (service.cpu_period or 100_000)


def _amounts(cpus: float, memory: int) -> Json:
    return without_empty({"cpu": f"{math.ceil(cpus * 1000)}m" if cpus else "", "memory": str(memory) if memory else ""})


def _devices(conversion: Conversion, service: Service, request: DeviceRequest) -> Json:
    if request.driver not in ("", "nvidia") or not {"gpu", "nvidia"} & set(request.capabilities or ("gpu",)):
        conversion.note(service, "devices", f"those of the driver {request.driver!r} have no equivalent")
        return {}
    count = len(request.device_ids) or request.count
    if count < 0:
        conversion.note(service, "devices", "all GPUs of a machine have no equivalent: it gets one")
        count = 1
    return {"nvidia.com/gpu": str(count or 1)}


# --- probes and hooks


def _probe(conversion: Conversion, service: Service) -> Json | None:
    """A readiness probe: docker does not restart what is unhealthy, as a liveness or startup probe would. A pod is not
    ready before its first success, however long that takes, and so it needs no `start_period`."""
    check = service.healthcheck
    if check is None or check.disable or not check.test or check.test[0] == "NONE":
        return None
    if check.start_interval:
        conversion.note(service, "healthcheck.start_interval", "it is asked at the `interval` from the start on")
    kind, *words = check.test
    command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
    return {
        "exec": {"command": [literal(one) for one in command]},
        "periodSeconds": _seconds(check.interval, _INTERVAL_S),
        "timeoutSeconds": _seconds(check.timeout, _TIMEOUT_S),
        "failureThreshold": check.retries or _RETRIES,
    }


def _seconds(ns: int | None, default: int) -> int:
    return max(1, math.ceil(ns / _SECOND)) if ns else default


def _lifecycle(conversion: Conversion, service: Service) -> Json:
    hooks = (("post_start", "postStart", service.post_start), ("pre_stop", "preStop", service.pre_stop))
    return without_empty({name: _hook(conversion, service, field, every) for field, name, every in hooks})


def _hook(conversion: Conversion, service: Service, field: str, hooks: Sequence[Hook]) -> Json | None:
    commands = [hook.command for hook in hooks if hook.command]
    if len(commands) > 1:
        conversion.note(service, field, "Kubernetes takes one command: the first one is kept")
    if any(hook.user or hook.privileged or hook.working_dir or hook.environment for hook in hooks):
        conversion.note(service, field, "its user, rights, folder and variables are those of the container")
    return {"exec": {"command": list(commands[0])}} if commands else None


# --- rights


def _rights(conversion: Conversion, service: Service) -> Json:
    added, dropped = (
        [name.upper().removeprefix("CAP_") for name in names] for names in (service.cap_add, service.cap_drop)
    )
    return without_empty(
        {
            **_user(conversion, service),
            "privileged": service.privileged or None,
            "readOnlyRootFilesystem": service.read_only or None,
            "capabilities": without_empty({"add": added, "drop": dropped}),
            **_security_options(conversion, service),
        }
    )


def _user(conversion: Conversion, service: Service) -> Json:
    user, _, group = service.user.partition(":")
    if not all(one.isdecimal() for one in (user, group) if one):
        conversion.note(
            service, "user", f"{service.user!r} is a name; Kubernetes takes numbers: the image's user counts"
        )
        return {}
    return without_empty({"runAsUser": int(user) if user else None, "runAsGroup": int(group) if group else None})


def _security_options(conversion: Conversion, service: Service) -> Json:
    found: Json = {}
    for option in service.security_opt:
        name, value = security_option(option)
        if name == "no-new-privileges" and value in ("", "true"):
            found["allowPrivilegeEscalation"] = False
        elif name == "seccomp" and value == "unconfined":
            found["seccompProfile"] = {"type": "Unconfined"}
        elif name == "apparmor" and value == "unconfined":
            found["appArmorProfile"] = {"type": "Unconfined"}
        elif name == "apparmor":
            found["appArmorProfile"] = {"type": "Localhost", "localhostProfile": value}
        elif option == "systempaths=unconfined":
            found["procMount"] = "Unmasked"
        else:
            conversion.note(service, "security_opt", f"{option!r} has no equivalent")
    return found
