"""Registries over TLS: whom the engine trusts, what it shows to whom, and mirrors. Real registries, real handshakes.

They listen on an address that is not loopback, since loopback is insecure by default, as with docker.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.images.kit import BadRegistry, Driver, Entry, MadeImage, bad_registry, digest, tar_of
from tests.support.addresses import address_on_lo
from tests.support.certificates import Authority
from tests.support.engine import NativeEngine
from tests.support.proxy import proxy
from tests.support.registry import htpasswd
from tests.support.registry import registry as start_registry
from tests.support.registryfront import Front, TokenServer
from tests.support.serving import serving
from vmagent.errors import EngineError, NotFound
from vmagent.images.hosts import RegistryHosts

NewStore = Callable[..., Driver]
ANN = {"username": "ann", "password": "secret"}
BASIC = "Basic " + base64.b64encode(b"ann:secret").decode()
IMAGE = MadeImage(tar_of(Entry("etc/os", b"one")), tar_of(Entry("big", os.urandom(2 << 20))))


@pytest.fixture
def address() -> Iterator[str]:
    with address_on_lo() as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "signed"
    folder.mkdir()
    return Authority(folder)


class Trusting:
    """Options of a store with a folder of certificates of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hosts(self, **more: Any) -> RegistryHosts:
        return RegistryHosts(certificates=(self.folder,), **more)

    def give(self, host: str, *files: Path) -> None:
        folder = self.folder / host
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, folder)


@pytest.fixture
def trusting(tmp_path: Path) -> Trusting:
    return Trusting(tmp_path / "certs.d")


@contextlib.contextmanager
def tls_registry(
    folder: Path, address: str, authority: Authority, *, clients: Authority | None = None, **options: Any
) -> Iterator[str]:
    """A real registry with a certificate of `authority`; `clients` signs those that it lets in."""
    pair = authority.sign("registry", address)
    tls: dict[str, Any] = {"certificate": str(pair.certificate), "key": str(pair.key)}
    if clients is not None:
        tls["clientcas"] = [str(clients.certificate)]
    with start_registry(folder, host=address, http={"tls": tls}, **options) as made:
        yield made


def push_and_pull(driver: Driver, ref: str, auth: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """A new image to its registry and back; the lines of the pull."""
    driver.import_(tar_of(Entry("x", os.urandom(1 << 20))), repo=ref.rpartition(":")[0], tag=ref.rpartition(":")[2])
    pushed = driver.all(driver.images.push(ref, auth=auth))
    assert "digest: sha256:" in pushed[-2]["status"]
    driver.run(driver.images.remove(ref))
    lines = driver.pull(ref, auth=auth)
    assert lines[-1]["status"] == f"Status: Downloaded newer image for {ref}"
    return lines


def test_a_certificate_of_an_unknown_authority_is_refused_until_certs_d_has_it(
    tmp_path: Path, address: str, authority: Authority, trusting: Trusting, new_store: NewStore
) -> None:
    driver = new_store(hosts=trusting.hosts())
    with tls_registry(tmp_path, address, authority) as registry:
        ref = f"{registry}/own/x:1"
        with pytest.raises(EngineError) as failed:
            driver.pull(ref)
        assert str(failed.value) == (
            f'Get "https://{registry}/v2/own/x/manifests/1": '
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
        trusting.give("other:5000", authority.certificate)
        with pytest.raises(EngineError, match="unknown authority"):
            driver.pull(ref)
        trusting.give(registry, authority.certificate)  # without a restart
        push_and_pull(driver, ref)


def test_an_insecure_registry_needs_no_known_certificate(
    tmp_path: Path, address: str, authority: Authority, trusting: Trusting, new_store: NewStore
) -> None:
    by_net = new_store(hosts=trusting.hosts(insecure=(f"{address}/32",)))
    with tls_registry(tmp_path, address, authority) as registry:
        push_and_pull(by_net, f"{registry}/own/x:1")
    with start_registry(tmp_path, host=address) as plain:
        push_and_pull(by_net, f"{plain}/own/x:1")
        strict = new_store(tmp_path / "strict", hosts=trusting.hosts())
        with pytest.raises(EngineError, match="http: server gave HTTP response to HTTPS client"):
            strict.pull(f"{plain}/own/x:1")


@pytest.mark.parametrize(
    ("of", "expired", "words"),
    [
        ("192.0.2.1", False, "x509: cannot validate certificate for {host} because it doesn't contain this address"),
        ("", True, "x509: certificate has expired or is not yet valid"),
    ],
)
def test_a_certificate_for_another_host_or_time_is_refused(
    of: str,
    expired: bool,
    words: str,
    address: str,
    authority: Authority,
    trusting: Trusting,
    new_store: NewStore,
) -> None:
    driver = new_store(hosts=trusting.hosts())
    front = Front(address, authority.sign("front", of or address, expired=expired), "")
    with serving(front):
        trusting.give(front.address, authority.certificate)
        with pytest.raises(EngineError) as failed:
            driver.pull(f"{front.address}/x:1")
    assert words.format(host=address) in str(failed.value)


def test_a_client_certificate_is_shown_where_certs_d_has_one(
    tmp_path: Path, address: str, authority: Authority, trusting: Trusting, new_store: NewStore
) -> None:
    clients = Authority(authority.certificate.parent, "clients")
    ann, eve = clients.sign("ann"), authority.sign("eve")
    driver = new_store(hosts=trusting.hosts())
    with tls_registry(tmp_path, address, authority, clients=clients) as registry:
        ref = f"{registry}/own/x:1"
        trusting.give(registry, authority.certificate)
        with pytest.raises(EngineError, match=r"remote error: tls: (certificate required|bad certificate)"):
            driver.pull(ref)
        trusting.give(registry, eve.certificate, eve.key)
        with pytest.raises(EngineError, match="remote error: tls: "):
            driver.pull(ref)
        for name in ("eve.cert", "eve.key"):
            (trusting.folder / registry / name).unlink()
        trusting.give(registry, ann.certificate)
        with pytest.raises(EngineError) as failed:
            driver.pull(ref)
        assert str(failed.value) == (
            "missing key ann.key for client certificate ann.cert. CA certificates must use the extension .crt"
        )
        trusting.give(registry, ann.key)
        push_and_pull(driver, ref)


def test_docker_pulls_over_tls_with_a_password_and_files_of_etc_docker(
    tmp_path: Path, address: str, authority: Authority, own_engine: NativeEngine
) -> None:
    """Through engine and API: docker's own folder of certificates, docker's login."""
    docker_config = tmp_path / "docker"
    auth = htpasswd(tmp_path / "users", ann="secret")
    with tls_registry(tmp_path, address, authority, auth=auth) as registry, ExitStack() as undo:
        folder = Path("/etc/docker/certs.d") / registry
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True)
        for path in reversed(made):
            undo.callback(path.rmdir)
        shutil.copy(authority.certificate, folder)
        undo.callback((folder / authority.certificate.name).unlink)

        def docker(*args: str, **more: Any) -> subprocess.CompletedProcess[str]:
            return own_engine.docker("--config", str(docker_config), *args, **more)

        ref = f"{registry}/own/box:1"
        docker("tag", "busybox", ref)
        refused = docker("push", ref, check=False)
        assert refused.returncode == 1
        assert "no basic auth credentials" in refused.stderr
        docker("login", "-u", "ann", "--password-stdin", registry, input="secret")
        assert "digest: sha256:" in docker("push", ref).stdout
        docker("rmi", ref)
        assert f"Downloaded newer image for {ref}" in docker("pull", ref).stdout


def test_each_server_sees_only_its_own_credentials(
    tmp_path: Path, address: str, authority: Authority, trusting: Trusting, new_store: NewStore
) -> None:
    """A registry with a token server, which sends its clients to a third host for blobs: everything each saw."""
    signing = authority.sign("signing")
    pair = authority.sign("servers", address)
    driver = new_store(hosts=trusting.hosts())
    with ExitStack() as stack:
        tokens = TokenServer(address, pair, signing, ann="secret")
        stack.enter_context(serving(tokens))
        auth = tokens.auth(authority.certificate)
        behind = stack.enter_context(start_registry(tmp_path, auth=auth, http={"relativeurls": True}))
        front, storage = Front(address, pair, behind), Front(address, pair, behind)
        storage.authorization = f"Bearer {tokens.token('x', 'registry', ['repository:own/x:pull'])}"
        for server in (front, storage):
            stack.enter_context(serving(server))
        for address_of in (front.address, storage.address, tokens.address):
            trusting.give(address_of, authority.certificate)
        ref = f"{front.address}/own/x:1"
        driver.import_(tar_of(Entry("x", os.urandom(1 << 20))), repo=ref.rpartition(":")[0], tag="1")
        driver.all(driver.images.push(ref, auth=ANN))
        driver.run(driver.images.remove(ref))
        front.blobs_at = storage.address
        driver.pull(ref, auth=ANN)
        assert any("/blobs/" in path for _, path, _ in storage.seen)
        assert storage.shown == set()
        assert tokens.shown == {BASIC}
        assert front.shown
        assert all(shown.startswith("Bearer ey") for shown in front.shown)

        # A token server that nobody vouches for gets no password.
        shutil.rmtree(trusting.folder / tokens.address)
        tokens.seen.clear()
        driver.run(driver.images.remove(ref))
        with pytest.raises(EngineError, match=rf'Get "https://{tokens.address}/token.*": tls: .*unknown authority'):
            driver.pull(ref, auth=ANN)
        assert tokens.seen == []


def test_the_homes_netrc_is_not_read_also_after_a_redirect(
    tmp_path: Path,
    address: str,
    authority: Authority,
    trusting: Trusting,
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {address} login ann password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    pair = authority.sign("servers", address)
    driver = new_store(hosts=trusting.hosts())
    with start_registry(tmp_path) as behind:
        IMAGE.put(behind, "own/x", "1")
        front, storage = Front(address, pair, behind), Front(address, pair, behind)
        front.blobs_at = storage.address
        with serving(front), serving(storage):
            for server in (front, storage):
                trusting.give(server.address, authority.certificate)
            driver.pull(f"{front.address}/own/x:1")
    assert (front.shown, storage.shown) == (set(), set())
    assert storage.seen


def test_a_slow_server_that_cuts_each_reply_gives_the_image_and_few_bytes_twice(
    tmp_path: Path, address: str, authority: Authority, trusting: Trusting, new_store: NewStore
) -> None:
    driver = new_store(hosts=trusting.hosts())
    with start_registry(tmp_path) as behind:
        IMAGE.put(behind, "own/x", "1")
        front = Front(address, authority.sign("front", address), behind)
        front.cut_after, front.pause_s = 300_000, 0.001
        with serving(front):
            trusting.give(front.address, authority.certificate)
            driver.pull(f"{front.address}/own/x:1")
    assert front.sent <= 1.1 * sum(map(len, IMAGE.blobs.values()))


def test_mirrors_are_asked_first_without_credentials_and_the_next_goes_on_where_one_ended(
    new_store: NewStore,
) -> None:
    big = digest(IMAGE.packed[1])
    with bad_registry() as first, bad_registry() as second:
        for mirror in (first, second):
            mirror.add(IMAGE, "1")
        half = len(IMAGE.packed[1]) // 2
        _cut_for_ever(first, big, half)
        driver = new_store(hosts=RegistryHosts(mirrors=(f"http://{first.address}", f"http://{second.address}/")))
        lines = driver.pull("own/x:1", auth=ANN)
        assert lines[-1]["status"] == "Status: Downloaded newer image for own/x:1"
        assert second.ranges == [f"bytes={half}-"]
        assert second.sent[big] == len(IMAGE.packed[1]) - half
        assert (first.authorizations, second.authorizations) == (set(), set())


def _cut_for_ever(server: BadRegistry, blob: str, at: int) -> None:
    """The first reply ends at byte `at`; later ones bring nothing."""
    server.cut_at[blob] = at
    server.cut_later[blob] = 0


def test_what_no_mirror_has_comes_from_the_registry_itself(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bad_registry() as mirror, proxy({"registry-1.docker.io": "127.0.0.1:1"}) as through:
        monkeypatch.setenv("HTTPS_PROXY", through.url)
        driver = new_store(hosts=RegistryHosts(mirrors=(f"http://{mirror.address}",)))
        with pytest.raises(EngineError, match=r'Get "https://registry-1.docker.io/v2/own/x/manifests/1": '):
            driver.pull("own/x:1", auth=ANN)
        assert through.asked == ["registry-1.docker.io:443"]
        with pytest.raises(NotFound):  # of another registry than Docker Hub there are no mirrors
            driver.pull(f"{mirror.address}/x:1")
        assert mirror.authorizations == set()


def test_a_proxy_of_the_environment_is_used_and_sees_no_credentials(
    tmp_path: Path,
    address: str,
    authority: Authority,
    trusting: Trusting,
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    auth = htpasswd(tmp_path / "users", ann="secret")
    with tls_registry(tmp_path, address, authority, auth=auth) as registry, proxy({}) as through:
        trusting.give(registry, authority.certificate)
        monkeypatch.setenv("HTTPS_PROXY", through.url)
        driver = new_store(hosts=trusting.hosts())
        push_and_pull(driver, f"{registry}/own/x:1", ANN)
        assert set(through.asked) == {registry}
        assert through.shown == set()
        monkeypatch.setenv("NO_PROXY", f"192.0.2.0/24,{address}")
        through.asked.clear()
        new_store(tmp_path / "direct", hosts=trusting.hosts()).pull(f"{registry}/own/x:1", auth=ANN)
        assert through.asked == []
    monkeypatch.delenv("NO_PROXY")
    with pytest.raises(EngineError, match=r"proxyconnect tcp: dial tcp: connect: connection refused"):
        new_store(tmp_path / "gone", hosts=trusting.hosts()).pull(f"{registry}/own/x:1", auth=ANN)


def test_a_slow_proxy_that_cuts_its_tunnels_lets_an_image_through_both_ways(
    tmp_path: Path,
    address: str,
    authority: Authority,
    trusting: Trusting,
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TLS, a client certificate and a password through CONNECT. A push begins anew, a pull goes on."""
    auth = htpasswd(tmp_path / "users", ann="secret")
    clients = Authority(authority.certificate.parent, "clients")
    ann = clients.sign("ann")
    with tls_registry(tmp_path, address, authority, clients=clients, auth=auth) as registry, proxy({}) as through:
        trusting.give(registry, authority.certificate, ann.certificate, ann.key)
        monkeypatch.setenv("HTTPS_PROXY", through.url)
        driver = new_store(hosts=trusting.hosts())
        ref = f"{registry}/own/x:1"
        size = 2 << 20
        driver.import_(tar_of(Entry("x", os.urandom(size))), repo=ref.rpartition(":")[0], tag="1")
        image_id = driver.store.resolve(ref).id
        through.cut_after, through.cuts = 500_000, 2
        pushed = driver.all(driver.images.push(ref, auth=ANN))
        assert "digest: sha256:" in pushed[-2]["status"]
        assert through.cuts == 0
        driver.run(driver.images.remove(ref))
        through.passed, through.cuts, through.pause_s = 0, 100, 0.002
        driver.pull(ref, auth=ANN)
        assert driver.store.resolve(ref).id == image_id
        assert 100 - through.cuts >= 3
        assert through.passed <= 1.2 * size, "what was on the way in a cut tunnel came twice, handshakes included"
        assert through.shown == set()
