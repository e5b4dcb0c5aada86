"""The verbs other than run and exec, with the native engine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import Client, cove_of
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

IMAGE = "busybox:latest"
NAME = "cvt-verbs"


@pytest.fixture
def cove(engine: NativeEngine) -> Iterator[Client]:
    client = cove_of(engine.host)
    yield client
    engine.docker("rm", "-f", NAME, check=False)


@pytest.fixture
def running(cove: Client) -> str:
    return cove("run", "-d", "--name", NAME, "-m", "64m", IMAGE, "sleep", "600").stdout.strip()


def _names(tar: io.BytesIO) -> list[str]:
    with tarfile.open(fileobj=tar) as opened:
        return opened.getnames()


def test_files_go_in_and_come_out_by_docker_s_rules(cove: Client, running: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_text("data")
    (tree / "link").symlink_to("sub/file")
    cove("cp", str(tree), f"{NAME}:/tmp")  # into a folder that exists
    cove("cp", str(tree), f"{NAME}:/tmp/other")  # under a new name
    cove("cp", f"{tree}/.", f"{NAME}:/var")  # its contents
    shown = cove("exec", NAME, "cat", "/tmp/tree/sub/file", "/tmp/other/link", "/var/sub/file").stdout
    assert shown == "datadatadata"
    cove("cp", f"{NAME}:/tmp/tree", str(tmp_path / "back"))
    assert (tmp_path / "back" / "sub" / "file").read_text() == "data"
    assert os.readlink(tmp_path / "back" / "link") == "sub/file"
    cove("cp", f"{NAME}:/tmp/tree/sub/file", str(tmp_path / "back"))  # into the folder, by its own name
    assert (tmp_path / "back" / "file").read_text() == "data"
    tar = subprocess.run(
        [cove.program, "cp", f"{NAME}:/tmp/tree", "-"],
        env={**os.environ, **cove.environment},
        capture_output=True,
        timeout=HANG_S,
        check=True,
    ).stdout
    assert "tree/sub/file" in _names(io.BytesIO(tar))
    for args, words in (
        (("cp", f"{NAME}:/nosuch", str(tmp_path)), "Could not find the file /nosuch"),
        (("cp", str(tmp_path / "nosuch"), f"{NAME}:/tmp"), "no such file or directory"),
        (("cp", "a", "b"), "at least one container"),
        (("cp", "nosuch:/a", str(tmp_path)), "No such container: nosuch"),
        (("cp", str(tree), f"{NAME}:/etc/passwd"), "cannot overwrite non-directory"),
    ):
        done = cove(*args, check=False)
        assert done.returncode == 1
        assert words in done.stderr


def test_a_copy_out_never_writes_outside_its_target(cove: Client, running: str, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "evil").symlink_to(outside)  # as an earlier copy from the container may have left it
    cove("exec", NAME, "sh", "-c", "mkdir -p /tmp/x/evil; echo owned >/tmp/x/evil/file")
    done = cove("cp", f"{NAME}:/tmp/x/.", str(inside), check=False)
    assert list(outside.iterdir()) == [], done.stderr
    assert done.returncode == 1


def test_changes_commit_export_and_limits(cove: Client, running: str, tmp_path: Path) -> None:
    cove("exec", NAME, "touch", "/newfile")
    assert "A /newfile" in cove("diff", NAME).stdout.splitlines()
    cove("exec", NAME, "sh", "-c", r"touch /odd-$(printf '\377')")  # no UTF-8
    assert "A /odd-\udcff" in cove("diff", NAME, errors="surrogateescape").stdout.splitlines()
    cove("exec", NAME, "sh", "-c", "rm /odd-*")
    made = cove("commit", "-c", 'CMD ["echo","committed"]', NAME, "cvt/verbs:1").stdout
    assert made.startswith("sha256:")
    assert cove("run", "--rm", "cvt/verbs:1").stdout == "committed\n"
    cove("save", "-o", str(tmp_path / "image.tar"), "cvt/verbs:1")
    assert "Untagged: cvt/verbs:1" in cove("rmi", "cvt/verbs:1").stdout
    assert cove("load", "-i", str(tmp_path / "image.tar")).stdout == "Loaded image: cvt/verbs:1\n"
    cove("rmi", "cvt/verbs:1")
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []
    cove("update", "-m", "96m", "--memory-swap", "96m", NAME)
    assert cove("inspect", "-f", "{{.HostConfig.Memory}}", NAME).stdout == f"{96 << 20}\n"
    cove("kill", NAME)
    cove("export", "-o", str(tmp_path / "root.tar"), NAME)
    names = _names(io.BytesIO((tmp_path / "root.tar").read_bytes()))
    assert "newfile" in {name.removeprefix("./") for name in names}


def test_lists_by_template_and_by_filter(cove: Client, running: str) -> None:
    assert (
        cove("ps", "--filter", f"name={NAME}", "--format", "{{.ID}} {{.State}}").stdout == f"{running[:12]} running\n"
    )
    assert cove("ps", "-q", "--no-trunc", "--filter", f"name={NAME}").stdout == f"{running}\n"
    line = json.loads(cove("ps", "--filter", f"name={NAME}", "--format", "json").stdout)
    assert (line["Names"], line["Image"]) == (NAME, IMAGE)
    assert IMAGE in cove("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.splitlines()
    assert cove("image", "inspect", "-f", "{{len .RootFS.Layers}}", IMAGE).stdout == "1\n"
    shown = cove("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", NAME).stdout
    assert shown.startswith(NAME)
    assert shown.rstrip().endswith("/ 64MiB 1")
    assert "sleep 600" in cove("top", NAME).stdout
    events = cove(
        "events", "--since", "1h", "--until", "0s", "--filter", f"container={NAME}", "--format", "{{.Action}}"
    )
    assert {"create", "start"} <= set(events.stdout.split())


def test_networks_and_volumes(cove: Client) -> None:
    try:
        cove("network", "create", "--subnet", "10.199.7.0/24", "cvt-verbs-n")
        assert "cvt-verbs-n" in cove("network", "ls").stdout
        subnet = "{{(index .IPAM.Config 0).Subnet}}"
        assert cove("network", "inspect", "-f", subnet, "cvt-verbs-n").stdout == "10.199.7.0/24\n"
        shown = cove(
            "run", "--rm", "--network", "cvt-verbs-n", "--ip", "10.199.7.9", "-v", "cvt-verbs-v:/d", IMAGE, "ip", "addr"
        )
        assert "10.199.7.9/24" in shown.stdout
        assert "cvt-verbs-v" in cove("volume", "ls", "-q").stdout.split()
    finally:
        cove("network", "rm", "cvt-verbs-n")
        cove("volume", "rm", "cvt-verbs-v")
    assert "cvt-verbs-n" not in cove("network", "ls").stdout
    refused = cove("network", "rm", "cvt-verbs-n", check=False)
    assert (refused.returncode, "not found" in refused.stderr.lower()) == (1, True)


def test_prune_asks_first(cove: Client) -> None:
    cove("create", "--name", NAME, "-l", "cvt-prune", IMAGE, "true")
    refused = cove("container", "prune", "--filter", "label=cvt-prune", input="n\n", check=False)
    assert refused.returncode == 1
    assert NAME in cove("ps", "-a").stdout
    done = cove("container", "prune", "--filter", "label=cvt-prune", input="y\n")
    assert "Total reclaimed space:" in done.stdout
    assert NAME not in cove("ps", "-a").stdout
