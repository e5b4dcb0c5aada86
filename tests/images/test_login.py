"""`docker login`, and what a client that has logged in may do: a real registry with passwords, one with tokens."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.images.kit import BadRegistry, Entry, MadeImage, tar_of
from tests.support.clients import docker_of
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

Json = dict[str, Any]


def request(
    engine: NativeEngine, method: str, path: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """One call of the API: status and body."""
    with contextlib.closing(http.client.HTTPConnection("engine", timeout=HANG_S)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(engine.socket))
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def log_in(engine: NativeEngine, **auth: object) -> tuple[int, Json]:
    """POST /auth with these fields."""
    status, body = request(
        engine, "POST", "/v1.44/auth", json.dumps(auth).encode(), {"Content-Type": "application/json"}
    )
    return status, json.loads(body)


def test_docker_logs_in_pushes_and_pulls_with_its_password(
    guarded: str, engine: NativeEngine, tmp_path: Path, busybox_tar: Path
) -> None:
    plain = docker_of(engine.host)
    docker = replace(plain, environment={**plain.environment, "DOCKER_CONFIG": str(tmp_path)})
    reference = f"{guarded}/own/box:1"
    docker("import", str(busybox_tar), reference)
    try:
        for verb in ("push", "pull"):
            refused = docker(verb, reference, check=False)
            assert refused.returncode == 1
            assert "no basic auth credentials" in refused.stderr
        wrong = docker("login", "-u", "ann", "--password-stdin", guarded, input="wrong", check=False)
        assert wrong.returncode == 1
        assert f"login attempt to http://{guarded}/v2/ failed with status: 401 Unauthorized" in wrong.stderr
        assert "Login Succeeded" in docker("login", "-u", "ann", "--password-stdin", guarded, input="secret").stdout
        assert "digest: sha256:" in docker("push", reference).stdout
        docker("rmi", reference)
        assert "Downloaded newer image" in docker("pull", reference).stdout
        docker("logout", guarded)
        assert docker("pull", reference, check=False).returncode == 1
    finally:
        docker("rmi", "-f", reference)


def test_what_a_registry_says_of_a_login_is_passed_on(guarded: str, bad: BadRegistry, engine: NativeEngine) -> None:
    """The words are those of dockerd 20.10; a wrong password has the status that docker's newer client looks for."""
    bad.token, bad.users = "t0k3n", {"ann": "secret"}
    right, wrong = {"username": "ann", "password": "secret"}, {"username": "ann", "password": "wrong"}
    succeeded: Json = {"Status": "Login Succeeded", "IdentityToken": ""}
    for address in (guarded, f"http://{guarded}/v1/", f"https://{guarded}/v2/"):
        assert log_in(engine, serveraddress=address, **right) == (200, succeeded)
    status, said = log_in(engine, serveraddress=guarded, **wrong)
    assert (status, said["message"]) == (
        401,
        f"login attempt to http://{guarded}/v2/ failed with status: 401 Unauthorized",
    )
    status, said = log_in(engine, serveraddress=guarded)
    assert (status, said["message"]) == (500, f'Get "http://{guarded}/v2/": no basic auth credentials')

    with_token = {"Status": "Login Succeeded", "IdentityToken": bad.refresh_token}
    assert log_in(engine, serveraddress=bad.address, **right) == (200, with_token)
    assert "scope" not in bad.asked[0][0]
    assert log_in(engine, serveraddress=bad.address, identitytoken=bad.refresh_token) == (200, with_token)
    status, said = log_in(engine, serveraddress=bad.address, identitytoken="old")
    assert (status, said["message"]) == (401, f'Get "http://{bad.address}/v2/": unauthorized: no such token')
    status, said = log_in(engine, serveraddress=bad.address, **wrong)
    assert status == 401
    assert said["message"].endswith("unauthorized: incorrect username or password")

    status, said = log_in(engine, serveraddress="127.0.0.1:1", **right)
    assert (status, said["message"]) == (
        500,
        'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
    )
    assert log_in(engine, serveraddress="no host", **right)[0] == 400
    assert log_in(engine, serveraddress=guarded, username=5)[0] == 400


def test_an_image_is_pulled_with_the_identity_token_of_a_login(bad: BadRegistry, engine: NativeEngine) -> None:
    image = MadeImage(tar_of(Entry("x", b"x")))
    bad.add(image, "1")
    bad.token = "t0k3n"
    auth = base64.urlsafe_b64encode(json.dumps({"identitytoken": bad.refresh_token}).encode()).decode()
    path = f"/v1.44/images/create?fromImage={bad.address}/own/x&tag=1"
    status, lines = request(engine, "POST", path, b"", {"X-Registry-Auth": auth})
    assert status == 200
    assert b"Downloaded newer image" in lines
    engine.docker("rmi", f"{bad.address}/own/x:1")
