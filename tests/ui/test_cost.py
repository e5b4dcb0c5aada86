"""The Cost page: its figures are those of the engine, and lead to the pages of what causes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

HELD = 24 << 20


def test_memory_processor_and_disk_are_told_by_what_uses_them(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    label = "com.docker.compose.project=ui-shop"
    busy = f"head -c {HELD} /dev/zero > /dev/shm/held; while :; do :; done"
    named("ui-busy", "sh", "-c", busy, flags=("--cpus", "0.2", "--shm-size", "64m"))
    for name in ("ui-shop-a", "ui-shop-b"):
        named(name, "sleep", "1000", flags=("--label", label))
    window = open_window(engine)
    window.containers.wait_until_uses("ui-busy", HELD)
    window.go("cost")
    window.cost.wait_until_measured()
    parts = window.cost.parts()
    assert parts["memory"]["ui-busy"] >= HELD
    assert "ui-shop" in parts["memory"], f"a project counts as one: {parts['memory']}"
    assert parts["cpu"]["ui-busy"] > 0
    with engine.client() as client:
        assert parts["disk"]["Images"] == client.disk_usage("image")["LayersSize"]
    assert "ui-busy" in window.cost.said("memory")
    assert {"Measure again", "ui-busy", "Images", "Measure it"} <= set(window.cost.tab_stops())
    engine.docker("rm", "-f", "ui-busy")
    window.containers.wait_until_gone("ui-busy")
    window.cost.measure_again()
    assert "ui-busy" not in window.cost.parts()["memory"]
    window.cost.choose("Images")
    assert window.page == "images"


def test_a_start_is_measured_on_request_and_leaves_nothing(engine: NativeEngine, open_window: OpenWindow) -> None:
    before = engine.docker("ps", "-aq").stdout
    window = open_window(engine)
    window.go("cost")
    window.cost.wait_until_measured()
    assert window.cost.measure_starts().endswith(("ms", "s"))
    assert engine.docker("ps", "-aq").stdout == before
