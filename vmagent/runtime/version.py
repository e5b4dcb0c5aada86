"""Which version of the OCI runtime specification this runtime speaks."""

from __future__ import annotations

SPEC_VERSION = "1.2.1"
