"""The containers that `cove compose` makes are those that docker compose makes, as the engine describes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.engine import NativeEngine

PROJECT = "cvtsame"
FILE = """\
name: cvtsame
services:
  full:
    image: busybox
    command: sleep 1000
    entrypoint: [env]
    environment: {A: 1, EMPTY: , FROM_ENV: }
    env_file: vars.env
    labels: {own.label: x}
    init: true
    hostname: h
    ipc: shareable
    user: '1000:50'
    working_dir: /tmp
    tmpfs: ['/run:size=1m']
    volumes: ['data:/data:nocopy', ./dir:/dir:ro, /anonymous, {type: tmpfs, target: /t, tmpfs: {size: 1m}}]
    ports: ['127.0.0.1::80', '127.0.0.1::53/udp']
    expose: [9]
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    mem_limit: 64m
    cpus: 0.5
    pids_limit: 50
    shm_size: 8m
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 300}
    sysctls: {net.core.somaxconn: 100}
    security_opt: [no-new-privileges]
    stop_signal: SIGINT
    stop_grace_period: 3s
    restart: on-failure:2
    dns: 10.1.1.1
    dns_search: [a.b]
    extra_hosts: ['h1:10.9.9.9']
    group_add: [7]
    oom_score_adj: 10
    logging: {driver: json-file, options: {max-size: 1m}}
    healthcheck: {test: 'true', interval: 10s, timeout: 2s, retries: 4, start_period: 1s}
    networks: {front: {aliases: [www], ipv4_address: 10.234.78.9}, default: {}}
    configs: [{source: file, target: /etc/cfg}]
  deploy:
    image: busybox
    command: [sleep, '1000']
    init: true
    deploy: {replicas: 2, resources: {limits: {memory: 32m, cpus: '0.25'}, reservations: {memory: 16m}}, labels: {l: 1}}
  shares: {image: busybox, command: sleep 1000, init: true, network_mode: 'service:full', ipc: 'service:full'}
  takes: {image: busybox, command: sleep 1000, init: true, volumes_from: [full]}
networks: {front: {ipam: {config: [{subnet: 10.234.78.0/24}]}, labels: {n: 1}}}
volumes: {data: {labels: {v: 1}}}
configs: {file: {content: "x"}}
"""
# They are another number at each creation, or say which tool it was.
_OWN = {"Id", "Created", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver", "State", "SandboxID"}
_OWN |= {"SandboxKey", "EndpointID", "NetworkID", "MacAddress", "IPAddress", "GlobalIPv6Address", "HostPort"}
_ID = "0" * 64


def _described(engine: NativeEngine) -> dict[str, Any]:
    """The project's containers, networks and volumes, without what differs at each creation."""
    marks = {"filters": {"label": [f"com.docker.compose.project={PROJECT}"]}}
    with engine.client() as client:
        containers = [client.inspect(item["Id"]) for item in client.containers(True, filters=marks["filters"])]
        networks = client.json_list("GET", "/networks", marks)
        volumes = client.json_object("GET", "/volumes", marks)["Volumes"]
    text = json.dumps({one["Name"]: _without(one) for one in containers}, sort_keys=True)
    for one in containers:
        text = text.replace(one["Id"], one["Name"]).replace(one["Id"][:12], one["Name"])
        for mount in one["Mounts"]:
            if len(mount.get("Name") or "") == len(_ID):
                text = text.replace(mount["Name"], _ID)
    found: dict[str, Any] = _without(json.loads(text))  # sorted once more, now without IDs
    for one in found.values():  # a hash over another container's ID is another one at each creation
        if one["Config"]["Labels"]["com.docker.compose.service"] in ("shares", "takes"):
            del one["Config"]["Labels"]["com.docker.compose.config-hash"]
    found["networks"] = {one["Name"]: (one["Labels"], one["IPAM"], one["Driver"], one["Options"]) for one in networks}
    found["volumes"] = {one["Name"]: (one["Labels"], one["Driver"]) for one in volumes if len(one["Name"]) < len(_ID)}
    return found


def _without(value: Any) -> Any:
    """Without our keys and without what is empty, which one tool sends and the other leaves out; lists sorted."""
    if isinstance(value, dict):
        inner = {key: _without(item) for key, item in value.items() if key not in _OWN}
        return {key: item for key, item in inner.items() if item not in (None, "", 0, [], {})}
    return sorted((_without(item) for item in value), key=json.dumps) if isinstance(value, list) else value


def _differences(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """What the two do not share, each with its place."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _differences(one.get(key), other.get(key), f"{at}.{key}")
    elif one != other:
        yield f"{at}: {one!r} and {other!r}"


def _ids(engine: NativeEngine) -> set[str]:
    with engine.client() as client:
        return {one["Id"] for one in client.containers()}


def test_both_tools_make_the_same_containers(engine: NativeEngine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(FILE)
    (tmp_path / "vars.env").write_text("V=1\nA=2\n")
    (tmp_path / "dir").mkdir()
    found: list[dict[str, Any]] = []
    try:
        for tool in (engine.buildx, engine.cove):
            tool("compose", "up", "-d", cwd=tmp_path)
            found.append(_described(engine))
            before = _ids(engine)
            other = engine.cove if tool == engine.buildx else engine.buildx
            other("compose", "up", "-d", cwd=tmp_path)
            assert _ids(engine) == before
            engine.cove("compose", "down", "-v", "-t", "0", cwd=tmp_path)
    finally:
        engine.cove("compose", "down", "-v", "-t", "0", cwd=tmp_path)
    assert list(_differences(found[0], found[1])) == []
