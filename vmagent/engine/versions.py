"""What the engine calls itself, and the Engine API versions it speaks."""

from __future__ import annotations

ENGINE_VERSION = "0.1.0"

# From 1.52 on, answers lose fields that much old code still reads at "newest" (`NetworkSettings.IPAddress`, an event's
# `status`), so 1.51 is the newest shape that is right and tolerable to everyone.
API_VERSION = "1.51"
# dockerd 29 raised its minimum and broke Testcontainers and others; serving the old ones costs us a few lines.
MIN_API_VERSION = "1.24"
