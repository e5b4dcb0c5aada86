"""The same Dockerfile gives the same image here as by docker's builders (docs/builds-side-by-side.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builder import alike, peers
from tests.builder.cases import CASES
from tests.builder.peers import BUILDKIT, OUR_BUILDKIT, OUR_CLASSIC
from tests.support.engine import NativeEngine, native_engine

SOME, OTHERS = CASES[::3], CASES[1::3]  # by both wires
FEW = [case for case in CASES if case.name in ("copy-set-id-bits", "add-archives", "metadata")]  # by dockerd too


def test_both_wires_give_the_image_that_buildkit_gave(engine: NativeEngine, tmp_path: Path) -> None:
    """Every third Dockerfile, compared with what was recorded of docker's BuildKit, and between the two wires."""
    made = {BUILDKIT: alike.recorded(), **peers.ours(peers.Site(engine.host, tmp_path), SOME)}
    engine.docker("rmi", "-f", "base", "rich", "triggering")
    assert len(made[OUR_BUILDKIT]) == len(SOME)
    assert [one for one in alike.compare(made, BUILDKIT, OUR_BUILDKIT) if not one.reason] == []
    assert alike.compare(made, OUR_BUILDKIT, OUR_CLASSIC) == []


def test_the_same_with_layers_of_kind_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others of them, on base images that are folders, by an engine whose layers are that, too. The engine of the other
    tests has tars with an index where the kernel mounts them."""
    monkeypatch.setenv("COVE_LAYERS", "dir")
    with native_engine() as own:
        assert "Layers: dir" in own.docker("info").stdout
        made = {BUILDKIT: alike.recorded(), **peers.ours(peers.Site(own.host, tmp_path), OTHERS)}
    assert len(made[OUR_BUILDKIT]) == len(OTHERS)
    assert [one for one in alike.compare(made, BUILDKIT, OUR_BUILDKIT) if not one.reason] == []
    assert alike.compare(made, OUR_BUILDKIT, OUR_CLASSIC) == []


@pytest.mark.skipif(not peers.is_there(), reason="needs root and Debian's runc")
def test_dockerd_s_builders_give_the_same_image(tmp_path: Path) -> None:
    """Some of them by a real dockerd; and what was recorded is still what it gives."""
    made = peers.all_builders(tmp_path, FEW)
    for theirs, ours in alike.PAIRS[:2]:
        assert [one for one in alike.compare(made, theirs, ours) if not one.reason] == []
    known = alike.recorded()
    assert {name: facts for name, facts in known.items() if name in made[BUILDKIT]} == made[BUILDKIT]


def test_the_document_names_each_difference() -> None:
    text = alike.DOCUMENT.read_text()
    assert "**A fault.**" not in text
    assert f"[{len(CASES)} Dockerfiles]" in text
    assert alike.recorded().keys() == {case.name for case in CASES}
