"""The terminal's screen and its colours."""

from __future__ import annotations

import pyte
import pytest

from desktop.ui.containers.terminal import COLOURS, DARK_INK, INK, PAPERS
from desktop.ui.containers.terminal_screen import Screen
from desktop.ui.kit.tokens import contrast


def screen_of(lines: int = 6) -> tuple[Screen, pyte.Stream]:
    screen = Screen(20, lines, 100)
    return screen, pyte.Stream(screen)


def shown(screen: Screen) -> list[str]:
    return [line.rstrip() for line in screen.display]


@pytest.mark.parametrize("mode", [47, 1047, 1049])
def test_the_alternate_screen_gives_the_normal_one_back(mode: int) -> None:
    screen, stream = screen_of()
    stream.feed("one\r\ntwo")
    stream.feed(f"\x1b[?{mode}h\x1b[2J\x1b[H" + "editor\r\n" * 20)
    assert screen.is_alternate
    assert not screen.history.top
    assert "one" not in shown(screen)
    stream.feed(f"\x1b[?{mode}l!")
    assert shown(screen)[:2] == ["one", "two!"]


def test_a_lower_terminal_keeps_the_line_of_the_cursor() -> None:
    screen, stream = screen_of()
    stream.feed("$ typed")
    screen.resize(3, 20)
    stream.feed(" on")
    assert shown(screen) == ["$ typed on", "", ""]


def test_a_lower_terminal_puts_what_is_above_into_the_history() -> None:
    screen, stream = screen_of()
    stream.feed("\r\n".join("abcdef"))
    screen.resize(3, 20)
    assert shown(screen) == ["d", "e", "f"]
    assert ["".join(line[x].data for x in range(1)) for line in screen.history.top] == ["a", "b", "c"]


def test_a_size_changed_in_the_alternate_screen_holds_for_the_normal_one() -> None:
    screen, stream = screen_of()
    stream.feed("\r\n".join("abcdef") + "\x1b[?1049h")
    screen.resize(3, 20)
    stream.feed("\x1b[?1049l!")
    assert shown(screen) == ["d", "e", "f!"]


@pytest.mark.parametrize("paper", [name for name in PAPERS if name not in ("white", "brightwhite")])
def test_light_inks_are_readable_on_coloured_papers(paper: str) -> None:
    inks = {name: COLOURS[name] for name in ("brown", "white", "brightbrown", "brightwhite")}
    assert {name for name, ink in {**inks, "default": INK}.items() if contrast(ink, PAPERS[paper]) < 4.5} == set()


def test_dark_ink_is_readable_on_light_papers() -> None:
    assert min(contrast(DARK_INK, PAPERS[name]) for name in ("white", "brightwhite")) >= 4.5
