"""Display of a pull and of the five steps of a run: bars that are redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, TextIO

from desktop.client.run import Step, StepState

if TYPE_CHECKING:
    from desktop.client.engine import PullProgress

_BAR = 28
_REDRAW_S = 0.05
_ID = 12
_BESIDE_BAR = 56  # columns: ID, status, and the two sizes
_PAST = {"Pull complete", "Already exists", "Download complete", "Pushed", "Layer already exists"}


class PullView:
    """Draws the lines of a pull to `out` as they come; call `finish` at the end, whatever the end was.

    `keep`: leave the layers' last state on the screen (as `docker pull` does) instead of wiping them.
    """

    def __init__(self, out: TextIO, *, keep: bool = True, indent: str = "") -> None:
        self._out = out
        self._keep = keep
        self._indent = indent
        self._is_terminal = out.isatty()
        self._layers: dict[str, PullProgress] = {}
        self._drawn = 0
        self._drawn_at = 0.0
        encoding = (getattr(out, "encoding", "") or "ascii").lower()
        self._full, self._empty = ("━", "─") if encoding.startswith("utf") else ("=", "-")

    def __call__(self, line: PullProgress) -> None:
        if not self._is_terminal:
            if not line.is_progress or not line.total:
                text = f"{line.id}: {line.status}" if line.id else line.status
                print(self._indent + text, file=self._out, flush=True)
            return
        if line.is_progress and line.id:
            is_news = line.id not in self._layers or self._layers[line.id].status != line.status
            self._layers[line.id] = line
            if is_news or time.monotonic() - self._drawn_at >= _REDRAW_S:
                self._draw()
        elif self._keep:
            self._wipe()
            print(f"{line.id}: {line.status}" if line.id else line.status, file=self._out)
            self._draw()

    def finish(self) -> None:
        if self._is_terminal:
            self._wipe()
            if self._keep:
                self._draw()
            self._drawn = 0
            self._out.flush()

    def _wipe(self) -> None:
        if self._drawn:
            self._out.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        if not self._layers:
            return
        size = shutil.get_terminal_size()
        shown = list(self._layers.values())
        room = max(1, size.lines - 3)
        hidden = len(shown) - room
        if hidden > 0:  # more layers than lines: leave out finished ones first
            shown = sorted(shown, key=lambda layer: layer.status in _PAST)[:room]
        bar = max(4, min(_BAR, size.columns - len(self._indent) - _BESIDE_BAR))
        rows = [self._row(layer, bar)[: size.columns - 1] for layer in shown]
        if hidden > 0:
            rows.append(f"{self._indent}and {hidden} more layers")
        back = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._out.write(back + "".join(f"\r{row}\x1b[K\n" for row in rows) + "\x1b[J")
        self._out.flush()
        self._drawn, self._drawn_at = len(rows), time.monotonic()

    def _row(self, layer: PullProgress, width: int) -> str:
        head = f"{self._indent}{layer.id:<{_ID}}  {layer.status:<18}"
        if not layer.total:
            return head.rstrip()
        filled = min(width, width * layer.current // layer.total)
        bar = self._full * filled + self._empty * (width - filled)
        return f"{head}  {bar}  {human_size(layer.current)} / {human_size(layer.total)}"


class StepView:
    """The five steps on stderr. Unless `always`, they are shown only if the image has to be pulled.

    On a terminal each step is one line, the pull's layers below it while they come; elsewhere plain lines, and without
    `always` those that docker prints.
    """

    def __init__(self, image: str, *, always: bool, quiet: bool) -> None:
        self._out = sys.stderr
        self._image = image
        self._always = always
        self._quiet = quiet
        self._in_steps = (always or self._out.isatty()) and not quiet
        self._shown = always and not quiet
        self._waiting: list[Step] = []
        self._pull: PullView | None = None
        self._pull_line_stands = False

    def step(self, step: Step) -> None:
        if self._quiet:
            return
        if step.name == "pull" and step.state is StepState.RUNNING:
            self._begin_pull()
        elif step.name == "pull" and self._pull is not None:
            self._pull.finish()
            self._pull = None
        if step.state is StepState.RUNNING or not self._in_steps:
            return
        if self._shown:
            self._print(step)
        else:
            self._waiting.append(step)

    def layer(self, line: PullProgress) -> None:
        if self._pull is not None:
            self._pull(line)

    def close(self) -> None:
        if self._pull is not None:
            self._pull.finish()

    def _begin_pull(self) -> None:
        if self._in_steps:
            self._shown = True
            for step in self._waiting:
                self._print(step)
            self._waiting.clear()
            if self._out.isatty():
                columns = shutil.get_terminal_size().columns
                print(f"  2 pull    from {self._image}"[: columns - 1], file=self._out, flush=True)
                self._pull_line_stands = True
        else:
            from desktop.client import reference

            print(f"Unable to find image '{reference.parse(self._image)}' locally", file=self._out, flush=True)
        self._pull = PullView(self._out, keep=not self._in_steps, indent="      " if self._in_steps else "")

    def _print(self, step: Step) -> None:
        mark = {StepState.DONE: human_ms(step.ms), StepState.SKIPPED: "-", StepState.FAILED: "failed"}[step.state]
        row = f"  {step.number} {step.name:<7} {mark:>9}  {step.detail if step.state is not StepState.FAILED else ''}"
        if step.name == "pull" and self._pull_line_stands:
            self._pull_line_stands = False
            self._out.write("\x1b[1A\x1b[J")  # replace the line that was shown while the step was under way
        print(row.rstrip(), file=self._out, flush=True)


def human_size(size: float) -> str:
    """Bytes in base 1000 with three or four figures, as docker writes them: 1.98MB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.4g}{unit}" if unit != "B" else f"{size:.0f}B"
        size /= 1000
    raise AssertionError


def human_ms(ms: float) -> str:
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
