"""Fixtures that every area of the tests shares: a native engine with a busybox image, a registry, the real clients."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.engine import NativeEngine, native_engine
from tests.support.leaks import HOLDINGS, Held, Holdings
from tests.support.logs import LOGS, Logs
from tests.support.parallel import ByFile
from tests.support.registry import registry as start_registry
from tests.support.tools import busybox_tar as write_busybox_tar
from vmagent.native.build import main as build_native

IMAGE = "busybox:latest"


class _WiderFixtures:
    """What a wider fixture makes while a test runs is not a leak of that test.

    A plugin of its own: a hook in a conftest is not called for the fixtures of the session.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Iterator[None]:
        if fixturedef.scope == "function" or fixturedef.argname in ("holdings", "module_leaks_nothing"):
            return (yield)
        before = HOLDINGS.all()
        try:
            return (yield)
        finally:
            made = HOLDINGS.all() - before
            HOLDINGS.of_module |= made
            if fixturedef.scope == "session":
                HOLDINGS.of_session |= made


@pytest.hookimpl(optionalhook=True)  # `-p no:xdist`
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The VM's tests come first: with several workers, they are the longest part."""
    items.sort(key=lambda item: item.path.parent.name != "vm")  # a stable sort


def pytest_configure(config: pytest.Config) -> None:
    os.environ["COVE_WARM"] = "0"  # a warm server would outlive its test
    # A shell starts what is in its background without it, and programs that tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Hypothesis' own limits on the time of an example and of its making say how busy the machine is.
    settings.register_profile("cove", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("cove")
    config.pluginmanager.register(_WiderFixtures())


@pytest.fixture(scope="session", autouse=True)
def holdings(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    HOLDINGS.install(tmp_path_factory.getbasetemp())
    return HOLDINGS


@pytest.fixture(scope="module", autouse=True)
def module_leaks_nothing(request: pytest.FixtureRequest, holdings: Holdings) -> Iterator[None]:
    """Descriptors, processes, mounts and cgroups that this run made: as many after the module as before.

    Except for the modules that start the session's VM anew, or its host agent.
    """
    holdings.of_module = set(holdings.of_session)
    before = holdings.all()
    yield
    anew = ("test_vm.py", "test_folders.py", "test_surroundings.py")
    if request.path.parent.name != "vm" or request.path.name not in anew:
        _report_leaks("the module", holdings.left(holdings.all, before | holdings.of_session))


@pytest.fixture(autouse=True)
def each_test_leaks_nothing(holdings: Holdings, module_leaks_nothing: None) -> Iterator[None]:
    """The same after each test but for processes, which take 15 ms to list."""
    before = holdings.quick()
    yield
    _report_leaks("the test", holdings.left(holdings.quick, before | holdings.of_module))


def _report_leaks(who: str, left: set[Held]) -> None:
    assert not left, f"{who} left behind:\n" + "\n".join(f"{held.kind} {held.what}" for held in sorted(left))


@pytest.fixture(scope="session", autouse=True)
def logs() -> Iterator[Logs]:
    """The records at WARNING or above, which `expected_logs` looks at after each test."""
    LOGS.install()
    yield LOGS
    LOGS.take()


@pytest.fixture(autouse=True)
def expected_logs(request: pytest.FixtureRequest, logs: Logs) -> Iterator[None]:
    """A record at WARNING or above fails the test, unless a marker `logs` names its event (a regular expression)."""
    yield
    allowed = [re.compile(event) for mark in request.node.iter_markers("logs") for event in mark.args]
    stray = [record.text for record in logs.take() if not any(each.search(record.event) for each in allowed)]
    assert not stray, "logged at WARNING or above:\n" + "\n".join(stray)


@pytest.fixture(scope="session", autouse=True)
def native_programs() -> None:
    """The programs are built from the sources as they are: a spawner of other sources would be refused."""
    build_native()


@pytest.fixture(scope="session", autouse=True)
def home_of_nobody() -> Iterator[None]:
    """No test touches the user's own home of Cove, nor starts a host agent by the way."""
    home = Path(tempfile.mkdtemp(prefix="cvh-"))
    before = {name: os.environ.pop(name, None) for name in ("COVE_HOME", "COVE_HOST", "COVE_CONTEXT", "DOCKER_HOST")}
    os.environ["COVE_HOME"] = str(home)
    yield
    del os.environ["COVE_HOME"]
    os.environ.update({name: value for name, value in before.items() if value is not None})
    started = (home / "host.lock").exists()
    shutil.rmtree(home)
    assert not started, "a test started a host agent in the home of nobody"


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A test fails if the loop of an engine made a call that may wait for a disk (vmagent.blocking)."""
    yield
    for one in list(NativeEngine.started):
        one.blocking.check()


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system tar of the static busybox."""
    return write_busybox_tar(tmp_path_factory.mktemp("busybox") / "busybox.tar")


@pytest.fixture(scope="session")
def engine(busybox_tar: Path) -> Iterator[NativeEngine]:
    """One native engine for the session, with the image busybox:latest. Tests remove the containers they make."""
    with native_engine() as made:
        made.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        yield made


@pytest.fixture
def own_engine(busybox_tar: Path) -> Iterator[NativeEngine]:
    """An engine of the test's own, to be killed and restarted at will; it has busybox:latest too."""
    with native_engine() as made:
        made.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        yield made


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of an empty docker-registry on loopback."""
    with start_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address
