from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.folders import SharedFolder


@pytest.fixture(scope="module")
def module_shared() -> Iterator[SharedFolder]:
    made = SharedFolder()
    yield made
    made.close()


@pytest.fixture
def shared(module_shared: SharedFolder) -> SharedFolder:
    return module_shared
