"""The states that glyphs, chips and messages show, from best to worst."""

from __future__ import annotations

from enum import StrEnum

from desktop.ui.kit.words import tr


class State(StrEnum):
    """The state that a row's glyph shows, from best to worst."""

    RUNNING = "running"
    WORKING = "starting"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    UNKNOWN = "unknown"
    PROBLEM = "problem"

    @property
    def token(self) -> str:
        """The colour token of this state."""
        return {
            State.RUNNING: "run",
            State.WORKING: "start",
            State.PAUSED: "pause",
            State.STOPPED: "stop",
            State.DONE: "text2",
            State.UNKNOWN: "text3",
            State.PROBLEM: "bad",
        }[self]

    @property
    def soft(self) -> str:
        token = self.token
        return f"{token}soft" if token in ("run", "start", "pause", "bad", "stop") else "stopsoft"

    @property
    def word(self) -> str:
        return {
            State.RUNNING: tr("Running"),
            State.WORKING: tr("Working"),
            State.PAUSED: tr("Paused"),
            State.STOPPED: tr("Stopped"),
            State.DONE: tr("Done"),
            State.UNKNOWN: tr("Unknown"),
            State.PROBLEM: tr("Problem"),
        }[self]


# The order in which one state represents a group of containers.
WORST_FIRST = (State.PROBLEM, State.UNKNOWN, State.WORKING, State.PAUSED, State.RUNNING, State.STOPPED, State.DONE)
