"""What one engine pushes runs under the others: ours, dockerd and podman see the same tree in each image."""

from __future__ import annotations

import pytest

from tests.images.exchange import COVE, DOCKER, FORMS, PODMAN, Seen, exchanged
from tests.security.peers import is_there

pytestmark = pytest.mark.timeout(2000)  # the fixture, for whichever test comes first


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    if not is_there():
        pytest.skip("no dockerd on this machine")
    return exchanged(tmp_path_factory.mktemp("exchange"))


@pytest.mark.parametrize("maker", [DOCKER, PODMAN, COVE])
def test_an_image_of_any_engine_shows_the_same_tree_under_all(seen: Seen, maker: str) -> None:
    by_docker, by_podman, by_us = (seen[maker][runner] for runner in (DOCKER, PODMAN, COVE))
    assert by_us[0] == "hello", "its command ran with its environment"
    assert by_us == by_docker
    assert by_us == by_podman


@pytest.mark.parametrize("form", FORMS)
def test_archives_go_from_podman_to_us_and_back(seen: Seen, form: str) -> None:
    assert seen[form][COVE] == seen[PODMAN][COVE]
    assert seen[form][PODMAN] == seen[PODMAN][PODMAN]


def test_the_trees_have_what_their_layers_say(seen: Seen) -> None:
    """Else all could be wrong alike."""
    found = {line.partition(" ")[0]: line.partition(" ")[2] for line in seen[COVE][COVE][1:]}
    assert found["made/tool"].startswith("regular file 4755 0 0 ")
    assert found["made/sticky"] == "directory 1777 0 0"
    assert found["made/group"] == "directory 2750 7 8"
    assert found["made/link"] == "symbolic link 0 0 ../etc/passwd"
    assert found["made/file"].startswith("regular file 640 1000 50 10 ")
    assert found["made/fifo"] == "fifo 644 0 0"
    assert {"made/swapped/five", "made/deep/er/four", "made/kept"} <= found.keys()
    assert not {"made/gone", "made/kept/two", "made/empty", "made/swapped/three"} & found.keys()
    assert found["made/" + "n" * 200].startswith("regular empty file")
