"""A registry in a container with a published port, and a build that is pushed: natively and in the VM the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.sockets import free_port

Docker = Callable[..., subprocess.CompletedProcess[str]]  # docker's client with buildx, against the engine
IMAGE = "cvt/registry"
_LIBRARY = re.compile(r"(/\S+) \(0x")


@contextmanager
def registry_in_a_container(docker: Docker, folder: Path, base: str) -> Iterator[str]:
    """Build an image of this machine's docker-registry and run it; yields its `localhost:PORT`. `folder`: a new one."""
    program = shutil.which("docker-registry")
    assert program is not None, "Debian's docker-registry is not installed"
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    folder.mkdir()
    lines = [f"FROM {base}"]
    for source in (program, *_LIBRARY.findall(linked)):
        name = Path(source).name
        shutil.copy(source, folder / name)
        lines.append(f"COPY {name} {source}")
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": "/r"}}, "http": {"addr": ":5000"}}
    (folder / "config.yml").write_text(json.dumps(config))
    lines += ["COPY config.yml /", f'CMD ["{program}", "serve", "/config.yml"]']
    (folder / "Dockerfile").write_text("\n".join(lines))
    docker("build", "-q", "-t", IMAGE, folder)
    port = free_port()
    container = docker("run", "-d", "-p", f"{port}:5000", IMAGE).stdout.strip()
    try:
        yield f"localhost:{port}"
    finally:
        docker("rm", "-f", container)
        docker("rmi", IMAGE)


def a_build_is_pushed(docker: Docker, folder: Path, base: str, address: str) -> None:
    """`buildx build --push` with its cache, to a registry that the engine knows by `address`; both come back.

    `folder`: a new one.
    """
    name, cache = f"{address}/cvt/pushed:1", f"type=registry,ref={address}/cvt/cache"
    folder.mkdir()
    (folder / "f").write_text("pushed\n")
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY f /f\nRUN cat /f >/g\n")
    metadata = folder / "metadata.json"
    build = ("buildx", "build", "--progress=plain", "-t", name)
    done = docker(*build, "--push", "--cache-to", cache, "--metadata-file", metadata, folder)
    assert f"pushing {name}" in done.stderr, done.stderr
    digest = json.loads(metadata.read_text())["containerimage.digest"]
    docker("rmi", name)
    assert f"Digest: {digest}\n" in docker("pull", name).stdout
    assert docker("run", "--rm", name, "cat", "/g").stdout == "pushed\n"
    assert f"digest: {digest} " in docker("push", name).stdout
    docker("rmi", name)
    docker("builder", "prune", "-af")
    again = docker(*build, "--cache-from", cache, folder)
    assert again.stderr.count("CACHED") == 3, again.stderr
    docker("rmi", name)
