"""The methods that `dataclasses` makes for the engine's classes, compiled beforehand.

`dataclasses` writes methods as text and has Python compile them at each import. That is a third of the instructions
by which the engine loads; emulated, it is seconds. The VM's image has their code in a file, made by `guest/build.py`:
what is loaded is what would be compiled, found by its text. A text that the file does not have is compiled as ever.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import marshal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

FILE = Path(__file__).with_name("generated.bin")


@contextmanager
def code(file: Path = FILE) -> Iterator[dict[str, CodeType]]:
    """Within it, dataclasses take their methods from `file`, if that is there and made by this interpreter. Yields what
    had to be compiled. Raises OSError."""
    known = _read(file)
    missing: dict[str, CodeType] = {}

    def run(text: str, names: dict[str, object], into: dict[str, object] | None = None) -> None:
        found = known.get(text)
        if found is None:
            found = missing[text] = compile(text, "<string>", "exec", dont_inherit=True)
        exec(found, names, into)  # as dataclasses would: `text` is its own

    # The module's global name, which comes before the built-in function's.
    vars(dataclasses)["exec"] = run
    try:
        yield missing
    finally:
        del vars(dataclasses)["exec"]


def write(file: Path, compiled: dict[str, CodeType]) -> None:
    """Write what `code` has yielded, for interpreters of this version. Raises OSError."""
    # Version 2 has no references between objects: what is written does not depend on who else holds them.
    file.write_bytes(importlib.util.MAGIC_NUMBER + marshal.dumps(compiled, 2))


def _read(file: Path) -> dict[str, CodeType]:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return {}
    magic = importlib.util.MAGIC_NUMBER
    if not data.startswith(magic):
        return {}
    codes: dict[str, CodeType] = marshal.loads(data[len(magic) :])  # of our own package
    return codes
