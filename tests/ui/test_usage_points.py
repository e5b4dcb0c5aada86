"""Rates between points of counters, and the round numbers beside a chart."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from desktop.ui.containers.usage_points import Point, rates, starts
from desktop.ui.kit.chart import Chart, Curve, Plot, ceiling
from desktop.ui.kit.theme import Theme


def point(at_s: float, cpu_ms: int, run: int = 1, sent: int = 0) -> Point:
    return Point(at_s=at_s, run=run, cpu_ns=cpu_ms * 10**6, memory=7, sent=sent)


def test_rates_are_differences_by_time() -> None:
    found = rates([point(0, 0), point(2, 500, sent=300)], 1.0)
    assert [(row.at_s, row.cpu, row.memory, row.sent) for row in found] == [(2, 25.0, 7, 150.0)]


def test_a_new_start_and_a_pause_are_gaps() -> None:
    points = [point(0, 0), point(1, 100), point(2, 50, run=2), point(3, 150, run=2), point(60, 200, run=2)]
    assert [row.cpu for row in rates(points, 1.0)] == [10.0, None, 10.0, None]
    assert starts(points) == [2]


@pytest.mark.parametrize(
    ("value", "base", "top"),
    [
        (0.3, 1000, 0.4),
        (2, 1000, 2),
        (3, 1000, 4),
        (90, 1000, 100),
        (1_300, 1000, 2_000),
        (600 * 1024, 1024, 800 * 1024),
    ],
)
def test_the_top_of_a_chart_is_round(value: float, base: int, top: float) -> None:
    assert ceiling(value, base) == pytest.approx(top)


def test_the_peak_is_that_of_the_time_that_is_shown(qtbot: QtBot) -> None:
    chart = Chart(Theme("light"), "CPU", "{:g}".format)
    qtbot.addWidget(chart)
    curve = Curve("CPU", "c1", [90.0, 2.0, 3.0])
    chart.tell(Plot(begin_s=5, end_s=20, times=[0, 10, 20], curves=[curve]))
    assert chart.accessibleName() == "CPU: 3, peak 3"
    chart.tell(Plot(begin_s=0, end_s=20, times=[0, 10, 20], curves=[curve]))
    assert chart.accessibleName() == "CPU: 3, peak 90"
