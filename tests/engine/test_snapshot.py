"""`docker commit`: the layer is made in one helper process, and none of its bytes pass through the engine."""

from __future__ import annotations

from pathlib import Path

from tests.support.engine import NativeEngine

IMAGE = "busybox:latest"
SIZE = 32 << 20


def bytes_moved(engine: NativeEngine) -> int:
    """What the engine has read and written, through pipes and sockets too (proc_pid_io(5): rchar, wchar)."""
    io = dict(line.split(": ") for line in Path(f"/proc/{engine.pid_of('cove-engine')}/io").read_text().splitlines())
    return int(io["rchar"]) + int(io["wchar"])


def test_a_commit_does_not_pass_through_the_engine(own_engine: NativeEngine) -> None:
    docker = own_engine.docker
    script = f"head -c {SIZE} /dev/urandom > /big; ln -s /big /link; rm /bin/wc; sha256sum /big"
    digest = docker("run", "--name", "big", "--network", "none", IMAGE, "sh", "-c", script).stdout
    before = bytes_moved(own_engine)
    docker("commit", "big", "committed")
    assert bytes_moved(own_engine) - before < SIZE // 8
    look = "sha256sum /big; readlink /link; test -e /bin/wc || echo gone"
    shown = docker("run", "--rm", "--network", "none", "committed", "sh", "-c", look).stdout
    assert shown == f"{digest}/big\ngone\n"
    docker("rm", "big")
    docker("rmi", "committed")


def test_a_commit_that_fails_leaves_no_image(own_engine: NativeEngine) -> None:
    docker = own_engine.docker
    docker("run", "--name", "gone", "--network", "none", IMAGE, "touch", "/file")
    folder = own_engine.root / "data/containers" / docker("inspect", "-f", "{{.Id}}", "gone").stdout.strip()
    (folder / "upper").rename(folder / "hidden")
    failed = docker("commit", "gone", "half", check=False)
    (folder / "hidden").rename(folder / "upper")
    assert "no such file or directory" in failed.stderr
    assert "half" not in docker("images", "--format", "{{.Repository}}").stdout
    assert not list((own_engine.root / "data/ingest").iterdir())
    docker("commit", "gone", "whole")
    docker("rm", "gone")
    docker("rmi", "whole")
