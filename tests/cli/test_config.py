"""`cove config`: what it writes is what the agent and the VM read, and they would refuse what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from desktop.hostagent.settings import (
    PUBLISH_ADDRESSES,
    certificates_folder,
    chosen_proxies,
    has_host_network,
    publish_addresses,
    shared_folders,
)
from desktop.settings.table import SETTINGS
from desktop.vm.errors import VmError
from desktop.vm.settings import load_settings
from tests.support.limits import HANG_S


class Home:
    """A home of Cove's of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config.json"

    def cove(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("cove"), "config", *args],
            env={"COVE_HOME": str(self.folder), "PATH": os.environ["PATH"], "COVE_WARM": "0"},
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )

    def set(self, name: str, value: str) -> None:
        done = self.cove("set", name, value)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_is_set_is_what_agent_and_vm_read(home: Home) -> None:
    for name, value in {
        "vm.memory_mb": "1500", "vm.cpus": "3", "vm.disk_gb": "20", "vm.accelerator": "tcg",
        "vm.save_after_minutes": "2.5", "ports.publish": "all", "ports.host_network": "false",
        "folders.shared": "/home/a,/home/b",
        "proxies.http": "http://proxy:3128", "proxies.no_proxy": "here", "context": "native",
    }.items():  # fmt: skip
        home.set(name, value)
        assert home.cove("get", name).stdout == f"{value}\n"
    found = load_settings(home.file, 8000)
    assert (found.memory_mb, found.cpus, found.disk_gb, found.accelerator) == (1500, 3, 20, "tcg")
    assert found.save_after_s == 150
    assert publish_addresses(home.file) == ("0.0.0.0", "::")
    assert shared_folders(home.file) == ("/home/a", "/home/b")
    proxies = chosen_proxies(home.file)
    assert proxies is not None
    assert "http://proxy:3128" in tuple(proxies)
    listed = home.cove("get").stdout.splitlines()
    assert "vm.cpus=3" in listed
    assert len(listed) == 11
    assert not has_host_network(home.file)


@pytest.mark.parametrize(
    ("kept", "read", "words"),
    [
        ({"ports": {"publish": "some"}}, publish_addresses, "ports.publish in .*: one of loopback, all is meant"),
        ({"ports": {"host_network": 1}}, has_host_network, "ports.host_network in .*: one of true, false is meant"),
        ({"ports": []}, has_host_network, "ports in .* must be an object"),
        ({"folders": {"shared": ["here"]}}, shared_folders, "folders.shared in .*: the absolute path"),
        ({"proxies": {"http": "ftp://proxy"}}, chosen_proxies, "proxies.http in .*: a URL is meant"),
        ({"proxies": {"ftp": ""}}, chosen_proxies, "has no ftp: http, https, no_proxy"),
        (
            {"certificates": "here"},
            lambda file: certificates_folder(file, file.parent),
            "certificates in .*: the absolute path",
        ),
    ],
)
def test_the_agent_refuses_what_cove_config_refuses(
    home: Home, kept: object, read: Callable[[Path], object], words: str
) -> None:
    home.file.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=words):
        read(home.file)


def test_without_a_file_the_defaults_of_the_table_count_for_the_agent(home: Home) -> None:
    assert publish_addresses(home.file) == ("127.0.0.1", "::1")
    assert has_host_network(home.file)
    assert shared_folders(home.file) == (str(Path.home()),)
    assert chosen_proxies(home.file) is None
    assert certificates_folder(home.file, home.folder) == home.folder
    assert PUBLISH_ADDRESSES.keys() == set(SETTINGS["ports.publish"].words)


def test_unset_lets_the_default_count_and_other_things_stay(home: Home) -> None:
    home.file.write_text(json.dumps({"schema": 1, "vm": {"cpus": 2}, "window": {"theme": "dark"}}))
    home.set("vm.memory_mb", "999")
    assert home.cove("unset", "vm.memory_mb").returncode == 0
    assert home.cove("unset", "vm.cpus").returncode == 0
    assert json.loads(home.file.read_text()) == {"schema": 1, "window": {"theme": "dark"}}
    missing = home.cove("get", "vm.cpus")
    assert (missing.returncode, missing.stderr) == (1, "vm.cpus is not set\n")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("vm.cpus", "0", "a whole number from 1 to 255 is meant"),
        ("vm.cpus", "many", "a whole number from 1 to 255 is meant"),
        ("vm.memory_mb", "1.5", "a whole number from 384 to 16777216 is meant"),
        ("vm.accelerator", "magic", "one of kvm, hvf, whpx, tcg is meant"),
        ("ports.publish", "some", "one of loopback, all is meant"),
        ("ports.host_network", "1", "one of true, false is meant"),
        ("vm.memory", "1", "Did you mean: vm.memory_mb"),
    ],
)
def test_wrong_settings_are_refused_and_change_nothing(home: Home, name: str, value: str, words: str) -> None:
    done = home.cove("set", name, value)
    assert done.returncode == 1
    assert words in done.stderr
    assert not home.file.exists()


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if one.for_vm and one.least is not None])
def test_the_limits_are_those_of_the_vm(home: Home, name: str) -> None:
    least = SETTINGS[name].least
    assert least is not None
    key = name.removeprefix("vm.")
    home.set(name, str(least))
    load_settings(home.file, 8000)
    home.file.write_text(json.dumps({"vm": {key: least - 1}}))
    with pytest.raises(VmError, match=f"must be a number from {least} to {SETTINGS[name].most}"):
        load_settings(home.file, 8000)
