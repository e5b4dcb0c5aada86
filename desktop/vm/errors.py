"""The error of the VM's operations, with a message for the user."""

from __future__ import annotations


class VmError(Exception):
    """The VM can't do what was asked; str() is one line, `hint` what to do next (or "")."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class DiskInUse(VmError):
    """Another QEMU has locked the data disk."""
