"""`cove compose kube`: whole projects as manifests, each object checked against Kubernetes' own schemas."""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from desktop.compose.errors import ComposeError
from desktop.compose.kube import convert
from desktop.compose.kube.context import KubeOptions, object_name
from desktop.compose.kube.convert import Manifests, manifests
from desktop.compose.model.service import Service
from desktop.compose.project import load
from tests.compose.examples import EXAMPLES, Example, one, options, write
from tests.support.limits import HANG_S

VERSION = "1.37"


def converted(folder: Path, example: Example, **choices: str) -> Manifests:
    """The objects after a look at their shape, and the notes."""
    write(folder, example)
    found = manifests(load(options(folder, example)).select(()), KubeOptions(**choices))
    seen = set()
    for item in found.objects:
        kubernetes_validate.validate(item, VERSION, strict=True)
        key = (item["kind"], item["metadata"]["name"])
        assert key not in seen
        seen.add(key)
    return found


def of(found: Manifests, kind: str, name: str) -> dict[str, Any]:
    [item] = [one for one in found.objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return item


def kinds(found: Manifests) -> set[tuple[str, str]]:
    return {(item["kind"], item["metadata"]["name"]) for item in found.objects}


def names_in_use(found: Manifests) -> dict[str, str]:
    """The name of each Service, and the service whose pods it leads to."""
    names = [name for kind, name in kinds(found) if kind == "Service"]
    return {name: of(found, "Service", name)["spec"]["selector"]["app.kubernetes.io/name"] for name in names}


def spec_of(found: Manifests, name: str, kind: str = "Deployment") -> dict[str, Any]:
    spec: dict[str, Any] = of(found, kind, name)["spec"]["template"]["spec"]
    return spec


def container_of(found: Manifests, name: str, kind: str = "Deployment") -> dict[str, Any]:
    [made] = spec_of(found, name, kind)["containers"]
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_gives_valid_objects(name: str, tmp_path: Path) -> None:
    write(tmp_path, EXAMPLES[name])
    project = load(options(tmp_path, EXAMPLES[name])).select(())
    for item in (*project.secrets.values(), *project.configs.values()):
        if item.file:
            Path(item.file).parent.mkdir(parents=True, exist_ok=True)
            Path(item.file).touch()
    found = converted(tmp_path, EXAMPLES[name], namespace="n", storage_class="fast", domain="example.org")
    assert all(item["metadata"]["namespace"] == "n" for item in found.objects)
    names = {item["metadata"]["name"] for item in found.objects if "template" in item.get("spec", {})}
    owners = {key for key, item in project.services.items() if not item.network_mode.startswith("service:")}
    assert names == {object_name(key) for key in owners}


def test_each_field_of_a_service_is_converted_or_named() -> None:
    known = [convert.SETTLED, convert.CONVERTED, frozenset(convert.LEFT_OUT)]
    fields = {field.name for field in dataclasses.fields(Service)} - {"extensions"}
    assert frozenset().union(*known) == fields
    assert sum(map(len, known)) == len(fields), "one is in two groups"


@pytest.mark.parametrize(
    ("service", "note"),
    [
        ("init: true", "service web, init: let the image start an init of its own; left out"),
        ("ulimits: {nofile: 10}", "service web, ulimits: they are settings of the cluster's nodes; left out"),
        (
            "volumes: [/data]",
            "service web, volumes: /data: it is empty at first: what the image has there is not copied",
        ),
        ("volumes: ['./d:/d']", "which no node of a cluster has: it is left out"),
        ("user: nobody", "service web, user: 'nobody' is a name; Kubernetes takes numbers: the image's user counts"),
        ("restart: 'no'", "service web, restart: 'no' has no equivalent: the pod is started again whenever it ends"),
        ("pid: 'service:db'", "possible only together with network_mode: service:db; left out"),
        ("ports: ['127.0.0.1:80:80']", "127.0.0.1:80 is not published: in a cluster, use kubectl port-forward"),
        ("extra_hosts: ['h:host-gateway']", "h: a pod has no host that it is to reach; left out"),
        (
            "labels: {'no/good/key': x}",
            "service web, labels.no/good/key: Kubernetes allows no such key; it is left out",
        ),
        ("security_opt: ['label=disable']", "service web, security_opt: 'label=disable' has no equivalent"),
        ("network_mode: none", "'none' has no equivalent; the pod has its own network"),
        ("entrypoint: []", "service web, entrypoint: an empty one has no equivalent: the image's counts"),
        ("networks: {default: {ipv4_address: 10.0.0.2}}", "the cluster gives addresses; they are left out"),
        ("deploy: {placement: {constraints: [node.role == manager]}}", "'node.role == manager' has no equivalent"),
        ("deploy: {placement: {constraints: [node.labels.a b == c]}}", "'node.labels.a b == c' has no equivalent"),
        ("depends_on: [db]", "the service must try again until db can be reached"),
        (
            "healthcheck: {test: ready, start_interval: 1s}",
            "service web, healthcheck.start_interval: it is asked at the `interval` from the start on",
        ),
        ("tmpfs: ['/t:rw,size=1m,mode=700']", "/t: memory that is mounted has no options but its size; mode=700: left"),
        (
            "volumes: [{type: tmpfs, target: /t, tmpfs: {mode: 0700}}]",
            "has no options but its size; mode=700: left out",
        ),
        ("tmpfs: ['/t:size=50%']", "service web, tmpfs: '50%' is no size; one is written like 512, 64m or 1.5gb; left"),
    ],
)
def test_what_has_no_equivalent_is_named(service: str, note: str, tmp_path: Path) -> None:
    found = converted(tmp_path, one(f"services:\n  web:\n    image: i\n    {service}\n  db: {{image: i}}\n"))
    assert any(note in str(told) for told in found.notes), found.notes


def test_a_common_project_loses_nothing(tmp_path: Path) -> None:
    text = """
        name: shop
        services:
          web:
            image: nginx
            command: [serve, "$$(HOME)"]
            environment: {LITERAL: "$$(X)", "YES": "yes", UNSET: }
            ports: ["8080:80", "53:53/udp"]
            expose: ["9000-9001"]
            stop_grace_period: 3s
            healthcheck: {test: ready, interval: 5s, timeout: 1500ms, retries: 4, start_period: 20s}
            deploy:
              replicas: 2
              update_config: {order: start-first}
              resources: {limits: {cpus: "0.5", memory: 64m}, reservations: {memory: 32m}}
            secrets: [{source: token, target: token.txt, mode: 0400}]
            configs: [{source: conf, target: /etc/web.conf}]
            tmpfs: ["/run:size=1m"]
            shm_size: 8m
            cap_add: [CAP_NET_ADMIN]
        secrets: {token: {environment: TOKEN}}
        configs: {conf: {file: ./web.conf}}
    """
    example = Example({"compose.yaml": text, "web.conf": "line\n"}, environ={"TOKEN": "s3cret"})
    found = converted(tmp_path, example)
    assert found.notes == []
    assert kinds(found) == {
        ("Deployment", "web"), ("Service", "web"), ("Service", "web-published"), ("Secret", "token"),
        ("ConfigMap", "conf"),
    }  # fmt: skip
    assert base64.b64decode(of(found, "Secret", "token")["data"]["token"]) == b"s3cret"
    assert of(found, "ConfigMap", "conf")["data"] == {"conf": "line\n"}
    made = container_of(found, "web")
    assert made["args"] == ["serve", "$$(HOME)"], "Kubernetes makes $(HOME) of it, and puts no variable there"
    assert made["env"] == [{"name": "LITERAL", "value": "$$(X)"}, {"name": "YES", "value": "yes"}]
    assert [port["containerPort"] for port in made["ports"]] == [9000, 9001, 80, 53]
    assert made["resources"] == {"limits": {"cpu": "500m", "memory": "67108864"}, "requests": {"memory": "33554432"}}
    assert made["securityContext"]["capabilities"] == {"add": ["NET_ADMIN"]}
    probe = {"exec": {"command": ["/bin/sh", "-c", "ready"]}, "periodSeconds": 5, "timeoutSeconds": 2}
    assert made["readinessProbe"] == {**probe, "failureThreshold": 4}
    assert not {"startupProbe", "livenessProbe"} & made.keys(), "those would end what is not healthy"
    assert {mount["mountPath"] for mount in made["volumeMounts"]} == {
        "/run", "/dev/shm", "/etc/web.conf", "/run/secrets/token.txt",
    }  # fmt: skip
    assert spec_of(found, "web")["terminationGracePeriodSeconds"] == 3
    spec = of(found, "Deployment", "web")["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]) == (2, {"maxSurge": 1, "maxUnavailable": 0})
    published = of(found, "Service", "web-published")["spec"]
    assert [(port["port"], port["targetPort"], port["protocol"]) for port in published["ports"]] == [
        (8080, 80, "TCP"), (53, 53, "UDP"),
    ]  # fmt: skip


def test_a_volume_of_its_own_makes_a_stateful_set(tmp_path: Path) -> None:
    text = (
        "services:\n"
        "  db: {image: i, user: '70', volumes: ['data:/data', 'shared:/s:ro']}\n"
        "  web: {image: i, volumes: ['shared:/s', 'files:/f'], scale: 2}\n"
        "volumes:\n  data: {driver_opts: {size: 5g}}\n  shared:\n"
        "  files: {driver_opts: {type: nfs, o: 'addr=10.0.0.1,ro', device: ':/export'}}\n"
    )
    found = converted(tmp_path, one(text))
    claims = {
        name: of(found, "PersistentVolumeClaim", name)["spec"] for kind, name in kinds(found) if kind.endswith("Claim")
    }
    assert {name: claim["accessModes"] for name, claim in claims.items()} == {
        "data": ["ReadWriteOnce"], "shared": ["ReadWriteMany"],
    }  # fmt: skip
    assert claims["data"]["resources"]["requests"]["storage"] == "5Gi"
    empty = "it is empty at first: what the image has there is not copied into it"
    assert [str(note) for note in found.notes] == [
        f"volumes.data: {empty}",
        f"volumes.shared: {empty}",
        "volumes.shared: several pods use it: the cluster must have storage for that",
    ]
    stateful = of(found, "StatefulSet", "db")["spec"]
    assert (stateful["serviceName"], stateful["replicas"]) == ("db", 1)
    assert spec_of(found, "db", "StatefulSet")["securityContext"]["fsGroup"] == 70
    assert of(found, "Deployment", "web")["spec"]["strategy"] == {"type": "Recreate"}
    assert {"name": "files", "nfs": {"server": "10.0.0.1", "path": "/export", "readOnly": True}} in spec_of(
        found, "web"
    )["volumes"]


@pytest.mark.parametrize(("length", "kind"), [(52, "StatefulSet"), (53, "Deployment")])
def test_a_stateful_set_is_named_so_that_its_pods_can_be_made(length: int, kind: str, tmp_path: Path) -> None:
    name = "n" * length
    text = f"services: {{{name}: {{image: i, volumes: ['data:/v:nocopy']}}}}\nvolumes: {{data: }}\n"
    found = converted(tmp_path, one(text))
    assert (kind, name) in kinds(found)
    if kind == "Deployment":
        assert of(found, kind, name)["spec"]["strategy"] == {"type": "Recreate"}


def test_names_lead_to_the_same_pods_as_with_compose(tmp_path: Path) -> None:
    text = (
        "services:\n  db: {image: i, expose: [5432], networks: {default: {aliases: [database, Not_A_Name]}}}\n"
        "  quiet: {image: i, container_name: silent}\n  web: {image: i, links: ['db:store']}\n"
    )
    found = converted(tmp_path, one(text))
    assert names_in_use(found) == {
        "db": "db", "database": "db", "store": "db", "quiet": "quiet", "silent": "quiet", "web": "web",
    }  # fmt: skip
    db, store, quiet = (of(found, "Service", name)["spec"] for name in ("db", "store", "quiet"))
    assert db["ports"] == store["ports"]
    assert quiet["clusterIP"] == "None", "without ports its name leads to the pods themselves"
    assert any("'Not_A_Name' is no name" in str(note) for note in found.notes)


def test_a_name_of_two_services_leads_to_one_of_them(tmp_path: Path) -> None:
    text = (
        "services:\n  my_db: {image: i, container_name: my-db, networks: {default: {aliases: [web, store]}}}\n"
        "  web: {image: i, networks: {default: {aliases: [store]}}}\n  2nd: {image: i}\n"
    )
    found = converted(tmp_path, one(text))
    assert names_in_use(found) == {
        "my-db": "my-db", "store": "my-db", "web": "web", "2nd": "2nd",
    }  # fmt: skip
    assert [str(note) for note in found.notes] == [
        "service my_db, name: other services find it as 'my-db'",
        "service my_db, networks: the alias 'web' is another service's name, too; left out here",
        "service web, networks: the alias 'store' is another service's name, too; left out here",
        "service 2nd, name: not every cluster takes a Service whose name begins with a digit: rename it",
    ]


def test_name_servers_come_after_the_one_that_knows_the_services(tmp_path: Path) -> None:
    text = "services:\n  web: {image: i, dns: 10.0.0.2, dns_opt: ['ndots:1', rotate]}\n"
    found = converted(tmp_path, one(text))
    spec = spec_of(found, "web")
    assert spec.get("dnsPolicy", "ClusterFirst") == "ClusterFirst"
    assert spec["dnsConfig"] == {
        "nameservers": ["10.0.0.2"],
        "options": [{"name": "ndots", "value": "1"}, {"name": "rotate"}],
    }
    sentence = "the cluster's name server is asked first, also for names outside of the project"
    assert [str(note) for note in found.notes] == [f"service web, dns: {sentence}"]


def test_services_that_share_a_network_are_one_pod(tmp_path: Path) -> None:
    text = (
        "services:\n  web: {image: i, ports: ['80:80'], scale: 2, volumes: ['data:/v']}\n"
        "  side: {image: j, network_mode: 'service:web', pid: 'service:web', expose: [9], volumes: ['more:/w', /any]}\n"
        "volumes: {data: , more: }\n"
    )
    found = converted(tmp_path, one(text))
    spec = spec_of(found, "web")
    assert [made["name"] for made in spec["containers"]] == ["web", "side"]
    assert spec["shareProcessNamespace"] is True
    assert [port["port"] for port in of(found, "Service", "web")["spec"]["ports"]] == [80, 9]
    assert not {("Deployment", "side"), ("Service", "side")} & kinds(found)
    mounted = {mount["mountPath"]: mount["name"] for made in spec["containers"] for mount in made["volumeMounts"]}
    assert sorted(mounted.values()) == sorted(volume["name"] for volume in spec["volumes"])
    modes = [of(found, "PersistentVolumeClaim", name)["spec"]["accessModes"] for name in ("data", "more")]
    assert modes == [["ReadWriteMany"], ["ReadWriteMany"]], "the pod of the two exists twice"


def test_files_and_volumes_of_one_name_stay_apart(tmp_path: Path) -> None:
    text = (
        "services:\n"
        "  web: {image: i, volumes: [/any, 'volume-0:/named', './a/x.conf:/a/x.conf:ro', './b/x.conf:/b/x.conf:ro']}\n"
        "  web-x: {image: i, volumes: ['./c/conf:/conf:ro', 'web-x-conf:/v'], configs: [web-x-conf]}\n"
        "volumes: {volume-0: , web-x-conf: }\nconfigs: {web-x-conf: {content: D}}\n"
    )
    found = converted(tmp_path, Example({"compose.yaml": text, "a/x.conf": "A", "b/x.conf": "B", "c/conf": "C"}))
    maps = {name: of(found, "ConfigMap", name)["data"] for kind, name in kinds(found) if kind == "ConfigMap"}
    seen = {}
    for service in ("web", "web-x"):
        volumes = {volume["name"]: volume for volume in spec_of(found, service, "StatefulSet")["volumes"]}
        for mount in container_of(found, service, "StatefulSet")["volumeMounts"]:
            volume = volumes[mount["name"]]
            content = maps[volume["configMap"]["name"]][mount["subPath"]] if "configMap" in volume else None
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            seen[mount["mountPath"]] = content or claim or "empty"
    assert seen == {
        "/any": "empty", "/named": "volume-0", "/a/x.conf": "A", "/b/x.conf": "B", "/conf": "C", "/v": "web-x-conf",
        "/web-x-conf": "D",
    }  # fmt: skip


def test_a_volume_that_gets_nothing_of_the_image_loses_nothing(tmp_path: Path) -> None:
    text = "services:\n  web: {image: i, volumes: ['one:/v:nocopy']}\nvolumes: {one: }\n"
    assert converted(tmp_path, one(text)).notes == []


def test_a_claim_is_for_as_many_pods_as_use_it(tmp_path: Path) -> None:
    text = (
        "services:\n  web: {image: i, volumes: ['one:/v']}\n  side: {image: j, network_mode: 'service:web', "
        "volumes: ['one:/v']}\n  node: {image: i, deploy: {mode: global}, volumes: ['many:/v']}\n"
        "volumes: {one: , many: }\n"
    )
    found = converted(tmp_path, one(text))
    modes = {name: of(found, "PersistentVolumeClaim", name)["spec"]["accessModes"] for name in ("one", "many")}
    assert modes == {"one": ["ReadWriteOnce"], "many": ["ReadWriteMany"]}


@pytest.mark.parametrize(
    ("parallelism", "unavailable"), [("", 1), ("parallelism: 2", 2), ("parallelism: 9", 3), ("parallelism: 0", 3)]
)
def test_updates_and_ends_take_the_time_that_was_given(parallelism: str, unavailable: int, tmp_path: Path) -> None:
    update = f"{{replicas: 3, update_config: {{{parallelism}}}}}"
    found = converted(tmp_path, one(f"services: {{a: {{image: i, stop_grace_period: 500ms, deploy: {update}}}}}\n"))
    assert spec_of(found, "a")["terminationGracePeriodSeconds"] == 1, "0 would kill it at once"
    rolling = of(found, "Deployment", "a")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 0, "maxUnavailable": unavailable}


def test_what_is_waited_for_to_its_end_is_a_job(tmp_path: Path) -> None:
    text = (
        "services:\n  migrate: {image: i, restart: 'on-failure:3'}\n"
        "  seed: {image: i, deploy: {mode: replicated-job, replicas: 2}}\n"
        "  web: {image: i, depends_on: {migrate: {condition: service_completed_successfully}}}\n"
        "  node: {image: i, deploy: {mode: global}}\n"
    )
    found = converted(tmp_path, one(text))
    assert {(kind, name) for kind, name in kinds(found) if kind != "Service"} == {
        ("Job", "migrate"), ("Job", "seed"), ("Deployment", "web"), ("DaemonSet", "node"),
    }  # fmt: skip
    assert of(found, "Job", "migrate")["spec"]["backoffLimit"] == 3
    assert spec_of(found, "migrate", "Job")["restartPolicy"] == "OnFailure"
    assert of(found, "Job", "seed")["spec"]["completions"] == 2


def test_a_job_s_ports_lead_nowhere(tmp_path: Path) -> None:
    text = (
        "services:\n  job: {image: i, deploy: {mode: replicated-job}, "
        "ports: [{target: 80, published: '80', app_protocol: http}, '81:81']}\n"
    )
    found = converted(tmp_path, one(text))
    assert kinds(found) == {("Job", "job")}
    assert [str(note) for note in found.notes] == [
        "service job, ports: they are not published: it is a Job, which runs to its end"
    ]


def test_what_kubectl_can_t_apply_in_its_usual_way_is_named(tmp_path: Path) -> None:
    text = (
        "services:\n  web: {image: i, volumes: ['./bound:/bound:ro'], configs: [c, small], secrets: [s]}\n"
        "configs: {c: {file: ./c}, small: {file: ./small}}\nsecrets: {s: {file: ./s}}\n"
    )
    files = {"c": "x" * (256 << 10), "small": "x" * (255 << 10), "s": "x" * (200 << 10), "bound": "\n" * (130 << 10)}
    found = converted(tmp_path, Example({"compose.yaml": text, **files}))
    told = "it has over 256 KiB, which needs kubectl apply --server-side"
    assert sorted(map(str, found.notes)) == [
        f"ConfigMap c: {told}", f"ConfigMap web-bound: {told}", f"secrets.s: {told}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("restart", "policy", "limit"),
    [
        ("restart: 'on-failure:3'", "OnFailure", 3),
        ("restart: on-failure", "OnFailure", None),
        ("restart: 'on-failure:0'", "OnFailure", None),
        ("deploy: {restart_policy: {condition: on-failure, max_attempts: 4}}", "OnFailure", 4),
        ("restart: 'on-failure:3', deploy: {restart_policy: {condition: none}}", "Never", 0),
        ("restart: always", "Never", 0),
    ],
)
def test_a_job_is_tried_as_often_as_its_container(restart: str, policy: str, limit: int | None, tmp_path: Path) -> None:
    waits = "b: {image: i, depends_on: {a: {condition: service_completed_successfully}}}"
    found = converted(tmp_path, one(f"services: {{a: {{image: i, {restart}}}, {waits}}}\n"))
    assert spec_of(found, "a", "Job")["restartPolicy"] == policy
    assert of(found, "Job", "a")["spec"].get("backoffLimit") == limit, "without one, the cluster's own counts"


def test_networks_are_kept_apart_by_policies(tmp_path: Path) -> None:
    text = (
        "services:\n  web: {image: i, networks: [front, back], ports: ['80:80', '127.0.0.1:9:9']}\n"
        "  db: {image: i, networks: [back]}\nnetworks: {front: , back: {internal: true}}\n"
    )
    found = converted(tmp_path, one(text))
    policies = {
        name: of(found, "NetworkPolicy", name)["spec"] for kind, name in kinds(found) if kind == "NetworkPolicy"
    }
    assert policies.keys() == {"network-front", "network-back", "published-web", "internal-db"}
    assert policies["published-web"]["ingress"] == [{"ports": [{"port": 80, "protocol": "TCP"}]}]
    assert policies["internal-db"]["policyTypes"] == ["Egress"]
    labels = of(found, "Deployment", "db")["spec"]["template"]["metadata"]["labels"]
    wanted = policies["network-back"]["podSelector"]["matchLabels"]
    assert wanted.items() <= labels.items()
    alone = converted(tmp_path, one("services: {a: {image: i}, b: {image: i}}\n"))
    assert not [kind for kind, _ in kinds(alone) if kind == "NetworkPolicy"], "all are on one network"


@pytest.mark.parametrize(
    ("choices", "hosts"),
    [({}, ["api.p.localhost", "web.p.localhost"]), ({"domain": "example.org"}, ["api.example.org", "web.example.org"])],
)
def test_ports_of_http_have_an_ingress(choices: Mapping[str, str], hosts: list[str], tmp_path: Path) -> None:
    text = "name: p\nservices:\n" + "".join(
        f"  {name}: {{image: i, ports: [{{target: 80, published: '8080', app_protocol: http}}]}}\n"
        for name in ("web", "api")
    )
    found = converted(tmp_path, one(text), **dict(choices))
    rules = [of(found, "Ingress", name)["spec"]["rules"] for name in ("api", "web")]
    assert [rule["host"] for [rule] in rules] == hosts
    assert not [name for kind, name in kinds(found) if kind == "Service" and name.endswith("-published")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("services: {a_b: {image: i}, a-b: {image: i}}\n", "would both be"),
        ("services: {a_b: {image: i}, a-b: {image: i, network_mode: 'service:a_b'}}\n", "would both be the container"),
        ("services: {'_': {image: i}}\n", "has neither a letter nor a digit"),
        (
            "services: {a: {image: i, secrets: [s]}}\nsecrets: {s: {file: ./none}}\n",
            "none cannot be read: No such file",
        ),
        (
            "services: {a: {image: i, secrets: [s]}}\nsecrets: {s: {environment: NONE}}\n",
            "'NONE' required by secret 's'",
        ),
        ("services: {a: {image: i, configs: [c]}}\nconfigs: {c: {file: ./big}}\n", "Kubernetes takes at most 1048576"),
    ],
)
def test_what_can_become_no_object_is_an_error(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(ComposeError, match=fault):
        converted(tmp_path, one(text))


@pytest.mark.parametrize(
    ("choices", "fault"),
    [
        ({"namespace": "Shop"}, "'Shop' is no namespace"),
        ({"domain": "a..b"}, "'a..b' is no domain"),
        ({"storage_class": "a_b"}, "'a_b' is no storage class"),
        ({"storage": "500m"}, "'500m' is no size of storage"),
        ({"storage": ""}, "'' is no size of storage"),
    ],
)
def test_a_choice_that_no_cluster_takes_is_an_error(choices: Mapping[str, str], fault: str) -> None:
    with pytest.raises(ComposeError, match=fault):
        KubeOptions(**dict(choices))


@pytest.mark.parametrize(("size", "quantity"), [("1.5gb", "1536Mi"), ("512", "512"), ("64 MiB", "64Mi"), ("2t", "2Ti")])
def test_sizes_are_those_of_compose(size: str, quantity: str, tmp_path: Path) -> None:
    volume = f"data: {{driver_opts: {{size: '{size}'}}}}"
    text = f"services: {{a: {{image: i, volumes: ['data:/v:nocopy']}}}}\nvolumes: {{{volume}}}\n"
    found = converted(tmp_path, one(text))
    assert of(found, "PersistentVolumeClaim", "data")["spec"]["resources"]["requests"] == {"storage": quantity}
    assert found.notes == []


def kube(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """`cove compose kube`, which needs no engine."""
    command = [str(Path(sys.executable).with_name("cove")), "compose", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANG_S, check=False)


def test_the_command_writes_what_kubectl_reads(tmp_path: Path) -> None:
    example = one(
        "name: p\nservices: {web: {image: i, init: true, environment: {A: 'no', B: '010', C: \"a\\nb \\n\"}}}\n"
    )
    write(tmp_path, example)
    told = kube(tmp_path, "kube")
    assert told.returncode == 0
    assert told.stderr == "NOTE: service web, init: let the image start an init of its own; left out\n"
    objects = list(yaml.safe_load_all(told.stdout))  # PyYAML reads YAML 1.1, in which a bare `no` is false
    expected = [{"name": "A", "value": "no"}, {"name": "B", "value": "010"}, {"name": "C", "value": "a\nb \n"}]
    assert objects[-1]["spec"]["template"]["spec"]["containers"][0]["env"] == expected
    listed = json.loads(kube(tmp_path, "kube", "--format", "json", "-q", "web").stdout)
    assert listed["items"] == objects
    assert kube(tmp_path, "kube", "-q", "-o", "out.yaml").stdout == ""
    assert (tmp_path / "out.yaml").read_text() == told.stdout
    strict = kube(tmp_path, "kube", "--strict")
    assert (strict.returncode, strict.stdout) == (1, "")
    assert "ERROR: service web, init:" in strict.stderr
    assert strict.stderr.endswith("1 part of the project without an equivalent in Kubernetes\n")
    unknown = kube(tmp_path, "kube", "nope")
    assert (unknown.returncode, unknown.stderr) == (1, "no such service: nope\n")
    assert 'unsupported format "toml"' in kube(tmp_path, "kube", "--format", "toml").stderr
