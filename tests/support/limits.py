"""How long tests wait for what must happen."""

from __future__ import annotations

HANG_S = 240.0
"""After so long a wait counts as a hang. It is no measure of speed: it must not be reached on a machine with ten times
the load it can bear. Shorter limits do not make a passing test faster; they only make it fail where it is slow."""
