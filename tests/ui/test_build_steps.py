"""The list of a running build's steps: what is selected stays while steps are added."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from desktop.client.builds import Step
from desktop.ui.builds.steps import StepsView
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def step(name: str) -> Step:
    return Step(id=name, name=name, inputs=(), cached=False, started_s=1.0, ended_s=2.0, error="")


@pytest.fixture
def steps(theme: Theme, icons: Icons, qtbot: QtBot) -> StepsView:
    view = StepsView(theme, icons)
    qtbot.addWidget(view)
    view.resize(400, 200)
    view.show()
    return view


@pytest.mark.parametrize(
    "added",
    [
        ["[base 3/3] RUN three"],  # below
        ["[internal] load build context"],  # in front, with heads of both stages
        ["exporting to image", "[last 1/2] RUN four", "[base 1/3] RUN another"],
    ],
)
def test_what_is_selected_stays_when_steps_are_added(steps: StepsView, added: list[str]) -> None:
    first = [f"[base 1/3] RUN {n}" for n in range(30)]
    steps.add([step(name) for name in first])
    steps.view.setCurrentIndex(steps.model.index(20))
    scrolled = steps.view.verticalScrollBar().value()
    assert scrolled
    for name in added:
        steps.add([step(name)])
    row = steps.model.rows[steps.view.currentIndex().row()]
    assert row.step is not None
    assert row.step.id == first[20]
    assert steps.view.selectionModel().isSelected(steps.view.currentIndex())
    assert steps.view.verticalScrollBar().value() >= scrolled
    assert {r.step.id for r in steps.model.rows if r.step is not None} == {*first, *added}


def test_steps_of_another_build_take_the_place_of_all(steps: StepsView) -> None:
    steps.add([step("[1/2] RUN one"), step("[2/2] RUN two")])
    steps.view.setCurrentIndex(steps.model.index(1))
    steps.clear()
    steps.add([step("[1/2] RUN other")])
    assert [row.text for row in steps.model.rows] == ["RUN other"]
    assert not steps.view.currentIndex().isValid()
