"""The code of dataclasses' methods that the VM's image brings along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.limits import HANG_S

WRITE = """
import sys
from pathlib import Path
from vmagent import generated
with generated.code() as compiled:
    from vmagent import serving
generated.write(Path(sys.argv[1]), compiled)
"""
LOAD = """
import sys
from pathlib import Path
from vmagent import generated
with generated.code(Path(sys.argv[1])) as missing:
    from vmagent import serving
from vmagent.containers.model import State
print(len(missing), State() == State(), State(pid=7))
"""
PLAIN = """
from vmagent.containers.model import State
print(State.__init__.__annotations__)
"""
GENERATED = """
import sys
from pathlib import Path
from vmagent import generated
with generated.code(Path(sys.argv[1])):
    from vmagent.containers.model import State
print(State.__init__.__annotations__)
"""


def _run(code: str, file: Path) -> str:
    command = [sys.executable, "-c", code, str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG_S).stdout


def test_the_engine_compiles_none_of_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "generated"
    compiled = _run(LOAD, tmp_path / "absent").split(maxsplit=1)
    _run(WRITE, file)
    loaded = _run(LOAD, file).split(maxsplit=1)
    assert int(compiled[0]) > 100
    assert loaded == ["0", compiled[1]], "the same classes, and nothing compiled"


def test_methods_have_the_annotations_that_dataclasses_give_them(tmp_path: Path) -> None:
    assert _run(GENERATED, tmp_path / "absent") == _run(PLAIN, tmp_path / "absent")


def test_two_writes_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _run(WRITE, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_file_of_another_interpreter_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "generated"
    _run(WRITE, file)
    file.write_bytes(b"\0\0\0\0" + file.read_bytes()[4:])
    assert int(_run(LOAD, file).split()[0]) > 100
