"""Fixtures that every area of the tests shares: a native engine with a busybox image, a registry, the real clients."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import erofs
from tests.support.engine import NativeEngine, native_engine
from tests.support.registry import registry as start_registry
from tests.support.tools import busybox_tar as write_busybox_tar
from vmagent.native.build import main as build_native

IMAGE = "busybox:latest"


@pytest.fixture(scope="session", autouse=True)
def native_programs() -> None:
    """The programs are built from the sources as they are: a spawner of other sources would be refused."""
    build_native()


@pytest.fixture(scope="session", autouse=True)
def home_of_nobody() -> Iterator[None]:
    """No test touches the user's own home of Cove, nor starts a host agent by the way."""
    home = Path(tempfile.mkdtemp(prefix="cvh-"))
    before = {name: os.environ.pop(name, None) for name in ("COVE_HOME", "COVE_HOST", "COVE_CONTEXT", "DOCKER_HOST")}
    os.environ["COVE_HOME"] = str(home)
    yield
    del os.environ["COVE_HOME"]
    os.environ.update({name: value for name, value in before.items() if value is not None})
    started = (home / "host.lock").exists()
    shutil.rmtree(home)
    assert not started, "a test started a host agent in the home of nobody"


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A test fails if the loop of an engine made a call that may wait for a disk (vmagent.blocking)."""
    yield
    for one in list(NativeEngine.started):
        one.blocking.check()


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system tar of the static busybox."""
    return write_busybox_tar(tmp_path_factory.mktemp("busybox") / "busybox.tar")


@pytest.fixture(scope="session")
def engine(busybox_tar: Path) -> Iterator[NativeEngine]:
    """One native engine for the session, with the image busybox:latest. Tests remove the containers they make."""
    with native_engine() as made:
        made.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        yield made


@pytest.fixture
def own_engine(busybox_tar: Path) -> Iterator[NativeEngine]:
    """An engine of the test's own, to be killed and restarted at will; it has busybox:latest too."""
    with native_engine() as made:
        made.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        yield made


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of an empty docker-registry on loopback."""
    with start_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="session")
def mkfs_erofs() -> Iterator[Path]:
    """An mkfs.erofs that can index a tar, executable by the user `nobody`."""
    with erofs.mkfs_erofs() as path:
        yield path
