from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.images.kit import BadRegistry, Driver, bad_registry
from tests.support.registry import htpasswd
from tests.support.registry import registry as start_registry
from vmagent.images import erofs
from vmagent.images.layer import Kind


@pytest.fixture
def with_erofs(tmp_path: Path) -> None:
    """From a tmpfs, as /tmp may be, no kernel mounts an EROFS image."""
    if not erofs.usable(tmp_path, tmp_path / "trial.json"):
        pytest.skip(f"no EROFS image can be mounted from {tmp_path}: have TMPDIR on a disk")


@pytest.fixture(params=["dir", "tar"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Both ways to keep a layer."""
    if request.param == "tar":
        request.getfixturevalue("with_erofs")
    return Kind(request.param)


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Opens stores. At the end they are closed, and no mount and no process of theirs may be left."""
    opened: list[Driver] = []

    def new(root: Path = tmp_path, kind: Kind | None = Kind.DIR, **options: Any) -> Driver:
        opened.append(Driver(root, kind, **options))
        return opened[-1]

    yield new
    for driver in opened:
        driver.close()
    mounts = Path("/proc/self/mounts").read_text()
    assert str(tmp_path / "exec") not in mounts
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    workers = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "cove-images"]
    assert not workers


@pytest.fixture
def bad() -> Iterator[BadRegistry]:
    """A registry that misbehaves on request."""
    with bad_registry() as server:
        yield server


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A real registry that wants a password: ann's is secret."""
    with start_registry(tmp_path, auth=htpasswd(tmp_path / "htpasswd", ann="secret")) as address:
        yield address
