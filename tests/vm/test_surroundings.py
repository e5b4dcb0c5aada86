"""This machine's proxies and added certificate authorities reach the engine in the VM, and changes are followed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.hostagent.registrycertificates import MOST_BYTES
from desktop.hostagent.surroundings import find
from desktop.paths import host_paths
from desktop.platform import platform_for
from desktop.platform.base import Proxies
from desktop.platform.proxies import from_environment, from_registry, from_scutil
from tests.support.certificates import Authority
from tests.support.proxy import Proxy, proxy
from tests.support.registry import registry
from tests.support.waiting import wait_until
from tests.vm.conftest import Vm

NAME = "registry.test"
IMAGE = f"{NAME}/here/one:1"
NONE = {"http_proxy": "", "https_proxy": "", "no_proxy": "", "authorities": "", "certificates": []}
SCUTIL = """<dictionary> {
  ExceptionsList : <array> {
    0 : *.local
    1 : 169.254/16
    2 : intranet.test
  }
  FTPPassive : 1
  HTTPEnable : 1
  HTTPPort : 3128
  HTTPProxy : proxy.test
  HTTPSEnable : 0
  HTTPSPort : 3129
  HTTPSProxy : other.test
}
"""


def test_the_environments_own_variables() -> None:
    assert from_environment({}) is None
    assert from_environment({"NO_PROXY": "a"}) is None
    found = from_environment({"http_proxy": "p:1", "HTTPS_PROXY": "http://s:2", "no_proxy": "a,b"})
    assert found == Proxies("http://p:1", "http://s:2", "a,b")


def test_macos_settings_as_scutil_prints_them() -> None:
    assert from_scutil(SCUTIL) == Proxies("http://proxy.test:3128", "", ".local,169.254.0.0/16,intranet.test")
    assert from_scutil(SCUTIL.replace("HTTPSEnable : 0", "HTTPSEnable : 1")).https == "http://other.test:3129"
    assert from_scutil("<dictionary> {\n}\n") == Proxies()


def test_windows_settings_as_the_registry_has_them() -> None:
    found = {"http": "http://p:80", "https": "s:81"}
    assert from_registry(found, "*.corp;10.*;<local>;x") == Proxies("http://p:80", "http://s:81", ".corp,10.0.0.0/8,x")
    assert from_registry({}, "") == Proxies()


def test_what_is_found_is_said_as_the_vm_can_use_it(tmp_path: Path) -> None:
    paths = host_paths({"COVE_HOME": str(tmp_path)}, "linux")
    platform = platform_for("darwin")  # adds no authorities of this machine
    environ = {"HTTP_PROXY": "http://me:pw@127.0.0.1:3128", "HTTPS_PROXY": "http://[::1]:1/", "NO_PROXY": "x"}
    told, faults = find(platform, environ, paths)
    assert told == NONE | {
        "http_proxy": "http://me:pw@host.docker.internal:3128",
        "https_proxy": "http://host.docker.internal:1/",
        "no_proxy": "x",
    }
    assert faults == ()
    assert find(platform, {"HTTP_PROXY": "http://proxy.test:3"}, paths).told["http_proxy"] == "http://proxy.test:3"

    refused = find(platform, {"HTTP_PROXY": "socks5://a:b@c:1"}, paths)
    assert refused.told == NONE
    assert refused.faults == (
        "the proxy socks5://xxxxx:xxxxx@c:1 can't be used: its URL must begin with http:// or https://",
    )
    paths.config_file.write_text(json.dumps({"proxies": {"https": "chosen.test:5", "no_proxy": "n"}}))
    assert find(platform, environ, paths).told == NONE | {"https_proxy": "http://chosen.test:5", "no_proxy": "n"}
    paths.config_file.write_text(json.dumps({"proxies": {}}))
    assert find(platform, environ, paths).told == NONE, "the user wants none"
    for wrong, said in (({"proxies": 1}, "must be an object"), ({"proxies": {"ftp": ""}}, "has no ftp")):
        paths.config_file.write_text(json.dumps(wrong))
        assert said in find(platform, environ, paths).faults[0]


def test_certificates_come_from_the_folder(tmp_path: Path) -> None:
    paths = host_paths({"COVE_HOME": str(tmp_path)}, "linux")
    platform, environ = platform_for("darwin"), {"HTTP_PROXY": "p:1"}
    paths.certificates.mkdir()
    authority = Authority(paths.certificates)
    (paths.certificates / "notes.txt").write_text("not read")
    (paths.certificates / "der.cer").write_bytes(b"\x30\x82")
    found = find(platform, environ, paths)
    assert found.told["authorities"] == authority.certificate.read_text()
    assert found.faults == (f"{paths.certificates / 'der.cer'} holds no certificate in PEM",)
    other = tmp_path / "other"
    other.mkdir()
    second = Authority(other, "second")
    paths.config_file.write_text(json.dumps({"certificates": str(other)}))
    assert find(platform, environ, paths).told["authorities"] == second.certificate.read_text()


def test_certificates_of_registries_come_from_dockers_folders_and_ours(tmp_path: Path) -> None:
    paths = host_paths({"COVE_HOME": str(tmp_path / "cove")}, "linux")
    theirs, ours = tmp_path / ".docker" / "certs.d" / "h:5000", paths.home / "certs.d" / "h:5000"
    for folder in (theirs, ours, paths.home / "certs.d" / "empty"):
        folder.mkdir(parents=True)
    (theirs / "ca.crt").write_text("theirs")
    (theirs / "client.key").write_text("key")
    (ours / "ca.crt").write_text("ours")
    (ours / "notes.txt").write_text("not read")
    (ours / "large.crt").write_text("x" * (MOST_BYTES + 1))
    found = find(platform_for("darwin"), {"HOME": str(tmp_path), "HTTP_PROXY": "p:1"}, paths)
    assert found.told["certificates"] == [
        {"host": "h:5000", "name": "ca.crt", "text": "ours"},
        {"host": "h:5000", "name": "client.key", "text": "key"},
    ]
    assert found.faults == (f"{ours / 'large.crt'} is too large for a certificate",)


@pytest.fixture
def hidden(tmp_path: Path) -> Iterator[tuple[Proxy, Authority]]:
    """A proxy on the host's loopback, and behind it a real registry whose name it alone knows."""
    authority = Authority(tmp_path)
    pair = authority.sign("server", NAME)
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    with registry(tmp_path, http={"tls": tls}) as address, proxy({NAME: address}) as made:
        yield made, authority


def proxies_of(vm: Vm) -> list[str]:
    info = json.loads(vm.docker("info", "--format", "json").stdout)
    return [info["HttpProxy"], info["HttpsProxy"], info["NoProxy"]]


@pytest.mark.vm
def test_the_engine_in_the_vm_uses_them_and_follows_changes(
    vm: Vm, busybox: str, hidden: tuple[Proxy, Authority], tmp_path: Path
) -> None:
    there, authority = hidden
    seen_by_the_vm = there.url.replace("127.0.0.1", "host.docker.internal")
    vm.docker("tag", busybox, IMAGE)
    certificate = vm.paths.certificates / "added.crt"
    vm.paths.certificates.mkdir()
    try:
        assert proxies_of(vm) == ["", "", ""]
        config = {"proxies": {"http": there.url, "https": there.url, "no_proxy": "x.test"}}
        vm.paths.config_file.write_text(json.dumps(config))
        wait_until(lambda: proxies_of(vm) == [seen_by_the_vm, seen_by_the_vm, "x.test"])
        assert "certificate signed by unknown authority" in vm.docker("push", IMAGE, check=False).stderr
        certificate.write_text(authority.certificate.read_text())
        wait_until(lambda: vm.docker("push", IMAGE, check=False).returncode == 0)
        vm.docker("rmi", IMAGE)
        vm.docker("pull", IMAGE)
        assert set(there.seen) == {NAME}
        assert f"Proxies:      {seen_by_the_vm}" in vm.cove("vm", "status").stdout

        # A container reaches the proxy too: by the predefined arguments of a build, and the host's name.
        context = tmp_path / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(
            f"FROM {busybox}\nRUN wget -q -O- http://{NAME}/v2/ 2>&1; echo =$HTTP_PROXY=$no_proxy=\n"
        )
        there.asked.clear()
        said = vm.docker("build", "--no-cache", context).stdout
        assert f"={seen_by_the_vm}=x.test=" in said
        assert there.seen == [NAME]

        vm.cove("vm", "stop")
        vm.cove("vm", "start")
        assert proxies_of(vm) == [seen_by_the_vm, seen_by_the_vm, "x.test"], "before the first pull can come"
        vm.docker("rmi", IMAGE)
        vm.docker("pull", IMAGE)
    finally:
        vm.paths.config_file.unlink(missing_ok=True)
        certificate.unlink(missing_ok=True)
        vm.paths.certificates.rmdir()
    wait_until(lambda: proxies_of(vm) == ["", "", ""])
    vm.docker("rmi", "-f", IMAGE)
