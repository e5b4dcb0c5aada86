"""A service as what runs its pods: a Deployment, a StatefulSet, a DaemonSet or a Job."""

from __future__ import annotations

from desktop.compose.body import restart_of
from desktop.compose.kube.context import Conversion, Json, object_name, without_empty
from desktop.compose.kube.pod import Pod
from desktop.compose.model.service import Service

# A StatefulSet's name and a hash of ten characters are the value of a label of its pods, which has 63 at most.
_STATEFUL_SET_MOST = 52
_JOBS = ("replicated-job", "global-job")


def is_job(conversion: Conversion, service: Service) -> bool:
    """It runs to its end: another service waits for that, or `deploy.mode` says so."""
    if service.deploy is not None and service.deploy.mode in _JOBS:
        return True
    return any(
        dependency.condition == "service_completed_successfully"
        for other in conversion.project.services.values()
        for key, dependency in other.depends_on.items()
        if key == service.name
    )


def job_restart_policy(service: Service) -> str:
    return "OnFailure" if restart_of(service)[0] == "on-failure" else "Never"


def workload(conversion: Conversion, service: Service, pod: Pod) -> Json:
    """Raises ComposeError."""
    if is_job(conversion, service):
        return _job(conversion, service, pod)
    _restart(conversion, service)
    spec: Json = {"selector": {"matchLabels": conversion.selector(service)}, "template": pod.template}
    deploy = service.deploy
    if deploy is not None and deploy.mode == "global":
        return _object(conversion, service, "DaemonSet", spec)
    spec = {"replicas": service.replicas, **spec}
    if _has_own_volume(conversion, service, pod) and len(object_name(service.name)) <= _STATEFUL_SET_MOST:
        return _object(conversion, service, "StatefulSet", {**spec, "serviceName": object_name(service.name)})
    if pod.claims:
        # A claim may be one node's alone: the old pod must let go of it before the new one starts.
        strategy: Json = {"type": "Recreate"}
    else:
        strategy = _rolling(service)
    return _object(conversion, service, "Deployment", without_empty({**spec, "strategy": strategy}))


def _has_own_volume(conversion: Conversion, service: Service, pod: Pod) -> bool:
    """One pod, with a volume that no other service has: there must never be two of it."""
    others = {
        mount.source
        for other in conversion.project.services.values()
        if other.name != service.name
        for mount in other.volumes
        if mount.type == "volume"
    }
    return service.replicas == 1 and any(claim not in others for claim in pod.claims)


def _object(conversion: Conversion, service: Service, kind: str, spec: Json) -> Json:
    name = conversion.name("workload", service.name)
    found = conversion.object("apps/v1", kind, name, {"spec": spec}, service)
    if service.deploy is not None and service.deploy.labels:
        found["metadata"]["annotations"] = conversion.annotations(service, "deploy.labels", service.deploy.labels)
    return found


def _job(conversion: Conversion, service: Service, pod: Pod) -> Json:
    spec: Json = {"completions": service.replicas, "parallelism": service.replicas, "template": pod.template}
    policy, attempts = restart_of(service)
    if policy != "on-failure":
        spec["backoffLimit"] = 0
    elif attempts:
        spec["backoffLimit"] = attempts  # else the cluster's own limit
    name = conversion.name("workload", service.name)
    return conversion.object("batch/v1", "Job", name, {"spec": spec}, service)


def _restart(conversion: Conversion, service: Service) -> None:
    policy, _ = restart_of(service)
    if policy in ("no", "on-failure"):
        conversion.note(service, "restart", f"{policy!r} has no equivalent: the pod is started again whenever it ends")


def _rolling(service: Service) -> Json:
    update = service.deploy.update_config if service.deploy is not None else None
    if update is None:
        return {}
    count = 1 if update.parallelism is None else update.parallelism or max(1, service.replicas)  # 0: all at once
    if update.order == "start-first":
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": count, "maxUnavailable": 0}}
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": max(1, min(count, service.replicas))},
    }
