"""What the user may choose of the agent's services, from the settings file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from desktop.platform.base import Proxies
from desktop.platform.proxies import with_scheme

# For a port without an address of its own, by the word in config.json: "ports": {"publish": "loopback"}.
PUBLISH_ADDRESSES = {"loopback": ("127.0.0.1", "::1"), "all": ("0.0.0.0", "::")}  # the user's choice
DEFAULT_PUBLISH = "loopback"


def publish_addresses(config_file: Path) -> tuple[str, ...]:
    """The addresses that a published port gets for which none was named. Raises ValueError for an invalid setting."""
    word = _object(config_file, "ports").get("publish", DEFAULT_PUBLISH)
    if word not in PUBLISH_ADDRESSES:
        raise ValueError(f"ports.publish in {config_file} must be one of {', '.join(PUBLISH_ADDRESSES)}")
    return PUBLISH_ADDRESSES[word]


def chosen_proxies(config_file: Path) -> Proxies | None:
    """The user's own: "proxies": {"http": URL, "https": URL, "no_proxy": HOSTS}, each of which may be missing; None:
    this machine's count. Raises ValueError for an invalid setting."""
    if "proxies" not in _config(config_file):
        return None
    chosen = _object(config_file, "proxies")
    names = ("http", "https", "no_proxy")
    if unknown := chosen.keys() - set(names):
        raise ValueError(f"proxies in {config_file} has no {', '.join(sorted(unknown))}: {', '.join(names)}")
    for name, value in chosen.items():
        if not isinstance(value, str):
            raise ValueError(f"proxies.{name} in {config_file} must be a string, not {value!r}")
    http, https, no_proxy = (str(chosen.get(name, "")) for name in names)
    return Proxies(with_scheme(http), with_scheme(https), no_proxy)


def certificates_folder(config_file: Path, default: Path) -> Path:
    """ "certificates": FOLDER with authorities (*.crt, *.pem). Raises ValueError for an invalid setting."""
    folder = _config(config_file).get("certificates", str(default))
    if not isinstance(folder, str):
        raise ValueError(f"certificates in {config_file} must be a folder's name, not {folder!r}")
    return Path(folder).expanduser()


def _object(config_file: Path, name: str) -> dict[str, Any]:
    chosen = _config(config_file).get(name, {})
    if not isinstance(chosen, dict):
        raise ValueError(f"{name} in {config_file} must be an object, not {chosen!r}")
    return chosen


def _config(config_file: Path) -> dict[str, Any]:
    try:
        config = json.loads(config_file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        raise ValueError(f"the settings can't be read: {config_file}: {e}") from e
    if not isinstance(config, dict):
        raise ValueError(f"the settings can't be read: {config_file} is no object")
    return config
