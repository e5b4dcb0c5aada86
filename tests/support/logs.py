"""What is logged at WARNING or above while a test runs: in this process, and by the engines that tests start."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

_LEVEL = re.compile(r"\blevel=(?:warning|error|critical)\b")
_EVENT = re.compile(r'\bevent=("(?:[^"\\]|\\.)*"|\S+)')
_SHOWN = 2_000  # characters of one record
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True, slots=True)
class Record:
    """One record: `event` is structlog's event, or the message."""

    event: str
    text: str


class _Handler(logging.Handler):
    def __init__(self, found: list[Record]) -> None:
        super().__init__(logging.WARNING)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self._found.append(Record(message, f"{record.name}: {record.levelname}: {message}"[:_SHOWN]))


@dataclass
class Logs:
    """The records since the last `take`, and how far each watched file has been read."""

    _found: list[Record] = field(default_factory=list)
    _offsets: dict[Path, int] = field(default_factory=dict)

    def install(self) -> None:
        """Take the records of `logging` and structlog in this process."""
        logging.getLogger().addHandler(_Handler(self._found))
        structlog.configure(
            processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, self._take_event],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            cache_logger_on_first_use=False,
        )

    def _take_event(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        if event["level"] not in ("debug", "info"):
            self._found.append(Record(str(event["event"]), str(dict(event))[:_SHOWN]))
        return str(dict(event))

    def watch(self, file: Path) -> None:
        """From now on the records of the engine that writes `file` count."""
        self._offsets.setdefault(file, 0)

    def end(self, file: Path) -> None:
        """Read what is left of `file`, which is about to be removed."""
        self._read(file)
        self._offsets.pop(file, None)

    def take(self) -> list[Record]:
        """The records since the last call."""
        for file in self._offsets:
            self._read(file)
        found = list(self._found)
        self._found.clear()
        return found

    def _read(self, file: Path) -> None:
        if not file.exists():
            return
        with file.open("rb") as log:
            log.seek(self._offsets.get(file, 0))
            data = log.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offsets[file] = self._offsets.get(file, 0) + len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if _LEVEL.search(line) or line.startswith(_TRACEBACK):
                event = _EVENT.search(line)
                self._found.append(Record(event[1].strip('"') if event else line, f"{file}: {line}"[:_SHOWN]))


LOGS = Logs()
