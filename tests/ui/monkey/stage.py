"""What the monkey plays with: an engine that reaches nothing, with containers of each kind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.engine import NativeEngine, running

IMAGE = "busybox:latest"
LOOP = "while :; do echo tick; sleep 0.2; done"
FLOOD = "while :; do seq 1 200; sleep 0.1; done"


class ApartEngine(NativeEngine):
    """An engine with a network namespace of its own, whose only interface is `lo`: no pull leaves this machine."""

    prefix: tuple[str | Path, ...] = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")


# Name, command, image and flags of `docker run -d`.
CONTAINERS: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("talker", ("sh", "-c", LOOP), ()),
    ("flood", ("sh", "-c", FLOOD), ()),
    ("sleeper", ("sleep", "100000"), ("-v", "data:/data", "-p", "8080:80", "-e", "TOKEN=s3cret")),
    ("limited", ("sleep", "100000"), ("--memory", "64m", "--network", "backend", "-v", "/anonymous")),
    ("console", ("sh",), ("-it",)),
    ("done", ("true",), ()),
    ("failed", ("sh", "-c", "echo no such thing >&2; exit 3"), ()),
    ("loop", ("sh", "-c", "sleep 1; exit 1"), ("--restart", "always")),
    ("a-container-with-a-name-that-is-as-long-as-people-like-them-to-be", ("sleep", "100000"), ()),
    ("sick", ("sleep", "100000"), ("--health-cmd", "false", "--health-interval", "2s")),
    ("frozen", ("sleep", "100000"), ()),
    *((f"{project}-{service}-1", ("sleep", "100000"), ("-l", f"com.docker.compose.service={service}"))
      for project, service in (("shop", "web"), ("shop", "db"), ("blog", "web"))),
]  # fmt: skip


FILES = (
    "cd /v; mkdir base logs; echo listen 8080 > server.conf; head -c 3000000 /dev/urandom > base/table; ln -s base now"
)


PROJECT = "bakery"  # a project whose images are built
COMPOSE_FILE = """\
services:
  oven: {build: oven, init: true, command: sleep 100000, ports: ["127.0.0.1::80"]}
  shelf: {build: {context: shelf}, init: true, command: sleep 100000, volumes: ["bread:/bread"]}
volumes: {bread: {}}
"""
DOCKERFILE = "FROM busybox:latest\nRUN echo flour > /flour\nRUN sleep 0.2; date > /baked\n"


def project_folder(engine: NativeEngine) -> Path:
    """The folder of the project that `supply` brings up."""
    return engine.root / PROJECT


def supply(engine: NativeEngine, busybox_tar: Path) -> None:
    """Make what is missing of 14 containers, three images, their volumes and networks, and a project with builds."""

    def docker(*words: str) -> None:
        engine.docker(*words, check=False)  # what is there is refused; what the monkey does meanwhile is its own affair

    if not engine.docker("images", "-q", IMAGE).stdout:
        docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        docker("tag", IMAGE, "registry.example/team/a-tool-with-a-long-name:1.2.3")
        docker("tag", IMAGE, "shop/web:2")
    for volume in ("spare-data", "other-data"):
        docker("volume", "create", volume)
    docker("run", "--rm", "-v", "spare-data:/v", IMAGE, "sh", "-c", FILES)
    for network in ("backend", "unused"):
        docker("network", "create", network)
    for name, command, flags in CONTAINERS:
        project = name.split("-")[0] if name.endswith("-1") else ""
        label = f"com.docker.compose.project={project}"
        if project:
            docker("network", "create", "--label", label, f"{project}_default")
        more = ("--label", label, "--network", f"{project}_default") if project else ()
        docker("run", "-d", "--name", name, *flags, *more, IMAGE, *command)
    docker("pause", "frozen")
    docker("create", "--name", "fresh", IMAGE)
    _bring_up(project_folder(engine), engine)


def _bring_up(folder: Path, engine: NativeEngine) -> None:
    for service in ("oven", "shelf"):
        (folder / service).mkdir(parents=True, exist_ok=True)
        (folder / service / "Dockerfile").write_text(DOCKERFILE)
    (folder / "compose.yaml").write_text(COMPOSE_FILE)
    engine.cove("compose", "up", "-d", cwd=folder, check=False)


@contextlib.contextmanager
def stage(busybox_tar: Path) -> Iterator[NativeEngine]:
    """An engine with all that `supply` makes."""
    with running(ApartEngine()) as engine:
        supply(engine, busybox_tar)
        with engine.client() as client:
            found = len(client.containers(all=True))
        assert found == len(CONTAINERS) + 3, f"{found} containers were made"
        yield engine
