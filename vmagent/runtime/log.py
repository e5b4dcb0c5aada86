"""The log of `cove-runtime`, in the two forms that OCI engines read, and its error message on stderr."""

from __future__ import annotations

import json
import sys
import time


class Log:
    """Appends to `path` ("" or /dev/stderr: stderr) as text or JSON lines."""

    def __init__(self, path: str, kind: str) -> None:
        self._path = "" if path == "/dev/stderr" else path
        self._is_json = kind == "json"

    def warning(self, text: str) -> None:
        if self._path:
            self._append("warning", text)
        else:
            sys.stderr.write(self._line("warning", text))

    def fail(self, text: str) -> None:
        if self._path:
            self._append("error", text)
        sys.stderr.write(f"cove-runtime: {text}\n")

    def _append(self, level: str, text: str) -> None:
        with open(self._path, "a", encoding="utf-8") as log:
            log.write(self._line(level, text))

    def _line(self, level: str, text: str) -> str:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._is_json:
            return json.dumps({"level": level, "msg": text, "time": now}) + "\n"
        return f"time={json.dumps(now)} level={level} msg={json.dumps(text)}\n"
