"""Builds in the VM, by both of docker's wires, through the host's socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tools import docker_config
from tests.vm.conftest import Vm

pytestmark = pytest.mark.vm


@pytest.mark.parametrize("wire", ["buildx", "classic"])
def test_an_image_is_built_and_run(
    vm: Vm, busybox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wire: str
) -> None:
    monkeypatch.setitem(vm.environ, "DOCKER_BUILDKIT", "1" if wire == "buildx" else "0")
    monkeypatch.setitem(vm.environ, "DOCKER_CONFIG", str(docker_config()))
    (tmp_path / "words").write_text("from the host\n")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {busybox}\nCOPY words /words\nRUN --mount=type=cache,target=/c cat /words > /said && uname -r >> /said\n"
        'CMD ["cat", "/said"]\n'
    )
    built = vm.docker("build", "-t", f"built-{wire}", tmp_path)
    assert ("naming to docker.io/library/built-buildx" in built.stderr) == (wire == "buildx"), built.stderr
    assert ("Successfully tagged built-classic" in built.stdout) == (wire == "classic"), built.stdout
    said = vm.docker("run", "--rm", f"built-{wire}").stdout.splitlines()
    assert said[0] == "from the host"
    assert said[1:] == vm.docker("run", "--rm", busybox, "uname", "-r").stdout.splitlines()
    vm.docker("rmi", f"built-{wire}")
