"""`--link`: on the default bridge by /etc/hosts and environment, on other networks by name."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from tests.support.engine import NativeEngine

IMAGE = "busybox:latest"
SLEEP = ("sleep", "1000")


@pytest.fixture
def clean(engine: NativeEngine) -> Iterator[NativeEngine]:
    engine.docker("network", "create", "linked")
    yield engine
    engine.docker("rm", "-f", "one", "two", "three", check=False)
    engine.docker("network", "rm", "linked")


def inspected(engine: NativeEngine, name: str) -> dict[str, Any]:
    [found] = json.loads(engine.docker("inspect", name).stdout)
    return dict(found)


def address(engine: NativeEngine, name: str) -> str:
    return str(inspected(engine, name)["NetworkSettings"]["IPAddress"])


def hosts(engine: NativeEngine, name: str) -> dict[str, str]:
    """Name → address, of the container's /etc/hosts; the first line with a name counts, as for resolvers."""
    lines = engine.docker("exec", name, "cat", "/etc/hosts").stdout.splitlines()
    return {name: line.split()[0] for line in reversed(lines) for name in line.split()[1:]}


def resolved(engine: NativeEngine, asker: str, name: str) -> list[str]:
    asked = engine.docker("exec", asker, "nslookup", "-type=a", name, check=False)
    return [line.split()[1] for line in asked.stdout.splitlines() if line.startswith("Address: ")]


def test_a_link_on_a_network_is_a_name_for_one_container(clean: NativeEngine) -> None:
    clean.docker("create", "--name", "two", "--network", "linked", IMAGE, *SLEEP)
    clean.docker("run", "-d", "--name", "one", "--network", "linked", "--link", "two:db", IMAGE, *SLEEP)
    assert resolved(clean, "one", "db") == [], "it does not run yet"
    clean.docker("start", "two")
    clean.docker("run", "-d", "--name", "three", "--network", "linked", IMAGE, *SLEEP)
    wanted = inspected(clean, "two")["NetworkSettings"]["Networks"]["linked"]["IPAddress"]
    assert resolved(clean, "one", "db") == resolved(clean, "one", "two") == [wanted]
    assert resolved(clean, "three", "db") == []
    one = inspected(clean, "one")
    assert one["HostConfig"]["Links"] is None
    assert one["NetworkSettings"]["Networks"]["linked"]["Links"] == ["two:db"]
    clean.docker("restart", "-t", "0", "one")
    assert resolved(clean, "one", "db") == [wanted]


def test_a_link_comes_with_a_network_that_is_joined(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", "two", "--network", "linked", IMAGE, *SLEEP)
    clean.docker("run", "-d", "--name", "one", IMAGE, *SLEEP)
    clean.docker("network", "connect", "--link", "two:far", "linked", "one")
    assert len(resolved(clean, "one", "far")) == 1
    assert resolved(clean, "one", "db") == []


def test_a_link_on_the_default_bridge_has_hosts_variables_and_names(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", "two", "--expose", "99", "-e", "FOO=bar", IMAGE, *SLEEP)
    clean.docker("run", "-d", "--name", "one", "--link", "two:my-db", IMAGE, *SLEEP)
    at = address(clean, "two")
    for command in (("cat", "/proc/1/environ"), ("env",)):
        shown = clean.docker("exec", "one", *command).stdout.replace("\0", "\n").splitlines()
        assert {line for line in shown if line.startswith("MY_DB_")} == {
            f"MY_DB_PORT=tcp://{at}:99",
            f"MY_DB_PORT_99_TCP=tcp://{at}:99",
            f"MY_DB_PORT_99_TCP_ADDR={at}",
            "MY_DB_PORT_99_TCP_PORT=99",
            "MY_DB_PORT_99_TCP_PROTO=tcp",
            "MY_DB_NAME=/one/my-db",
            "MY_DB_ENV_FOO=bar",
        }
    found = hosts(clean, "one")
    assert found["my-db"] == found["two"] == at
    assert inspected(clean, "one")["HostConfig"]["Links"] == ["/two:/one/my-db"]
    assert inspected(clean, "one/my-db")["Name"] == "/two"
    with closing(clean.client()) as client:
        names = {tuple(c["Names"]) for c in client.json_list("GET", "/containers/json")}
    assert ("/two", "/one/my-db") in names
    clean.docker("rename", "two", "three")
    assert inspected(clean, "one")["HostConfig"]["Links"] == ["/three:/one/my-db"]


def test_a_linked_container_that_starts_again_is_found_at_its_new_address(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", "two", IMAGE, *SLEEP)
    clean.docker("run", "-d", "--name", "one", "--link", "two:db", "--add-host", "own:1.2.3.4", IMAGE, *SLEEP)
    before = hosts(clean, "one")
    clean.docker("restart", "-t", "0", "two")
    assert address(clean, "two") != before["db"]
    assert hosts(clean, "one") == before | dict.fromkeys(
        ("db", "two", inspected(clean, "two")["Config"]["Hostname"]), address(clean, "two")
    )
    clean.docker("restart", "-t", "0", "one")
    assert hosts(clean, "one")["db"] == address(clean, "two")
    clean.docker("rename", "two", "three")
    clean.docker("restart", "-t", "0", "three")
    found = hosts(clean, "one")
    assert found["db"] == found["three"] == address(clean, "three")
    assert "two" not in found


def test_containers_that_start_at_once_are_all_found_at_their_new_addresses(clean: NativeEngine) -> None:
    names = ("two", "three")
    for name in names:
        clean.docker("run", "-d", "--name", name, IMAGE, *SLEEP)
    links = [word for name in names for word in ("--link", f"{name}:{name}-db")]
    clean.docker("run", "-d", "--name", "one", *links, IMAGE, *SLEEP)
    before = hosts(clean, "one")
    with ThreadPoolExecutor(len(names)) as at_once:
        list(at_once.map(lambda name: clean.docker("restart", "-t", "0", name), names))
    found = hosts(clean, "one")
    for name in names:
        assert found[f"{name}-db"] == address(clean, name) != before[f"{name}-db"]


def test_a_link_is_removed(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", "two", IMAGE, *SLEEP)
    clean.docker("run", "-d", "--name", "one", "--link", "two:db", IMAGE, *SLEEP)
    assert clean.docker("rm", "--link", "one/db").stdout == "one/db\n"
    assert inspected(clean, "one")["HostConfig"]["Links"] is None
    clean.docker("restart", "-t", "0", "one")
    assert "db" not in hosts(clean, "one")
    again = clean.docker("rm", "--link", "one/db", check=False)
    assert "No such container: one/db" in again.stderr
    own = clean.docker("rm", "--link", "one", check=False)
    assert "Conflict, cannot remove the default link name of the container" in own.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--link", "nobody:x"), "could not get container for nobody: No such container: nobody"),
        (("--link", "two:x"), "Cannot link to a non running container: /two AS /one/x"),
        (("--link", "three:x"), "Cannot link to /three, as it does not belong to the default network"),
        (("--network", "host", "--link", "two:x"), "links"),  # the words are the client's
    ],
)
def test_what_can_not_be_linked_is_refused(clean: NativeEngine, flags: tuple[str, ...], words: str) -> None:
    clean.docker("create", "--name", "two", IMAGE, "true")
    clean.docker("run", "-d", "--name", "three", "--network", "linked", IMAGE, *SLEEP)
    refused = clean.docker("run", "--name", "one", *flags, IMAGE, "true", check=False)
    assert refused.returncode == 125
    assert words in refused.stderr


def test_links_outlive_a_killed_engine(own_engine: NativeEngine) -> None:
    own_engine.docker("network", "create", "linked")
    own_engine.docker("run", "-d", "--name", "two", IMAGE, *SLEEP)
    own_engine.docker("network", "connect", "linked", "two")
    own_engine.docker("run", "-d", "--name", "one", "--link", "two:db", IMAGE, *SLEEP)
    own_engine.docker("network", "connect", "--link", "two:far", "linked", "one")
    os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
    own_engine.wait_until_answering()
    assert inspected(own_engine, "one")["HostConfig"]["Links"] == ["/two:/one/db"]
    assert len(resolved(own_engine, "one", "far")) == 1
    own_engine.docker("restart", "-t", "0", "two")
    assert hosts(own_engine, "one")["db"] == address(own_engine, "two")
    own_engine.docker("rm", "-f", "one", "two")
    own_engine.docker("network", "rm", "linked")
