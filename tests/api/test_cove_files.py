"""`GET /cove/v1/containers/ID/files`: what is in a folder of a container, whether it runs or not."""

from __future__ import annotations

from typing import Any

import pytest

from desktop.client.engine import ApiError
from tests.support.description import conforms
from tests.support.engine import NativeEngine

FILES = "/cove/v1/containers/{id}/files"
FILL = """
mkdir /d /d/sub; printf 12345 > /d/five; chmod 640 /d/five; chown 7:8 /d/five
ln -s five /d/near; ln -s /d/sub /d/way; ln -s /nowhere /d/lost; mkfifo /d/pipe; echo x > /data/inside
exec sleep 1000
"""


def entries(engine: NativeEngine, path: str, most: int | None = None) -> dict[str, dict[str, Any]]:
    with engine.client() as client:
        told = client.files("looked-at", path, most)
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
    look(own_engine)


def test_the_number_of_all_entries_is_told(own_engine: NativeEngine) -> None:
    own_engine.docker(
        "run", "--name", "looked-at", "busybox:latest", "sh", "-c", "mkdir /many; touch /many/$(seq -s ' /many/' 300)"
    )
    with own_engine.client() as client:
        told = client.files("looked-at", "/many", 10)
    assert told["total"] == 300
    assert len(told["entries"]) == 10


@pytest.mark.parametrize(
    ("path", "most", "status"), [("/none", None, 404), ("/etc/passwd/x", None, 404), ("", None, 400), ("/", 0, 400)]
)
def test_what_is_no_folder_is_refused(own_engine: NativeEngine, path: str, most: int | None, status: int) -> None:
    own_engine.docker("create", "--name", "looked-at", "busybox:latest")
    with own_engine.client() as client, pytest.raises(ApiError) as refused:
        client.files("looked-at", path, most)
    assert refused.value.status == status
    conforms({"message": str(refused.value)}, "GET", FILES, status)
