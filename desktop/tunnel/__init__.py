"""Byte streams from the host into the VM, over whatever carries them."""
