"""Compose projects of our own: a name, files, and the arguments that choose among them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from desktop.compose.project import Options


class Example(NamedTuple):
    """`files` by name (folders with `/`); `arguments` stand before the command, `environ` is set."""

    files: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = {}


def one(text: str, **more: str) -> Example:
    return Example({"compose.yaml": text, **{name.replace("__", "/"): body for name, body in more.items()}})


def write(folder: Path, example: Example) -> None:
    for name, text in example.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def options(folder: Path, example: Example, **more: Any) -> Options:
    """What the command line makes of the example's arguments."""
    given: dict[str, list[str]] = {}
    for flag, value in zip(example.arguments[::2], example.arguments[1::2], strict=True):
        given.setdefault(flag, []).append(value)
    return Options(
        folder=str(folder),
        environ={"HOME": os.environ["HOME"], **example.environ},
        files=tuple(given.get("-f", ())),
        name="".join(given.get("-p", ())),
        profiles=tuple(given.get("--profile", ())),
        env_files=tuple(given.get("--env-file", ())),
        project_directory="".join(given.get("--project-directory", ())),
        **more,
    )


EXAMPLES: Mapping[str, Example] = {
    "least": one("services: {web: {image: busybox}}\n"),
    "named": one("name: my-shop\nservices: {web: {image: busybox}}\n"),
    "commands": one(
        "services:\n"
        "  a: {image: i, command: sh -c 'echo \"a b\" c', entrypoint: [/bin/x, -v]}\n"
        "  b: {image: i, command: [], entrypoint: ''}\n"
        "  c: {image: i, command: null}\n"
    ),
    "scalars": one(
        "services:\n  a:\n    image: i\n    environment:\n"
        "      YES: yes\n      ON: on\n      BOOL: true\n      OCTAL: 0777\n      NEW_OCTAL: 0o17\n      HEX: 0x1f\n"
        "      FLOAT: 1.50\n      WHOLE: 2.0\n      BIG: 1_000\n      TIME: 22:22\n      EMPTY:\n      NULLED: null\n"
        "      TILDE: ~\n      QUOTED: '007'\n      EXP: '1e3'\n      AT: '@x'\n      DATE: '2024-01-02'\n"
        "    labels: {n: 1, b: true, f: 0.5, e: null, s: 'no'}\n"
    ),
    "lists-or-mappings": one(
        "services:\n  a:\n    image: i\n"
        "    environment: [A=1, B=, 'C=x=y', D]\n    labels: ['x.y=1', bare]\n    sysctls: [net.core.somaxconn=1024]\n"
        "    extra_hosts: ['h1:10.0.0.1', 'h2=10.0.0.2', 'h3:::1']\n    annotations: [k=v]\n"
        "  b:\n    image: i\n    sysctls: {net.core.somaxconn: 1024}\n"
        "    extra_hosts: {h1: 10.0.0.1, h2: [10.0.0.2, '[::1]']}\n    annotations: {k: v}\n"
    ),
    "ports": one(
        "services:\n  a:\n    image: i\n    ports:\n"
        "      - 3000\n      - '3001-3003'\n      - '8000:80'\n      - '9090-9091:8080-8081'\n      - '49100:22'\n"
        "      - '127.0.0.1:8001:8001'\n      - '127.0.0.1:5000-5002:5000-5002'\n      - '6060:6060/udp'\n"
        "      - '[::1]:7000:7000'\n      - '12400-12402:1240'\n      - '127.0.0.1::9'\n"
        "      - {target: 80, published: '8088', protocol: udp, mode: host, name: n, app_protocol: http}\n"
        "      - {target: 81, host_ip: 127.0.0.2, published: 8100}\n"
        "    expose: [80, '90-91', '53/udp']\n"
    ),
    "volumes": one(
        "services:\n  a:\n    image: i\n    volumes:\n"
        "      - /anonymous\n      - data:/data\n      - data:/ro:ro\n      - ./here:/here\n      - ../up:/up:rw,z\n"
        "      - /abs/:/abs/:rshared\n      - ~/home:/home\n      - data:/nc:nocopy\n"
        "      - {type: bind, source: ., target: /b, read_only: true, bind: {propagation: slave, create_host_path: false}}\n"
        "      - {type: volume, source: data, target: /v//x, volume: {nocopy: true, subpath: s}}\n"
        "      - {type: tmpfs, target: /t, tmpfs: {size: 64m, mode: 0o1777}}\n"
        "    tmpfs: /run\n    volumes_from: [b:ro, 'container:other']\n"
        "  b: {image: i, tmpfs: ['/run', '/tmp:size=1m']}\n"
        "volumes:\n  data: {driver: local, driver_opts: {type: none, o: bind, device: ./dev}, labels: [a=b]}\n  unused:\n"
    ),
    "networks": one(
        "services:\n  a:\n    image: i\n    networks:\n      front: {aliases: [x, y], ipv4_address: 172.30.0.5, priority: 7}\n"
        "      back:\n      outside: {mac_address: '02:42:ac:11:65:43', link_local_ips: [57.123.22.11]}\n"
        "  b: {image: i, networks: [back]}\n  c: {image: i, network_mode: host}\n  d: {image: i, network_mode: 'service:a'}\n"
        "  e: {image: i, networks: [default]}\n"
        "networks:\n  front:\n    driver: bridge\n    driver_opts: {com.docker.network.bridge.name: br9, n: 5}\n"
        "    ipam: {driver: default, config: [{subnet: 172.30.0.0/16, ip_range: 172.30.5.0/24, gateway: 172.30.0.1,"
        " aux_addresses: {h: 172.30.0.9}}]}\n    enable_ipv6: true\n    internal: true\n    attachable: true\n"
        "    labels: {a: b}\n  back: {}\n  outside: {external: true, name: real}\n  spare:\n"
    ),
    "depends": one(
        "services:\n  a: {image: i, depends_on: [b, c]}\n"
        "  b: {image: i, depends_on: {c: {condition: service_healthy, restart: true}}}\n"
        "  c: {image: i, links: ['d:alias'], ipc: 'service:d', pid: 'service:e'}\n  d: {image: i}\n"
        "  e: {image: i, volumes_from: [d], depends_on: {d: {condition: service_completed_successfully, required: false}}}\n"
    ),
    "health": one(
        "services:\n  a:\n    image: i\n    healthcheck: {test: curl -f localhost, interval: 1m30s, timeout: 10s, retries: 3,"
        " start_period: 40s, start_interval: 500ms}\n"
        "  b: {image: i, healthcheck: {test: [CMD, 'true'], interval: 0s}}\n  c: {image: i, healthcheck: {disable: true}}\n"
        "  d: {image: i, healthcheck: {test: [NONE]}}\n"
    ),
    "build": one(
        "services:\n  a: {build: ./dir}\n"
        "  b:\n    image: made\n    build:\n      context: .\n      dockerfile: Other\n      args: {A: 1, FROM_ENV: , B: ''}\n"
        "      labels: [l=1]\n      target: t\n      cache_from: [x]\n      cache_to: [type=inline]\n      no_cache: true\n"
        "      pull: true\n      extra_hosts: ['a=1.2.3.4']\n      network: host\n      shm_size: 128m\n      tags: ['a:1', 'b:2']\n"
        "      platforms: [linux/amd64]\n      additional_contexts: {r: ./r, i: 'docker-image://x'}\n      ssh: [default]\n"
        "      secrets: [s, {source: s, target: other}]\n      ulimits: {nofile: 10}\n      privileged: true\n"
        "  c: {build: {context: 'https://github.com/x/y.git#main'}}\n"
        '  d: {build: {dockerfile_inline: "FROM scratch\\n"}}\n  e: {build: {args: [X=1, NOT_SET]}}\n'
        "secrets: {s: {file: ./s.txt}}\n"
    ),
    "deploy": one(
        "services:\n  a:\n    image: i\n    deploy:\n      mode: replicated\n      replicas: 2\n      labels: {x: 1}\n"
        "      resources:\n        limits: {cpus: '0.50', memory: 50M, pids: 10}\n"
        "        reservations: {cpus: 0.25, memory: 20m, devices: [{capabilities: [gpu], count: 1, driver: d}],"
        " generic_resources: [{discrete_resource_spec: {kind: g, value: 2}}]}\n"
        "      restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 120s}\n"
        "      update_config: {parallelism: 0, delay: 10s, order: stop-first, max_failure_ratio: 0.1}\n"
        "      placement: {constraints: [node.role==manager], preferences: [{spread: z}], max_replicas_per_node: 1}\n"
        "      endpoint_mode: vip\n  b: {image: i, deploy: {}}\n  c: {image: i, scale: 3}\n"
    ),
    "limits": one(
        "services:\n  a:\n    image: i\n    cpus: 1.5\n    cpu_count: 2\n    cpu_percent: 50\n    cpu_shares: 73\n"
        "    cpu_quota: 50000\n    cpu_period: 100000\n    cpuset: 0,1\n    mem_limit: 64m\n    mem_reservation: 32000000\n"
        "    memswap_limit: 1gb\n    mem_swappiness: 10\n    pids_limit: 20\n    oom_kill_disable: true\n    oom_score_adj: 500\n"
        "    shm_size: 1.5g\n    ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}\n    storage_opt: {size: 1G}\n"
        "    blkio_config: {weight: 300, weight_device: [{path: /dev/sda, weight: 400}],"
        " device_read_bps: [{path: /dev/sdb, rate: 12mb}], device_write_iops: [{path: /dev/sdb, rate: 30}]}\n"
        "    device_cgroup_rules: ['c 1:3 mr']\n    devices: ['/dev/ttyUSB0:/dev/ttyUSB0', '/dev/sda:/dev/xvda:rwm', /dev/kvm]\n"
    ),
    "rest": one(
        "services:\n  a:\n    image: i\n    init: true\n    tty: 'true'\n    stdin_open: true\n    privileged: true\n"
        "    read_only: true\n    restart: on-failure:3\n    runtime: runc\n    stop_grace_period: 1m5s\n    stop_signal: SIGUSR1\n"
        "    user: '1000:50'\n    userns_mode: host\n    uts: host\n    working_dir: /w\n    hostname: h\n    domainname: d\n"
        "    mac_address: 02:42:ac:11:65:43\n    platform: linux/amd64\n    pull_policy: if_not_present\n    isolation: default\n"
        "    cap_add: [ALL, ALL]\n    cap_drop: [NET_ADMIN]\n    cgroup: private\n    cgroup_parent: x\n    container_name: c\n"
        "    dns: 8.8.8.8\n    dns_opt: [use-vc]\n    dns_search: [a.com, b.com]\n    external_links: [x, 'y:z']\n"
        "    group_add: [mail, 100]\n    security_opt: ['label:user:USER']\n    attach: false\n"
        "    logging: {driver: syslog, options: {syslog-address: 'tcp://1:2', max: 3}}\n"
        "    post_start: [{command: ./x.sh, user: root, privileged: true, environment: [A=1]}]\n"
        "    pre_stop: [{command: [./y.sh, z], working_dir: /}]\n"
        "  b: {image: i, restart: 'no', dns: [1.1.1.1, 1.1.1.1], init: false, attach: true}\n"
    ),
    "configs-and-secrets": Example(
        {
            "compose.yaml": "services:\n  a:\n    image: i\n"
            "    configs: [c1, {source: c2, target: /c, uid: '1', gid: '2', mode: 0440}]\n"
            "    secrets: [s1, {source: s2, target: t, mode: 0o400}, s3]\n"
            'configs:\n  c1: {file: ./c.txt}\n  c2: {content: "v=${V}\\n"}\n  c3: {environment: V}\n  c4: {external: true}\n'
            "secrets:\n  s1: {file: ./s.txt}\n  s2: {environment: V}\n  s3: {external: true, name: real}\n"
        },
        environ={"V": "value"},
    ),
    "interpolation": Example(
        {
            "compose.yaml": "services:\n  a:\n    image: ${IMG:-busybox}:${TAG-1}\n    environment:\n"
            "      SET: $SET\n      BRACED: x${SET}y\n      UNSET_DEFAULT: ${NO-d}\n      EMPTY_DASH: ${EMPTY-d}\n"
            "      EMPTY_COLON: ${EMPTY:-d}\n      PLUS: ${SET+alt}\n      PLUS_COLON: ${EMPTY:+alt}\n      PLUS_EMPTY: ${EMPTY+alt}\n"
            "      NESTED: ${NO:-${ALSO_NO:-${SET}}}\n      DOLLAR: $$x $${y}\n      REQUIRED: ${SET:?must be}\n"
            "      REQUIRED2: ${EMPTY?may be empty}\n      WORDS: ${NO:-a b:c-d?e+f}\n      TWO: ${SET}${SET}-$SET\n"
            "    scale: ${N}\n    privileged: ${B:-false}\n    ports: ['${P}:80']\n    mem_limit: ${M}\n"
            "    healthcheck: {test: x, retries: '${N}'}\n"
        },
        environ={"SET": "s", "EMPTY": "", "N": "2", "P": "8000", "M": "1m"},
    ),
    "dot-env": Example(
        {
            "compose.yaml": "services:\n  a:\n    image: i\n    environment: {V: '${PLAIN}|${SINGLE}|${DOUBLE}|${REF}|${OS}|${C}|${E}'}\n"
            "    env_file: [a.env, {path: missing.env, required: false}, b.env]\n",
            ".env": "# comment\nPLAIN=a b # tail\nSINGLE='raw $PLAIN #x'\nDOUBLE=\"two\\nlines $PLAIN\"\nREF=${PLAIN}-${NOPE:-n}\n"
            'OS=file\nexport E=exported\nC: colon\n\nMULTI="one\ntwo"\n',
            "a.env": "X=1\nY=${X}2\nOS\nQ='single'\n",
            "b.env": "X=3\nZ=${X}\n",
        },
        environ={"OS": "environment"},
    ),
    "env-files": Example(
        {
            "compose.yaml": "services: {a: {image: 'i:${A}${B}'}}\n",
            "one.env": "A=1\nB=1\n",
            "two.env": "B=${A}2\n",
            ".env": "A=wrong\n",
        },
        ("--env-file", "one.env", "--env-file", "two.env"),
    ),
    "several-files": Example(
        {
            "a.yaml": "services:\n  web:\n    image: one\n    command: [a]\n    environment: {A: 1, B: 1}\n    ports: ['80:80']\n"
            "    volumes: ['vv:/data', './x:/x', 'c:/x:/y']\n    labels: [a=1]\n    depends_on: [db]\n    dns: [1.1.1.1]\n    build: .\n"
            "    healthcheck: {test: [CMD, a], retries: 1}\n    logging: {driver: a, options: {x: 1}}\n    cap_add: [A]\n"
            "    extra_hosts: ['h:1.1.1.1']\n    networks: [n]\n    ulimits: {nofile: 1}\n    secrets: [s]\n    tmpfs: /a\n"
            "    expose: ['1']\n    env_file: x.env\n  db: {image: db}\nvolumes: {vv: {labels: {a: 1}}}\n"
            "networks: {n: {ipam: {config: [{subnet: 10.1.0.0/24}]}}}\nsecrets: {s: {file: s}, t: {file: t}}\n",
            "b.yaml": "services:\n  web:\n    image: two\n    command: [b, c]\n    environment: [B=2, C=3]\n    ports: ['80:80', '81:81']\n"
            "    volumes: ['ww:/data:ro', '/y:/y']\n    labels: {b: 2}\n    depends_on: {db: {condition: service_healthy}}\n    dns: 8.8.8.8\n"
            "    build: {args: {X: 1}}\n    healthcheck: {interval: 1s}\n    logging: {driver: b, options: {y: 2}}\n    cap_add: [A, B]\n"
            "    extra_hosts: ['h:2.2.2.2', 'h:1.1.1.1']\n    networks: {n: {aliases: [q]}, m: }\n    ulimits: {nofile: {soft: 1, hard: 2}}\n"
            "    secrets: [{source: t, target: /run/secrets/s}]\n    tmpfs: [/b]\n    expose: [1, 2]\n    env_file: [y.env]\n"
            "volumes: {vv: {labels: [b=2]}, ww: }\n"
            "networks: {n: {ipam: {config: [{subnet: 10.2.0.0/24}]}}, m: }\n",
            "x.env": "X=1\n",
            "y.env": "X=2\n",
        },
        ("-f", "a.yaml", "-f", "b.yaml"),
    ),
    "override-file": Example(
        {
            "compose.yaml": "services: {a: {image: one, environment: {A: 1}}}\n",
            "compose.override.yaml": "services: {a: {environment: {B: 2}}, b: {image: two}}\n",
        }
    ),
    "reset": Example(
        {
            "a.yaml": "services:\n  a: {image: i, ports: ['80:80'], environment: {A: 1, B: 2}, command: x, volumes: ['/a:/a']}\n"
            "  b: {image: i}\nvolumes: {v: }\n",
            "b.yaml": "services:\n  a: {ports: !override ['81:81'], environment: {A: !reset null}, command: !reset null,"
            " volumes: !reset []}\n  b: !reset null\n",
        },
        ("-f", "a.yaml", "-f", "b.yaml"),
    ),
    "documents": one("services: {a: {image: one}}\n---\nservices: {a: {image: two, command: x}}\n"),
    "anchors": one(
        "x-base: &base\n  image: i\n  environment: &env {A: 1, B: 2}\n  x-note: kept\nservices:\n  a:\n    <<: *base\n    command: a\n"
        "  b:\n    <<: [*base, {image: other, user: u}]\n    environment: {<<: *env, B: 3}\n    x-mine: {deep: [1, two]}\n"
    ),
    "extends": Example(
        {
            "compose.yaml": "services:\n  base: {image: base, environment: {A: 1}, ports: ['80:80'], labels: {x: 1}}\n"
            "  mid: {extends: base, environment: {B: 2}}\n  web: {extends: {service: mid}, image: web, ports: ['81:81'], command: x}\n"
            "  other: {extends: {file: sub/common.yaml, service: thing}, environment: {Z: 1}}\n",
            "sub/common.yaml": "services:\n  thing:\n    extends: root\n    env_file: e.env\n    volumes: ['./data:/data']\n"
            "  root: {build: ctx, profiles: [p], depends_on: [base]}\n",
            "sub/e.env": "FROM=sub\n",
        },
        ("--profile", "p"),
    ),
    "include": Example(
        {
            "compose.yaml": "include:\n  - sub/compose.yaml\n"
            "  - {path: [two/a.yaml, two/b.yaml], project_directory: two, env_file: two/x.env}\n"
            "services: {web: {image: web, depends_on: [db]}}\n",
            "sub/compose.yaml": "services: {db: {image: 'db:${VER}', build: ., volumes: ['./d:/d', 'v:/v'], environment: [VER]}}\n"
            "volumes: {v: }\n",
            "sub/.env": "VER=7\n",
            "two/a.yaml": "services: {x: {image: 'x:${VER}', build: {}}}\n",
            "two/b.yaml": "services: {x: {command: b}}\n",
            "two/x.env": "VER=8\n",
        }
    ),
    "profiles": Example(
        {
            "compose.yaml": "services:\n  a: {image: i}\n  b: {image: i, profiles: [x]}\n"
            "  c: {image: i, profiles: [y, z], volumes: ['v:/v']}\nvolumes: {v: }\n"
        },
        ("--profile", "x"),
    ),
    "profiles-environment": Example(
        {"compose.yaml": "services: {a: {image: i}, b: {image: i, profiles: [x]}, c: {image: i, profiles: [y]}}\n"},
        environ={"COMPOSE_PROFILES": "x,y"},
    ),
    "project-name": Example(
        {"compose.yaml": "name: nope\nservices: {a: {image: i, volumes: ['v:/v']}}\nvolumes: {v: }\n"}, ("-p", "given")
    ),
    "project-directory": Example(
        {"sub/compose.yaml": "services: {a: {build: ., volumes: ['./x:/x']}}\n"},
        ("-f", "sub/compose.yaml", "--project-directory", "."),
    ),
    "watch": one(
        "services:\n  a:\n    build: .\n    develop:\n      watch:\n        - {path: ./src, action: sync, target: /app, ignore: [x/]}\n"
        "        - {path: package.json, action: rebuild}\n        - {path: c, action: sync+restart, target: /c}\n"
    ),
    "gpus": one(
        "services:\n  a: {image: i, gpus: all}\n  b: {image: i, gpus: [{driver: n, count: 2, capabilities: [gpu]}]}\n"
    ),
    "unicode": one(
        "services:\n  a: {image: i, labels: {ü: 'grüße <&> 日本', nl: \"a\\nb\\n\", t: ' x '}, command: [\"$$a\", 'b\"c']}\n"
    ),
    "old": one("version: '3.8'\nservices: {a: {image: i}}\nvolumes: {v: {external: {name: real}}}\n"),
    "label-file": one("services: {a: {image: i, labels: {A: 1}, label_file: l}}\n", l="A=2\nB=3\n"),
    "everything-empty": one(
        "services:\n  a: {image: i, environment: {}, ports: [], volumes: [], networks: {}, labels: [], dns: []}\n"
    ),
    "crowd": one("services:\n" + "".join(f"  s{n}: {{image: 'i:{n}', ports: ['{9000 + n}:80']}}\n" for n in range(60))),
}
