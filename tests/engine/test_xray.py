"""`GET /cove/v1/containers/{id}/xray` and `cove xray`: what they tell is what the kernel has."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop.client.engine import ApiError
from tests.support.description import conforms
from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until
from vmagent.engine.xray.layers import locate
from vmagent.engine.xray.words import MEANINGS
from vmagent.linux import capabilities, mounts
from vmagent.linux.nft import Nft

PATH = "/cove/v1/containers/{id}/xray"
SPOTS = ("a", "b", "c", "a/a", "a/b", "b/a", "b/b", "c/a", "a/a/a", "a/b/a", "b/a/b")
TARGETS = ("a", "/b", "../c", "/a/b", "../../../../b/a", "b", "/nothing", ".")


def xray(engine: NativeEngine, name: str, path: str | None = None) -> dict[str, Any]:
    with engine.client() as client:
        told = client.xray(name, path)
    conforms(told, "GET", PATH, 200)
    return told


@pytest.fixture
def web(own_engine: NativeEngine) -> Iterator[NativeEngine]:
    """A container `web` that listens on its published port, and `side` in its network."""
    serve = "httpd -p 127.0.0.1:81 && exec httpd -f -p 80"
    limits = ("-m", "64m", "--cpus", "0.5", "--pids-limit", "50")
    ports = ("-p", "127.0.0.1:0:80", "-p", "127.0.0.1:0:81", "-p", "127.0.0.1:0:53/udp")
    own_engine.docker("run", "-d", "--name", "web", *limits, *ports, "busybox:latest", "sh", "-c", serve)
    own_engine.docker("run", "-d", "--name", "side", "--network", "container:web", "busybox:latest", "sleep", "1000")
    yield own_engine
    own_engine.docker("rm", "-f", "web", "side")


def test_namespaces_are_those_of_the_process_and_tell_who_shares_them(web: NativeEngine) -> None:
    told = xray(web, "web")
    spaces = {space["kind"]: space for space in told["namespaces"]}
    for kind, space in spaces.items():
        assert space["id"] == os.stat(f"/proc/{told['pid']}/ns/{kind}").st_ino
        assert space["is_host"] == (space["id"] == os.stat(f"/proc/self/ns/{kind}").st_ino)
    assert spaces["net"]["shared_with"] == ["side"]
    assert {kind for kind, space in spaces.items() if space["is_host"]} == {"user", "time"}
    assert [kind for kind, space in spaces.items() if space["shared_with"]] == ["net"]


def test_limits_stand_beside_what_is_used(web: NativeEngine) -> None:
    web.docker("exec", "-d", "web", "sh", "-c", "while :; do :; done")
    # The kernel counts the time of a period when it is over.
    wait_until(lambda: (xray(web, "web")["control"]["throttling"] or {})["throttled_ns"] > 0)
    wait_until(lambda: (_resources(xray(web, "web"))["cpu"]["used"] or 0) > 0.01)
    told = xray(web, "web")
    found = _resources(told)
    assert found["memory"]["limit"] == 64 << 20
    assert 0 < found["memory"]["used"] <= found["memory"]["peak"] <= 64 << 20
    assert found["cpu"]["limit"] == 0.5
    assert found["processes"]["limit"] == 50
    wait_until(lambda: _processes(xray(web, "web")) == (3, 3))  # both httpd and the loop; an exec's helper has ended
    assert told["control"]["throttling"]["throttled_periods"] > 0
    if Path("/proc/pressure/cpu").exists():
        assert {one["resource"] for one in told["control"]["pressure"]} == {"cpu", "memory", "io"}


def _processes(told: dict[str, Any]) -> tuple[float, int]:
    """How many the cgroup counts, and how many are listed."""
    return _resources(told)["processes"]["used"], len(told["processes"])


def _resources(told: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in told["control"]["resources"]}


def test_a_port_s_way_leads_to_the_process_that_listens(web: NativeEngine) -> None:
    told = xray(web, "web")
    [end] = told["network"]["interfaces"]
    ports = {(port["protocol"], port["container_port"]): port for port in told["network"]["ports"]}
    served = ports["tcp", 80]
    assert (end["bridge"], end["host_interface"]) == (served["bridge"], served["host_interface"])
    assert os.path.exists(f"/sys/class/net/{end['bridge']}/brif/{end['host_interface']}")
    assert served["is_rule_there"]
    assert f"127.0.0.1 . tcp . {served['host_port']} : {end['address'].partition('/')[0]} . 80" in served["rule"]
    [listener] = served["listeners"]
    assert "httpd" in listener["command"]
    assert listener["pid"] in {process["pid"] for process in told["processes"]}
    [inside] = ports["tcp", 81]["listeners"]
    assert inside["address"] == "127.0.0.1"
    assert ports["udp", 53]["listeners"] == []
    assert xray(web, "side")["network"]["of"] == "web"
    assert xray(web, "side")["network"]["ports"] == told["network"]["ports"]

    table, name = " ".join(served["rule"].split()[:2]), served["rule"].split()[2]
    nft = Nft()
    nft.run(f"delete element {table} {name} {{ 127.0.0.1 . tcp . {served['host_port']} }}")
    ports = {(port["protocol"], port["container_port"]): port for port in xray(web, "web")["network"]["ports"]}
    assert not ports["tcp", 80]["is_rule_there"]
    assert ports["udp", 53]["is_rule_there"]
    assert "MISSING" in web.cove("xray", "web").stdout
    address = end["address"].partition("/")[0]
    nft.run(f"add element {table} {name} {{ 127.0.0.1 . tcp . {served['host_port']} : {address} . 80 }}")
    nft.close()


def test_what_it_may_do_is_what_the_process_may(own_engine: NativeEngine) -> None:
    assert MEANINGS.keys() == set(capabilities.NAMES)
    options = ("--cap-drop", "ALL", "--cap-add", "KILL", "--security-opt", "no-new-privileges", "--read-only")
    own_engine.docker("create", "--name", "one", "-u", "7", *options, "busybox:latest", "sleep", "1000")
    before = xray(own_engine, "one")["security"]
    own_engine.docker("start", "one")
    told = xray(own_engine, "one")
    assert [one["name"] for one in before["capabilities"]] == ["CAP_KILL"]
    assert [(one["name"], one["is_effective"]) for one in told["security"]["capabilities"]] == [("CAP_KILL", False)]
    assert (told["security"]["user"], told["processes"][0]["uid"]) == ("7", 7)
    assert told["security"]["no_new_privileges"]
    assert told["security"]["is_read_only"]
    assert told["security"]["seccomp"] == "default"
    own_engine.docker("rm", "-f", "one")
    own_engine.docker("run", "-d", "--name", "one", "--privileged", "busybox:latest", "sleep", "1000")
    security = xray(own_engine, "one")["security"]
    assert (security["seccomp"], security["is_privileged"]) == ("unconfined", True)
    _, own, _ = capabilities.capget()
    assert [one["name"] for one in security["capabilities"]] == [
        name for number, name in enumerate(capabilities.NAMES) if own >> number & 1
    ]
    own_engine.docker("rm", "-f", "one")


def test_layers_and_the_origin_of_paths_running_and_stopped(own_engine: NativeEngine) -> None:
    docker = own_engine.docker
    docker("run", "--name", "first", "busybox:latest", "sh", "-c", "echo 1 >/one; echo 1 >/both; rm /bin/vi")
    docker("commit", "-c", 'CMD ["sleep","1000"]', "first", "second:latest")
    docker("run", "-d", "--name", "one", "-v", "cvt-xray:/data", "second:latest")
    docker("exec", "one", "sh", "-c", "echo 2 >/both; rm /one")
    for state in ("running", "exited"):
        told = xray(own_engine, "one", "/both")
        assert told["status"] == state
        assert [layer["number"] for layer in told["layers"]] == [1, 2, 3]
        assert [layer["kind"] for layer in told["layers"]][-1] == "upper"
        assert (told["origin"]["layer"], told["origin"]["hidden_in"]) == (3, [2])
        gone = xray(own_engine, "one", "/one")["origin"]
        assert (gone["kind"], gone["layer"], gone["removed_in"], gone["hidden_in"]) == ("", 0, 3, [2])
        assert xray(own_engine, "one", "/bin/vi")["origin"]["removed_in"] == 2
        assert xray(own_engine, "one", "/bin/sh")["origin"]["layer"] == 1
        assert xray(own_engine, "one", "/data/x")["origin"]["mount"] == "volume cvt-xray at /data"
        assert "writes at each start" in xray(own_engine, "one", "/etc/hosts")["origin"]["mount"]
        assert bool(told["processes"]) == bool(told["namespaces"]) == (state == "running")
        docker("stop", "-t", "0", "one")
    text = own_engine.cove("xray", "--path", "/bin/vi", "one").stdout
    assert "nothing: it was removed in layer 2" in text
    assert json.loads(own_engine.cove("xray", "--json", "one").stdout) == xray(own_engine, "one")
    docker("rm", "-f", "first", "one")
    docker("rmi", "second:latest")
    docker("volume", "rm", "cvt-xray")


def test_bad_requests_have_docker_s_words(engine: NativeEngine) -> None:
    with engine.client() as client:
        with pytest.raises(ApiError) as refused:
            client.xray("nobody")
        assert (refused.value.status, str(refused.value)) == (404, "No such container: nobody")
    engine.docker("create", "--name", "cvt-xray", "busybox:latest", "true")
    with engine.client() as client:
        for path in ("", "etc/x"):
            with pytest.raises(ApiError) as refused:
                client.xray("cvt-xray", path)
            assert refused.value.status == 400
    engine.docker("rm", "cvt-xray")
    done = engine.cove("xray", "nobody", check=False)
    assert (done.returncode, done.stderr) == (1, "Error response from daemon: No such container: nobody\n")


# --- which layer a path comes from, beside the kernel's own overlay


@pytest.mark.parametrize("seed", range(12))
def test_paths_are_where_the_kernel_s_overlay_has_them(tmp_path: Path, seed: int) -> None:
    """Random layers with files, links, whiteouts and opaque folders. Each file's text names its layer."""
    chance = random.Random(seed)
    folders = [tmp_path / str(number) for number in range(4)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        for spot in SPOTS:
            _fill(folder / spot, number, chance, is_lowest=number == len(folders) - 1)
    merged = tmp_path / "merged"
    merged.mkdir()
    lowers = ":".join(map(str, folders))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lowers}", merged], check=True)
    root = os.open(merged, os.O_PATH | os.O_DIRECTORY)
    try:
        for path in (*SPOTS, *(f"{spot}/../a" for spot in SPOTS), "a/b/c/d", "x", "/", "..", "a/.."):
            _compare(root, [str(folder) for folder in folders], path)
    finally:
        os.close(root)
        subprocess.run(["umount", merged], check=True)
        shutil.rmtree(tmp_path)


def _fill(spot: Path, number: int, chance: random.Random, *, is_lowest: bool) -> None:
    if not spot.parent.is_dir() or spot.parent.is_symlink():
        return
    match chance.choice(("", "file", "folder", "folder", "link", "whiteout", "opaque")):
        case "file":
            spot.write_text(str(number))
        case "folder":
            spot.mkdir()
        case "link":
            spot.symlink_to(chance.choice(TARGETS))
        case "whiteout" if not is_lowest:
            os.mknod(spot, stat.S_IFCHR, 0)
        case "opaque":
            spot.mkdir()
            os.setxattr(spot, "trusted.overlay.opaque", b"y")


def _compare(root: int, folders: list[str], path: str) -> None:
    try:
        fd = mounts.open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError as e:
        if e.errno == errno.ELOOP:
            with pytest.raises(OSError, match="symbolic links"):
                locate(folders, path)
        else:
            assert locate(folders, path).kind == "", path
        return
    mode = os.fstat(fd).st_mode
    os.close(fd)
    found = locate(folders, path)
    if stat.S_ISREG(mode):
        inner = mounts.open_in_root(root, path, os.O_RDONLY)
        with open(inner) as file:
            assert (found.kind, found.shown) == ("file", int(file.read())), path
    else:
        assert found.kind == ("folder" if stat.S_ISDIR(mode) else "link"), path
    assert found.shown not in found.hidden
