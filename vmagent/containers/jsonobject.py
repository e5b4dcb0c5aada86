"""The type of a JSON object of the Engine API."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]  # the fields are checked where they are read
