"""Builds in the VM, by both of docker's wires, through the host's socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gitserver import git, git_server
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


def test_a_repository_is_fetched_by_the_guest_with_its_submodules(
    vm: Vm, busybox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The classic client would clone here and send a context.
    monkeypatch.setitem(vm.environ, "DOCKER_BUILDKIT", "1")
    monkeypatch.setitem(vm.environ, "DOCKER_CONFIG", str(docker_config()))
    for name in ("module", "one"):
        git(tmp_path, "init", "-q", "--bare", "-b", "main", f"{name}.git")
        git(tmp_path, "init", "-q", "-b", "main", name)
    with git_server(tmp_path) as (address, _seen):
        there = f"http://{address.replace('127.0.0.1', 'host.docker.internal')}/smart"
        (tmp_path / "module" / "m").write_text("of the module\n")
        (tmp_path / "one" / "Dockerfile").write_text(f"FROM {busybox}\nCOPY f mod/m /\n")
        (tmp_path / "one" / "f").write_text("of the repository\n")
        (tmp_path / "one" / ".gitmodules").write_text('[submodule "mod"]\n\tpath = mod\n\turl = ../module.git\n')
        git(tmp_path / "module", "add", ".")
        git(tmp_path / "module", "commit", "-qm", "first")
        commit = git(tmp_path / "module", "rev-parse", "HEAD")
        git(tmp_path / "one", "update-index", "--add", "--cacheinfo", f"160000,{commit},mod")
        git(tmp_path / "one", "add", "Dockerfile", "f", ".gitmodules")
        git(tmp_path / "one", "commit", "-qm", "first")
        for name in ("module", "one"):
            git(tmp_path / name, "push", "-q", tmp_path / f"{name}.git", "main")
        vm.docker("build", "-q", "-t", "from-git", f"{there}/one.git#main")
    said = vm.docker("run", "--rm", "from-git", "cat", "/f", "/m").stdout
    vm.docker("rmi", "from-git")
    assert said == "of the repository\nof the module\n"
