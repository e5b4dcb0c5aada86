"""Saved states of the VM on this machine's disk: a folder with the state, and a record of what it fits.

The record is written last and removed first, so a state without one is waste of a save that was cut short.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from desktop.platform.base import LocalAddress
from desktop.tunnel.keys import KeyFiles
from desktop.vm.command import Files, Hardware, vm_command
from desktop.vm.errors import VmError
from desktop.vm.image import GuestImage
from desktop.vm.qemu import Qemu
from desktop.vm.start.stream import take_memory

_SCHEMA = 1
_RECORD = "record.json"


def fingerprint(qemu: Qemu, image: GuestImage, hardware: Hardware, keys: KeyFiles) -> dict[str, str]:
    """All that a saved state depends on, by its name for the user. The engine is part of the guest image; sshd has read
    its keys before the save. Raises OSError."""
    nowhere = LocalAddress(Path("/"))
    files = Files(image._replace(folder=Path("/")), Path("/"), Path("/"), nowhere, nowhere, nowhere)
    command = vm_command(Path("/"), hardware, files)
    return {
        "QEMU": qemu.identity,
        "guest image": image.key,
        "machine": _digest(json.dumps([command, hardware]).encode()),
        "set of keys": _digest(keys.host.read_bytes() + keys.client_public.read_bytes()),
    }


class SavedState:
    """A folder of one saved state; QEMU's part of it is `state`. The methods access files: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.state = folder / "state"
        self.memory = folder / "memory"  # the guest's memory, where `part` has taken it out of `state`
        self._record = folder / _RECORD

    def exists(self) -> bool:
        """Whether there is something to use or to drop."""
        return self._folder.exists()

    def clear(self) -> None:
        """An empty folder for a new save, open to its owner alone. Raises OSError."""
        self.drop()
        self._folder.mkdir(mode=0o700)

    def finish(self, fits: Mapping[str, str], *files: Path) -> None:
        """Flush the state to the disk and write the record. `files` are what it depends on besides: they must
        not change either. Raises OSError."""
        own = [path for path in (self.state, self.memory) if path.exists()]
        for path in own:
            with open(path, "rb") as written:
                os.fsync(written.fileno())
        stamps = {str(path): _stamp(path) for path in (*own, *files)}
        half = self._record.with_suffix(".new")
        with open(half, "w", encoding="utf-8") as out:
            json.dump({"schema": _SCHEMA, "fits": dict(fits), "stamps": stamps}, out)
            out.flush()
            os.fsync(out.fileno())
        half.replace(self._record)

    def part(self, block: str) -> None:
        """Take the guest's memory, which QEMU calls `block`, out of a new `state` into a file that can be mapped.
        Raises OSError, UnknownStream: `state` is as it was."""
        rest = self._folder / "rest"
        try:
            take_memory(self.state, block, self.memory, rest)
        except BaseException:
            self.memory.unlink(missing_ok=True)
            rest.unlink(missing_ok=True)
            raise
        rest.replace(self.state)

    def check(self, fits: Mapping[str, str]) -> None:
        """Raises VmError with the reason if the state can't be used."""
        try:
            record = json.loads(self._record.read_text())
            made, stamps = dict(record["fits"]), dict(record["stamps"])
            if record["schema"] != _SCHEMA:
                raise VmError("another version of Cove wrote it")
        except FileNotFoundError:
            raise VmError("its save was cut short") from None
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise VmError(f"its record is damaged: {e}") from e
        for name, value in fits.items():
            if made.get(name) != value:
                raise VmError(f"it was made with another {name}")
        for path, stamp in stamps.items():
            try:
                found = _stamp(Path(path))
            except OSError as e:
                raise VmError(f"{path} is missing: {e.strerror}") from e
            if found != stamp:
                raise VmError(f"{path} was changed since")

    def consume(self) -> None:
        """Remove the record alone: from now on nobody may use this state again. Raises OSError."""
        self._record.unlink()

    def drop(self) -> None:
        """Remove all of it. Raises OSError."""
        if self._folder.exists():
            self._record.unlink(missing_ok=True)
            shutil.rmtree(self._folder)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stamp(path: Path) -> list[int]:
    """Another value if the file was written or replaced."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]
