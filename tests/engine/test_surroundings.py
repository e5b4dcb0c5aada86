"""What the engine is told of the machine around its VM: proxies and authorities, for pulls, pushes and builds. And
natively, where its environment says it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.description import conforms
from tests.support.engine import NativeEngine
from tests.support.proxy import Proxy, proxy
from tests.support.registry import registry

NAME = "registry.test"
NOTHING: dict[str, object] = {
    "http_proxy": "", "https_proxy": "", "no_proxy": "", "authorities": "", "certificates": []
}  # fmt: skip


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def hidden(tmp_path: Path, authority: Authority) -> Iterator[Proxy]:
    """A proxy, and behind it a real registry whose name it alone knows, with a certificate of `authority`."""
    pair = authority.sign("server", NAME)
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    with registry(tmp_path, http={"tls": tls}) as address, proxy({NAME: address}) as made:
        yield made


def put(engine: NativeEngine, **told: object) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("cove")
    connection.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(connection):
        connection.sock.connect(str(engine.socket))
        body = json.dumps(NOTHING | told)
        connection.request("PUT", "/cove/v1/surroundings", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()


def file(host: object, name: object, text: object) -> dict[str, object]:
    return {"host": host, "name": name, "text": text}


def proxies_of(engine: NativeEngine) -> list[str]:
    info = json.loads(engine.docker("info", "--format", "json").stdout)
    return [info["HttpProxy"], info["HttpsProxy"], info["NoProxy"]]


def test_what_the_host_says_counts_from_then_on(own_engine: NativeEngine, hidden: Proxy, authority: Authority) -> None:
    image = f"{NAME}/here/one:1"
    own_engine.docker("tag", "busybox:latest", image)
    assert "no such host" in own_engine.docker("push", image, check=False).stderr

    assert put(own_engine, https_proxy=hidden.url, http_proxy="http://me:secret@p.test:1", no_proxy="a.test")[0] == 204
    assert proxies_of(own_engine) == ["http://xxxxx:xxxxx@p.test:1", hidden.url, "a.test"]
    said = own_engine.docker("push", image, check=False).stderr
    assert "x509: certificate signed by unknown authority" in said
    assert hidden.seen == [NAME] * len(hidden.seen) != []

    pem = authority.certificate.read_text()
    assert put(own_engine, https_proxy=hidden.url, authorities=pem)[0] == 204
    own_engine.docker("push", image)
    own_engine.docker("rmi", image)
    own_engine.docker("pull", image)

    os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
    own_engine.wait_until_answering()
    own_engine.docker("rmi", image)
    own_engine.docker("pull", image)  # a new engine of the same boot knows it too

    assert put(own_engine)[0] == 204
    assert proxies_of(own_engine) == ["", "", ""]
    own_engine.docker("rmi", image)
    assert "no such host" in own_engine.docker("pull", image, check=False).stderr


def test_a_registrys_certificates_count_for_it_alone(
    own_engine: NativeEngine, authority: Authority, tmp_path: Path
) -> None:
    pair, client = authority.sign("server", NAME), Authority(tmp_path, "clients").sign("ann")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key), "clientcas": [str(tmp_path / "clients.crt")]}
    with registry(tmp_path, http={"tls": tls}) as address, proxy({NAME: address}) as through:
        image = f"{NAME}/here/one:1"
        own_engine.docker("tag", "busybox:latest", image)

        def told(host: str) -> dict[str, object]:
            names = (authority.certificate, client.certificate, client.key)
            return {
                "https_proxy": through.url,
                "certificates": [file(host, one.name, one.read_text()) for one in names],
            }

        assert put(own_engine, **told("other.test"))[0] == 204
        assert "unknown authority" in own_engine.docker("push", image, check=False).stderr
        assert put(own_engine, **told(NAME))[0] == 204
        own_engine.docker("push", image)
        os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
        own_engine.wait_until_answering()
        own_engine.docker("rmi", image)
        own_engine.docker("pull", image)
        kept = own_engine.root / "exec" / "surroundings" / "certs.d"
        assert {path.name: path.stat().st_mode & 0o777 for path in (kept / NAME).iterdir()} == {
            authority.certificate.name: 0o600, client.certificate.name: 0o600, client.key.name: 0o600
        }  # fmt: skip
        assert put(own_engine, https_proxy=through.url)[0] == 204
        assert list(kept.iterdir()) == []
        assert "unknown authority" in own_engine.docker("push", image, check=False).stderr


@pytest.mark.parametrize(
    "certificates",
    [
        {}, 1, [1], [{"host": "h"}], [file("a/b", "x.crt", "")], [file("..", "x.crt", "")], [file("h", "../x.crt", "")],
        [file("h", "x.sh", "")], [file("h", "x.crt", 1)], [file(1, "x.crt", "")], [file("h", "x.crt", "")] * 2,
        [file("h" * 256, "x.crt", "")], [file("h", "x" * 252 + ".crt", "")], [file("h", "x.crt", "\ud800")],
    ],
)  # fmt: skip
def test_what_cannot_be_kept_as_such_files_is_refused(own_engine: NativeEngine, certificates: object) -> None:
    assert put(own_engine, certificates=certificates)[0] == 400


def test_builds_use_them_too(own_engine: NativeEngine, hidden: Proxy, authority: Authority, tmp_path: Path) -> None:
    put(own_engine, http_proxy=hidden.url, no_proxy="x.test")
    context = tmp_path / "context"
    context.mkdir()
    file = context / "Dockerfile"
    file.write_text("FROM busybox:latest\nRUN echo =$HTTP_PROXY=$http_proxy=$NO_PROXY=$https_proxy=\n")
    said = own_engine.docker("build", "--no-cache", str(context)).stdout
    assert f"={hidden.url}={hidden.url}=x.test==" in said
    said = own_engine.docker("build", "--no-cache", "--build-arg", "http_proxy=http://other:1", str(context)).stdout
    assert "=http://other:1=http://other:1=x.test==" in said
    said = own_engine.docker("build", "--no-cache", "--build-arg", "HTTP_PROXY=", str(context)).stdout
    assert "===x.test==" in said, "an empty argument of the client counts"
    put(own_engine)
    said = own_engine.docker("build", "--no-cache", str(context)).stdout
    assert "=====" in said

    put(own_engine, https_proxy=hidden.url, authorities=authority.certificate.read_text())
    file.write_text(f"FROM busybox:latest\nADD https://{NAME}/v2/ /reply\nRUN cat /reply\n")
    assert "{}" in own_engine.docker("build", "--no-cache", str(context)).stdout


def test_what_cannot_count_is_refused(own_engine: NativeEngine) -> None:
    for told, message in (
        ({"http_proxy": "nonsense"}, "invalid proxy: nonsense"),
        ({"authorities": "no certificate"}, "the authorities hold no certificate in PEM"),
        ({"other": "x"}, "the surroundings must be an object with the strings authorities, http_proxy, "),
    ):
        status, body = put(own_engine, **told)
        assert status == 400
        value = json.loads(body)
        assert value["message"].startswith(message)
        conforms(value, "PUT", "/cove/v1/surroundings", 400)


def test_natively_the_environment_says_it(
    hidden: Proxy, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, busybox_tar: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", hidden.url)
    monkeypatch.setenv("NO_PROXY", "a.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    engine = NativeEngine()
    engine.start()
    try:
        assert proxies_of(engine) == ["", hidden.url, "a.test"]
        image = f"{NAME}/here/one:1"
        engine.docker("import", str(busybox_tar), image)
        engine.docker("push", image)
        engine.docker("rmi", image)
        engine.docker("pull", image)
        assert set(hidden.seen) == {NAME}
    finally:
        engine.stop()
