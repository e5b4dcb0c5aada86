"""The real docker command line and our own against the engine in the VM, through the host's socket."""

from __future__ import annotations

import pytest

from tests.support import clients
from tests.support.clients import Client
from tests.vm.conftest import Vm

pytestmark = pytest.mark.vm
IMAGE = "busybox:latest"


@pytest.fixture(params=["docker", "cove"])
def client(request: pytest.FixtureRequest, vm: Vm) -> Client:
    return clients.docker_of(vm.host) if request.param == "docker" else clients.cove_of(vm.host)


def test_an_image_is_pulled_from_a_registry_on_the_host_and_run(client: Client, vm: Vm, registry: str) -> None:
    """In the VM, QEMU's user network makes the host's loopback reachable as 10.0.2.2."""
    reference = f"10.0.2.2:{registry.rpartition(':')[2]}/cvt/busybox:1"
    vm.docker("tag", IMAGE, reference)
    vm.docker("push", reference)
    vm.docker("rmi", reference)
    clients.pulls_and_runs(client, reference)


def test_streams_and_status_are_the_process_s(client: Client) -> None:
    clients.streams_are_the_process_s(client, IMAGE)


def test_a_terminal_has_the_size_of_the_screen(client: Client) -> None:
    clients.a_terminal_has_the_size_of_the_screen(client, IMAGE)


def test_a_container_lives_through_all_its_verbs(client: Client) -> None:
    clients.the_life_of_a_container(client, IMAGE, f"cvt-life-{client.name}")


def test_errors_are_one_line_with_docker_s_status(client: Client) -> None:
    clients.errors_are_one_line_with_docker_s_status(client, IMAGE)
