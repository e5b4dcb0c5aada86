"""`cove manifest` beside docker's own command, with the real registry. No engine is asked."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop.client.registry import Registry, RegistryError
from tests.images.kit import BadRegistry, Entry, MadeImage, bad_registry, digest, index_of, tar_of
from tests.support.limits import HANG_S
from tests.support.registry import htpasswd
from tests.support.registry import registry as start_registry
from tests.support.tools import docker_cli, docker_config

Command = Callable[..., "subprocess.CompletedProcess[str]"]
ARCHITECTURES = ("amd64", "arm64")


@pytest.fixture(scope="module")
def images() -> list[MadeImage]:
    return [MadeImage(tar_of(Entry("f", one.encode())), platform=("linux", one)) for one in ARCHITECTURES]


@pytest.fixture
def names(registry: str, images: list[MadeImage]) -> list[str]:
    for image in images:
        image.put(registry, f"lists/{image.platform[1]}", "1")
    return [f"{registry}/lists/{one}:1" for one in ARCHITECTURES]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Docker's folder, with buildx."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "cli-plugins").symlink_to(docker_config() / "cli-plugins")
    return folder


def run(config: Path, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DOCKER_CONFIG": str(config),
        "COVE_HOST": "unix:///nowhere",
        "DOCKER_HOST": "unix:///nowhere",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
    return done


@pytest.fixture
def cove(config: Path) -> Command:
    return lambda *words, check=True: run(
        config, Path(sys.executable).with_name("cove"), "manifest", *words, check=check
    )


@pytest.fixture
def docker(config: Path) -> Command:
    return lambda *words, check=True: run(config, docker_cli(), *words, check=check)


def raw(name: str) -> dict[str, Any]:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    found: dict[str, Any] = json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=HANG_S).stdout
    )
    return found


def test_a_list_is_made_and_pushed(
    cove: Command, docker: Command, registry: str, names: list[str], images: list[MadeImage]
) -> None:
    target = f"{registry}/lists/made:1"
    assert cove("create", target, *names).stdout == f"Created manifest list {target}\n"
    refused = cove("create", target, names[0], check=False)
    assert (refused.returncode, refused.stderr.strip()) == (
        1,
        "refusing to amend an existing manifest list with no --amend flag",
    )
    shown = json.loads(cove("inspect", target).stdout)
    assert shown == json.loads(docker("manifest", "inspect", target).stdout)
    cove("annotate", "--variant", "v8", target, names[1])
    *pushed, last = cove("push", "--purge", target).stdout.splitlines()
    assert pushed == [
        f"Pushed ref {registry}/lists/made@{digest(one.manifest)} with digest: {digest(one.manifest)}" for one in images
    ]
    found = raw(target)
    assert [one["platform"] for one in found["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    inspected = docker("buildx", "imagetools", "inspect", target).stdout
    assert last in inspected
    assert "linux/arm64/v8" in inspected
    assert cove("rm", target, check=False).stderr.strip() == f"No such manifest: {target}"
    assert json.loads(cove("inspect", target).stdout) == found
    members = json.loads(cove("inspect", "-v", target).stdout)
    assert [one["Descriptor"]["digest"] for one in members] == [digest(one.manifest) for one in images]


def test_what_dockers_client_has_begun_goes_on(cove: Command, docker: Command, registry: str, names: list[str]) -> None:
    target = f"{registry}/lists/both:1"
    docker("manifest", "create", "--insecure", target, names[0])
    cove("create", "--amend", target, names[1])
    assert json.loads(docker("manifest", "inspect", target).stdout) == json.loads(cove("inspect", target).stdout)
    docker("manifest", "annotate", "--os-version", "7", target, names[0])
    one = json.loads(cove("inspect", "-v", target, names[0]).stdout)
    assert one["Descriptor"]["platform"]["os.version"] == "7"
    docker("manifest", "push", "--insecure", target)
    assert [item["platform"]["architecture"] for item in raw(target)["manifests"]] == [*ARCHITECTURES]
    cove("rm", target)
    assert docker("manifest", "rm", target, check=False).returncode == 1


def test_a_full_disk_leaves_no_half_of_an_image(config: Path, cove: Command, registry: str, names: list[str]) -> None:
    target = f"{registry}/lists/full:1"
    program = Path(sys.executable).with_name("cove")
    full = run(config, "prlimit", "--fsize=100", program, "manifest", "create", target, *names, check=False)
    assert (full.returncode, full.stderr.strip()) == (1, "File too large")
    assert [path for path in (config / "manifests").rglob("*") if path.is_file()] == []
    cove("create", target, *names)


def test_bad_input_is_refused_in_dockers_words(
    cove: Command, registry: str, names: list[str], images: list[MadeImage]
) -> None:
    target = f"{registry}/lists/bad:1"
    missing = cove("create", target, f"{registry}/lists/amd64:2", check=False)
    assert missing.stderr.strip() == f"no such manifest: {registry}/lists/amd64:2"
    assert cove("push", target, check=False).stderr.strip() == f"{target} not found"
    assert "invalid reference format" in cove("create", "A b", names[0], check=False).stderr
    cove("create", target, names[0])
    for words, flags in (
        ("manifest for image x:1 does not exist in", ("--os", "linux", target, "x:1")),
        ("unsupported os/arch combination: linux/z80", ("--arch", "z80", target, names[0])),
    ):
        assert words in cove("annotate", *flags, check=False).stderr
    elsewhere = f"localhost:{registry.rpartition(':')[2]}/lists/bad:1"
    cove("create", elsewhere, names[0])
    assert (
        "cannot use source images from a different registry than the target image"
        in cove("push", elsewhere, check=False).stderr
    )
    cove("push", target)
    assert (
        cove("create", f"{registry}/lists/of:1", target, check=False).stderr.strip() == f"{target} is a manifest list"
    )


def test_what_speaks_no_http_is_no_registry(cove: Command) -> None:
    def speak() -> None:
        for _ in range(2):  # with TLS, then without
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        speaking = threading.Thread(target=speak)
        speaking.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        done = cove("inspect", f"{address}/x:1", check=False)
        speaking.join(HANG_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == f'Get "http://{address}/v2/x/manifests/1": 220 mail.example ESMTP'


@pytest.fixture
def bad() -> Iterator[BadRegistry]:
    with bad_registry() as server:
        yield server


def test_a_token_and_a_password_are_shown_where_they_are_asked_for(
    cove: Command, config: Path, bad: BadRegistry, images: list[MadeImage], tmp_path: Path
) -> None:
    login = base64.b64encode(b"ann:secret").decode()
    bad.add(images[0], "1")
    bad.token, bad.users = "t0ken", {"ann": "secret"}
    refused = cove("inspect", f"{bad.address}/x:1", check=False)
    assert refused.returncode == 1
    with start_registry(tmp_path, auth=htpasswd(tmp_path / "htpasswd", ann="secret")) as guarded:
        images[0].put(guarded, "x", "1", "ann:secret")
        (config / "config.json").write_text(
            json.dumps({"auths": {one: {"auth": login} for one in (guarded, bad.address)}})
        )
        for address in (guarded, bad.address):
            assert json.loads(cove("inspect", f"{address}/x:1").stdout) == json.loads(images[0].manifest)
    assert {f"Bearer {bad.token}", f"Basic {login}"} >= bad.authorizations - {""}


def test_a_list_of_an_index_with_wrong_content_is_refused(
    cove: Command, bad: BadRegistry, images: list[MadeImage]
) -> None:
    bad.add(images[0], "1")
    bad.manifests["2"] = index_of(*images)
    bad.manifests[digest(images[1].manifest)] = images[0].manifest
    done = cove("inspect", "-v", f"{bad.address}/x:2", check=False)
    assert f"manifest verification failed for digest {digest(images[1].manifest)}" in done.stderr


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", "IncompleteRead"),
        (b"no HTTP at all\r\n", "no HTTP at all"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "the registry's reply is no manifest"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "the registry's reply is no manifest"),
    ],
)
def test_what_is_no_registry_is_an_error_in_one_line(reply: bytes, words: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(HANG_S)

    def serve() -> None:
        for _ in range(2):  # first TLS is tried
            with listener.accept()[0] as near:
                near.recv(1 << 16)
                near.sendall(reply)

    server = threading.Thread(target=serve)
    server.start()
    try:
        with pytest.raises(RegistryError, match=re.escape(words)) as told:
            Registry(f"127.0.0.1:{listener.getsockname()[1]}", "app", None).manifest("1")
        assert "\n" not in str(told.value)
    finally:
        server.join()
        listener.close()
