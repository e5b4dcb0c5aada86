"""Progress of `cove compose`: one line for each container, network, volume and image; redrawn on a terminal."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from desktop.cli.app import Failure

_DONE = (
    "Created", "Started", "Running", "Healthy", "Exited", "Removed", "Stopped", "Killed", "Recreated", "Pulled",
    "Built", "Pushed", "Skipped", "Paused", "Unpaused", "Copied",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """How output looks: `progress` is auto, tty, plain or quiet; `colours` of logs, None: those of a terminal."""

    progress: str = "auto"
    colours: bool | None = None

    @classmethod
    def of(cls, ansi: str, progress: str, environ: Mapping[str, str]) -> Look:
        """From `--ansi` and `--progress`, empty where they are not given, by docker compose's rules. Raises Failure."""
        ansi = ansi or environ.get("COMPOSE_ANSI", "auto")
        progress = progress or environ.get("COMPOSE_PROGRESS") or "auto"
        if environ.get("NO_COLOR"):
            ansi = "never"
        if progress == "auto":
            progress = {"never": "plain", "always": "tty"}.get(ansi, "auto")
        elif progress == "tty" and ansi == "never":
            raise Failure("can't use --progress tty while ANSI support is disabled")
        elif progress == "plain" and ansi == "always":
            raise Failure("can't use --progress plain while ANSI support is forced")
        elif progress == "none":
            progress = "quiet"
        if progress not in ("auto", "tty", "plain", "quiet"):
            raise Failure(f'unsupported --progress value "{progress}"')
        return cls(progress, {"never": False, "always": True}.get(ansi))


class Progress:
    """Call it with what something is and what becomes of it. Thread-safe; use it as a context manager."""

    def __init__(self, out: TextIO, look: Look, *, quiet: bool = False, prefix: str = "") -> None:
        """`prefix` begins each line."""
        self._out = out
        self._quiet = quiet or look.progress == "quiet"
        self._prefix = prefix
        self._is_terminal = look.progress == "tty" or (look.progress == "auto" and out.isatty())
        self._lock = threading.Lock()
        self._states: dict[str, tuple[str, float, float]] = {}  # status, first and last change
        self._drawn = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Draw no longer over what is there."""
        with self._lock:
            self._drawn = 0
            self._states.clear()

    def __call__(self, what: str, status: str, text: str = "") -> None:
        """`text` comes between the two: docker compose says there what is copied."""
        if self._quiet:
            return
        self._tell([(what, status, text)])

    def tell_all(self, reports: Sequence[tuple[str, str]]) -> None:
        """Several calls in one write."""
        if reports and not self._quiet:
            self._tell([(what, status, "") for what, status in reports])

    def _tell(self, reports: Sequence[tuple[str, str, str]]) -> None:
        with self._lock:
            now = time.monotonic()
            for what, status, text in reports:
                began = self._states[what][1] if what in self._states else now
                self._states[what] = (f"{text} {status}".strip(), began, now)
            if self._is_terminal:
                self._draw()
            else:
                self._out.write("".join(f"{self._prefix} {what} {text} {status}\n" for what, status, text in reports))
                self._out.flush()

    def warn(self, sentence: str) -> None:
        """A line between the others."""
        with self._lock:
            self._wipe()
            print(f"WARNING: {sentence}", file=self._out, flush=True)
            if self._is_terminal and self._states:
                self._draw()

    def say(self, line: str) -> None:
        """A line of a build, between the others."""
        if self._quiet:
            return
        with self._lock:
            self._wipe()
            print(line, file=self._out, flush=True)
            if self._is_terminal and self._states:
                self._draw()

    def _wipe(self) -> None:
        if self._drawn:
            self._out.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        columns, lines = shutil.get_terminal_size()
        done = sum(_is_done(status) for status, _, _ in self._states.values())
        room = max(1, lines - 2)
        shown = list(self._states.items())
        if len(shown) > room:  # those that have ended may go first
            shown = sorted(shown, key=lambda item: _is_done(item[1][0]))[:room]
        rows = [f"[+] Running {done}/{len(self._states)}"]
        width = max(len(what) for what, _ in shown) + 2
        for what, (status, began, last) in shown:
            mark = "✔" if _is_done(status) else "⠿"
            rows.append(f"{self._prefix} {mark} {what:<{width}}{status:<12}{last - began:6.1f}s")
        self._wipe()
        self._out.write("".join(f"{row[: columns - 1]}\n" for row in rows))
        self._out.flush()
        self._drawn = len(rows)


def _is_done(status: str) -> bool:
    return status.rpartition(" ")[2] in _DONE
