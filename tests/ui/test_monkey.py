"""A short game of the monkey (tests/ui/monkey); `python -m tests.ui.monkey` plays long ones."""

from __future__ import annotations

import os
from pathlib import Path

from tests.ui.monkey.monkey import COMMANDS, KEYS, SHORTCUTS, WORDS
from tests.ui.monkey.play import play
from tests.ui.monkey.stage import stage
from tests.ui.screen import open_screen

ACTIONS = int(os.environ.get("COVE_MONKEY_ACTIONS", "150"))
SEED = int(os.environ.get("COVE_MONKEY_SEED", "1"))  # the same actions in each run, so far as the engine is as quick


def test_the_monkeys_words_and_keys_are_on_the_keyboard() -> None:
    with open_screen() as screen:
        for word in (*WORDS, *COMMANDS):
            screen.type(word)
        for names in [*((key,) for key in KEYS), *SHORTCUTS]:
            screen.key(names[-1], *names[:-1])


def test_random_clicks_and_keys_break_nothing_and_delete_nothing_unnamed(busybox_tar: Path, tmp_path: Path) -> None:
    print(f"seed {SEED}, {ACTIONS} actions")
    with open_screen() as screen, stage(busybox_tar) as engine:
        outcome = play(engine, screen, tmp_path, busybox_tar, ACTIONS, SEED)
    assert outcome.is_well, f"seed {SEED}: {outcome}\n{outcome.last}"
