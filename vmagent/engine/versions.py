"""The engine's version, and the range of Engine API versions that it serves."""

from __future__ import annotations

ENGINE_VERSION = "0.1.0"
# Clients compare the server's version with the docker releases that they know, and refuse one that is too old or does
# not parse. This is the release that has the same API version.
DOCKER_VERSION = "28.3.3"

# From 1.52 on, replies lack fields that many clients read although they ask for the newest version
# (`NetworkSettings.IPAddress`, an event's `status`). So 1.51 is the newest version that works with all of them.
API_VERSION = "1.51"
# dockerd 29 raised its minimum, and Testcontainers and others failed. Serving old versions takes only a few lines.
MIN_API_VERSION = "1.24"
