"""What the gallery shows beside the monkey's stage: the bin, builds, and containers without end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engine import NativeEngine, running
from tests.ui.monkey.stage import DOCKERFILE, IMAGE, ApartEngine, project_folder, stage

IMPORTER = "importer-of-last-weeks-orders"
LONG = "a-volume-whose-name-says-all-there-is-to-say-about-what-is-in-it-and-more"
MANY = 1000
STORED = (
    "cd /v; mkdir -p base logs a-folder-with-quite-a-long-name-for-a-folder; echo 'listen 8080' > server.conf;"
    " ln -s base now; head -c 3000000 /dev/urandom > base/table; seq 1 400 > logs/access.log"
)


def fill(engine: NativeEngine) -> None:
    """Deletions that can be undone, a volume with a long name, a build that failed."""
    engine.docker("create", "--name", IMPORTER, "-v", "/data", IMAGE)
    for name in ("orders-2026", "old-cache"):
        engine.docker("run", "--rm", "-v", f"{name}:/v", IMAGE, "sh", "-c", "head -c 900000 /dev/zero >/v/x")
        engine.cove("volume", "rm", "--restorable", name)
    engine.cove("rm", "--restorable", "-v", IMPORTER)
    engine.docker("run", "--rm", "-v", f"{LONG}:/v", IMAGE, "sh", "-c", STORED)


@contextmanager
def failing_build(engine: NativeEngine) -> Iterator[None]:
    """The project's build fails meanwhile."""
    file = project_folder(engine) / "oven" / "Dockerfile"
    file.write_text(f"{DOCKERFILE}RUN cat /there/is/no/flour/in/the/oven\n")
    try:
        yield
    finally:
        file.write_text(DOCKERFILE)


@contextmanager
def full_stage(busybox_tar: Path) -> Iterator[NativeEngine]:
    with stage(busybox_tar) as engine:
        fill(engine)
        yield engine


@contextmanager
def stage_of(count: int, busybox_tar: Path) -> Iterator[NativeEngine]:
    """An engine with so many containers, and as many volumes."""
    with running(ApartEngine()) as engine:
        if count:
            engine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        with engine.client() as client:
            for number in range(count):
                client.create({"Image": IMAGE, "Cmd": ["true"]}, name=f"worker-{number}")
                client.volume_create(f"scratch-{number}")
        yield engine
