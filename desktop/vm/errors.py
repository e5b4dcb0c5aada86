"""The error of the VM's operations, with a message for the user."""

from __future__ import annotations


class VmError(Exception):
    """The VM can't do what was asked; str() is one line, `hint` what to do next (or ""), `lines` what its console said
    about it."""

    def __init__(self, message: str, hint: str = "", lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.lines = lines


class DiskInUse(VmError):
    """Another QEMU has locked the data disk."""


class KernelPanic(VmError):
    """The guest's kernel panicked."""


class NoProgress(VmError):
    """The guest has not reported the step that was waited for."""


class NotAnswering(VmError):
    """QEMU lives, but does not reply."""
