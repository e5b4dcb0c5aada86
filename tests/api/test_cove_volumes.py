"""`/cove/v1/volumes/NAME/…`: a volume's files, its copies and another name for it."""

from __future__ import annotations

import pytest

from desktop.client import archives, volumes
from desktop.client.archives import Filed
from desktop.client.engine import ApiError, EngineClient
from tests.support.description import conforms
from tests.support.engine import NativeEngine

FILES = "/cove/v1/volumes/{name}/files"
FILL = (
    "mkdir /v/sub; printf 12345 > /v/five; chown 7:8 /v/five; chmod 640 /v/five; ln -s five /v/near; ln -s /etc /v/out"
)


def listed(client: EngineClient, name: str, path: str) -> dict[str, tuple[str, int, int]]:
    told = archives.listing(client, Filed.volume(name), path, 100)
    conforms(told, "GET", FILES, 200)
    return {entry["name"]: (entry["type"], entry["uid"], entry["mode"]) for entry in told["entries"]}


def test_a_volumes_files_are_listed_fetched_and_put_without_a_container(own_engine: NativeEngine) -> None:
    own_engine.docker("run", "--rm", "-v", "looked-into:/v", "busybox:latest", "sh", "-c", FILL)
    source = Filed.volume("looked-into")
    with own_engine.client() as client:
        found = listed(client, "looked-into", "/")
        assert found["five"] == ("file", 7, 0o640)
        assert {name: kind for name, (kind, _, _) in found.items()} == {
            "five": "file", "near": "link", "out": "link", "sub": "folder",
        }  # fmt: skip
        with pytest.raises(ApiError, match="Could not find the file /out in volume looked-into") as missing:
            listed(client, "looked-into", "/out")  # links stay inside, where there is no such folder
        assert missing.value.status == 404
        with archives.get(client, source, volumes.CONTENT) as tar:
            content = b"".join(tar)
        client.volume_create("looked-into-2")
        archives.put(client, Filed.volume("looked-into-2"), "/", content)
        assert listed(client, "looked-into-2", "/") == found
        volumes.clone(client, "looked-into", "looked-into-3")
        assert listed(client, "looked-into-3", "/") == found
        with pytest.raises(ApiError, match="volume looked-into-2 exists already") as taken:
            volumes.clone(client, "looked-into", "looked-into-2")
        assert taken.value.status == 409
        volumes.rename(client, "looked-into-3", "looked-into-4")
        assert listed(client, "looked-into-4", "/") == found
        for call in (lambda: listed(client, "nobody", "/"), lambda: volumes.rename(client, "nobody", "new")):
            with pytest.raises(ApiError, match="get nobody: no such volume"):
                call()
        assert client.containers(all=True) == []
