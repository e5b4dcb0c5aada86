"""`buildx build --push` to a registry that runs in a container with a published port, as users have it."""

from __future__ import annotations

from pathlib import Path

from tests.support.engine import NativeEngine
from tests.support.pushing import a_build_is_pushed, registry_in_a_container


def test_a_build_is_pushed_to_a_registry_in_a_container(own_engine: NativeEngine, tmp_path: Path) -> None:
    with registry_in_a_container(own_engine.buildx, tmp_path / "registry", "busybox") as address:
        a_build_is_pushed(own_engine.buildx, tmp_path / "context", "busybox", address)
