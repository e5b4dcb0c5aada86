"""The real docker command line and our own against the native engine, with a real registry on loopback."""

from __future__ import annotations

import pytest

from tests.support import clients
from tests.support.clients import Client
from tests.support.engine import NativeEngine

IMAGE = "busybox:latest"


@pytest.fixture(params=["docker", "cove"])
def client(request: pytest.FixtureRequest, engine: NativeEngine) -> Client:
    return clients.docker_of(engine.host) if request.param == "docker" else clients.cove_of(engine.host)


@pytest.fixture(scope="module")
def served(engine: NativeEngine, registry: str) -> str:
    """The reference of a busybox image that the registry holds and the engine does not."""
    reference = f"{registry}/cvt/busybox:1"
    engine.docker("tag", IMAGE, reference)
    engine.docker("push", reference)
    return reference


def test_an_image_is_pulled_and_run(client: Client, served: str, engine: NativeEngine) -> None:
    engine.docker("rmi", "-f", served, check=False)
    clients.pulls_and_runs(client, served)


def test_streams_and_status_are_the_process_s(client: Client) -> None:
    clients.streams_are_the_process_s(client, IMAGE)


def test_a_terminal_has_the_size_of_the_screen(client: Client) -> None:
    clients.a_terminal_has_the_size_of_the_screen(client, IMAGE)


def test_a_container_lives_through_all_its_verbs(client: Client) -> None:
    clients.the_life_of_a_container(client, IMAGE, f"cvt-life-{client.name}")


def test_errors_are_one_line_with_docker_s_status(client: Client) -> None:
    clients.errors_are_one_line_with_docker_s_status(client, IMAGE)
