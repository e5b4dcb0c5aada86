"""Bars are redrawn in place within a terminal's size; without a terminal they are plain lines."""

from __future__ import annotations

import io
import os

import pyte
import pytest

from desktop.cli.progress import PullView
from desktop.client.engine import PullProgress


class Screen(io.StringIO):
    encoding = "utf-8"  # a terminal's

    def isatty(self) -> bool:
        return True

    def lines(self, columns: int, rows: int) -> list[str]:
        screen = pyte.Screen(columns, rows)
        pyte.Stream(screen).feed(self.getvalue().replace("\n", "\r\n"))
        return [line.rstrip() for line in screen.display if line.strip()]


def _line(layer: str, status: str, current: int = 0, total: int = 0) -> PullProgress:
    return PullProgress(layer, status, current, total, True)


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((70, 8)))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    return 70, 8


def test_layers_are_redrawn_where_they_stand(size: tuple[int, int]) -> None:
    screen = Screen()
    view = PullView(screen)
    view(PullProgress("latest", "Pulling from a/b", 0, 0, False))
    view(_line("aaaaaaaaaaaa", "Downloading", 1_000_000, 4_000_000))
    view(_line("bbbbbbbbbbbb", "Waiting"))
    view(_line("aaaaaaaaaaaa", "Extracting", 2_000_000, 4_000_000))
    assert screen.lines(*size) == [
        "latest: Pulling from a/b",
        f"aaaaaaaaaaaa  Extracting          {'━' * 7}{'─' * 7}  2MB / 4MB",
        "bbbbbbbbbbbb  Waiting",
    ]
    view(PullProgress("", "Status: Downloaded", 0, 0, False))
    view.finish()
    assert screen.lines(*size)[1] == "Status: Downloaded"
    assert len(screen.lines(*size)) == 4


def test_more_layers_than_rows_are_counted(size: tuple[int, int]) -> None:
    screen = Screen()
    view = PullView(screen)
    for number in range(12):
        view(_line(f"{number:012x}", "Pull complete" if number < 5 else "Downloading"))
    shown = screen.lines(*size)
    assert len(shown) == 6
    assert shown[-1] == "and 7 more layers"
    assert not any("Pull complete" in line for line in shown)


def test_a_view_that_does_not_keep_leaves_nothing(size: tuple[int, int]) -> None:
    screen = Screen()
    view = PullView(screen, keep=False)
    view(_line("aaaaaaaaaaaa", "Downloading", 1, 2))
    view.finish()
    assert screen.lines(*size) == []


def test_without_a_terminal_bars_are_left_out() -> None:
    out = io.StringIO()
    view = PullView(out)
    view(_line("aaaaaaaaaaaa", "Pulling fs layer"))
    view(_line("aaaaaaaaaaaa", "Downloading", 1, 2))
    view(_line("aaaaaaaaaaaa", "Pull complete"))
    view.finish()
    assert out.getvalue() == "aaaaaaaaaaaa: Pulling fs layer\naaaaaaaaaaaa: Pull complete\n"
