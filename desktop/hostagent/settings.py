"""What the user may choose of published ports, from the settings file."""

from __future__ import annotations

import json
from pathlib import Path

# For a port without an address of its own, by the word in config.json: "ports": {"publish": "loopback"}.
PUBLISH_ADDRESSES = {"loopback": ("127.0.0.1", "::1"), "all": ("0.0.0.0", "::")}  # the user's choice
DEFAULT_PUBLISH = "loopback"


def publish_addresses(config_file: Path) -> tuple[str, ...]:
    """The addresses that a published port gets for which none was named. Raises ValueError for an invalid setting."""
    try:
        config = json.loads(config_file.read_text())
    except FileNotFoundError:
        config = {}
    except (OSError, ValueError) as e:
        raise ValueError(f"the settings can't be read: {config_file}: {e}") from e
    chosen = config.get("ports", {}) if isinstance(config, dict) else None
    word = chosen.get("publish", DEFAULT_PUBLISH) if isinstance(chosen, dict) else None
    if word not in PUBLISH_ADDRESSES:
        raise ValueError(f"ports.publish in {config_file} must be one of {', '.join(PUBLISH_ADDRESSES)}")
    return PUBLISH_ADDRESSES[word]
