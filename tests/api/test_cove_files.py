"""`GET /cove/v1/containers/ID/files`: what is in a folder of a container, whether it runs or not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from desktop.client import archives
from desktop.client.archives import Filed
from desktop.client.engine import ApiError
from tests.support.description import conforms
from tests.support.engine import NativeEngine
from vmagent.containers.listing import listing
from vmagent.containers.treewalk import Tree
from vmagent.linux import mounts

FILES = "/cove/v1/containers/{id}/files"
FILL = """
mkdir /d /d/sub; printf 12345 > /d/five; chmod 640 /d/five; chown 7:8 /d/five
ln -s five /d/near; ln -s /d/sub /d/way; ln -s /nowhere /d/lost; mkfifo /d/pipe; echo x > /data/inside
exec sleep 1000
"""


def entries(engine: NativeEngine, path: str, most: int | None = None) -> dict[str, dict[str, Any]]:
    with engine.client() as client:
        told = archives.listing(client, Filed.container("looked-at"), path, most)
    conforms(told, "GET", FILES, 200)
    return {entry["name"]: entry for entry in told["entries"]}


def look(engine: NativeEngine) -> None:
    found = entries(engine, "/d")
    kinds = {name: (entry["type"], entry["target"], entry["target_type"]) for name, entry in found.items()}
    assert kinds == {
        "five": ("file", "", ""),
        "lost": ("link", "/nowhere", ""),
        "near": ("link", "five", "file"),
        "pipe": ("pipe", "", ""),
        "sub": ("folder", "", ""),
        "way": ("link", "/d/sub", "folder"),
    }
    assert list(found) == sorted(found)
    five = found["five"]
    assert (five["size"], five["mode"], five["uid"], five["gid"]) == (5, 0o640, 7, 8)
    assert list(entries(engine, "/data")) == ["inside"]
    assert {"d", "data", "bin"} <= entries(engine, "/").keys()
    assert list(entries(engine, "/d", most=2)) == ["five", "lost"]
    assert entries(engine, "/d/way") == {}


def test_a_folder_is_shown_while_the_container_runs_and_after(own_engine: NativeEngine) -> None:
    command = ("-d", "--name", "looked-at", "-v", "looked-into:/data", "busybox:latest", "sh", "-c", FILL)
    own_engine.docker("run", *command)
    own_engine.docker("exec", "looked-at", "sh", "-c", "until test -e /data/inside; do sleep 0.05; done")
    look(own_engine)
    own_engine.docker("kill", "looked-at")
    own_engine.docker("wait", "looked-at")
    look(own_engine)


def test_the_number_of_all_entries_is_told(own_engine: NativeEngine) -> None:
    own_engine.docker(
        "run", "--name", "looked-at", "busybox:latest", "sh", "-c", "mkdir /many; touch /many/$(seq -s ' /many/' 300)"
    )
    with own_engine.client() as client:
        told = archives.listing(client, Filed.container("looked-at"), "/many", 10)
    assert told["total"] == 300
    assert len(told["entries"]) == 10


@pytest.mark.parametrize(
    ("path", "most", "status"), [("/none", None, 404), ("/etc/passwd/x", None, 404), ("", None, 400), ("/", 0, 400)]
)
def test_what_is_no_folder_is_refused(own_engine: NativeEngine, path: str, most: int | None, status: int) -> None:
    own_engine.docker("create", "--name", "looked-at", "busybox:latest")
    with own_engine.client() as client, pytest.raises(ApiError) as refused:
        archives.listing(client, Filed.container("looked-at"), path, most)
    assert refused.value.status == status
    conforms({"message": str(refused.value)}, "GET", FILES, status)


def test_names_that_are_no_utf8_and_times_out_of_range_are_shown(own_engine: NativeEngine) -> None:
    script = "mkdir /d; printf 12345 > /d/$(printf 'a\\377b'); touch -d @99999999999999 /quick/late; exec sleep 1000"
    own_engine.docker("run", "-d", "--name", "looked-at", "--tmpfs", "/quick", "busybox:latest", "sh", "-c", script)
    own_engine.docker("exec", "looked-at", "sh", "-c", "until test -e /quick/late; do sleep 0.05; done")
    (name,) = entries(own_engine, "/d")
    assert name == "a\udcffb"
    assert entries(own_engine, "/quick")["late"]["modified"] == "9999-12-31T23:59:59Z"
    with own_engine.client() as client:
        assert f"/d/{name}" in {change["Path"] for change in client.changes("looked-at")}
        with archives.get(client, Filed.container("looked-at"), f"/d/{name}") as pieces:
            assert b"12345" in b"".join(pieces)
        assert archives.listing(client, Filed.container("looked-at"), "/quick", 1)["total"] == 1


ROAM = """
mkdir /in /in/a /d; touch /in/only /in/a/only
ln -s /../../../../../.. /d/up; ln -s OUTSIDE /d/host; ln -s /proc/1/root /d/magic
while :; do mv /in/a /in/b; ln -s ../../../../../../.. /in/a; rm /in/a; mv /in/b /in/a; done
"""


def test_no_link_leads_out_of_the_container(own_engine: NativeEngine, tmp_path: Path) -> None:
    """Also while a folder is exchanged for a link that leads upwards."""
    (tmp_path / "of the host").touch()
    script = ROAM.replace("OUTSIDE", str(tmp_path))
    own_engine.docker("run", "-d", "--name", "looked-at", "busybox:latest", "sh", "-c", script)
    own_engine.docker("exec", "looked-at", "sh", "-c", "until test -L /d/magic; do sleep 0.05; done")
    root = entries(own_engine, "/").keys()
    assert entries(own_engine, "/d/up").keys() == root
    assert entries(own_engine, "/d")["host"]["target_type"] == ""
    for place in ("/d/host", "/d/magic"):
        with own_engine.client() as client, pytest.raises(ApiError) as refused:
            archives.listing(client, Filed.container("looked-at"), place)
        assert refused.value.status == 404
    for _ in range(20):
        status, seen = 200, root
        try:
            seen = entries(own_engine, "/in/a").keys()
        except ApiError as e:
            status = e.status
        assert status in (200, 404), "404: between the two"
        assert seen in ({"only"}, root)


def test_an_entry_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    """A FUSE file system without a server: stat(2) of its root says ENOTCONN."""
    dead = tmp_path / "dead"
    dead.mkdir()
    (tmp_path / "alive").touch()
    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mounts.mount("fuse", str(dead), "fuse", 0, f"fd={server},rootmode=40000,user_id=0,group_id=0")
    root_fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(server)
        told = listing(Tree(root_fd), "/", 10)
    finally:
        os.close(root_fd)
        mounts.umount(str(dead), mounts.MNT_DETACH)
    conforms(told, "GET", FILES, 200)
    assert [(entry["name"], entry["type"], entry["error"]) for entry in told["entries"]] == [
        ("alive", "file", ""),
        ("dead", "unknown", "Transport endpoint is not connected"),
    ]
