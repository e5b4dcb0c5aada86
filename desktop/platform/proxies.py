"""A machine's proxy settings as one value, from each system's own form."""

from __future__ import annotations

import re
from collections.abc import Mapping

from desktop.platform.base import Proxies


def from_environment(environ: Mapping[str, str]) -> Proxies | None:
    """HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in capitals or not; None: none of the first two is set."""

    def value(name: str) -> str:
        return environ.get(name) or environ.get(name.lower()) or ""

    found = Proxies(with_scheme(value("HTTP_PROXY")), with_scheme(value("HTTPS_PROXY")), value("NO_PROXY"))
    return found if found.http or found.https else None


def from_scutil(text: str) -> Proxies:
    """From what macOS's `scutil --proxy` prints: a dictionary with a key a line, and an array of exceptions."""
    values = dict(re.findall(r"^  (\w+) : (\S+)$", text, re.MULTILINE))
    array = re.search(r"ExceptionsList : <array> \{(.*?)\}", text, re.DOTALL)
    exceptions = re.findall(r"^\s*\d+ : (\S+)$", array[1], re.MULTILINE) if array else []

    def proxy(kind: str) -> str:
        host, port = values.get(f"{kind}Proxy"), values.get(f"{kind}Port")
        if values.get(f"{kind}Enable") != "1" or not host:
            return ""
        return f"http://{host}:{port}" if port else f"http://{host}"

    return Proxies(proxy("HTTP"), proxy("HTTPS"), _exceptions(exceptions))


def from_registry(found: Mapping[str, str], override: str) -> Proxies:
    """From `urllib.request.getproxies_registry`, and Windows' ProxyOverride: names with wildcards between semicolons,
    and <local> for names without a dot."""
    words = [word.strip() for word in override.split(";")]
    exceptions = _exceptions([word for word in words if word and word != "<local>"])
    return Proxies(with_scheme(found.get("http", "")), with_scheme(found.get("https", "")), exceptions)


def with_scheme(url: str) -> str:
    """HOST:PORT means http://HOST:PORT."""
    return f"http://{url}" if url and "://" not in url else url


def _exceptions(words: list[str]) -> str:
    return ",".join(map(_exception, words))


def _exception(word: str) -> str:
    """In the form of NO_PROXY: `.NAME` for the names below NAME, networks as ADDRESS/LENGTH."""
    if word.startswith("*."):
        return word[1:]
    numbers, _, length = word.removesuffix(".*").partition("/")
    parts = numbers.split(".")
    if all(part.isdigit() for part in parts) and len(parts) < 4 and (length or word.endswith(".*")):
        return f"{'.'.join(parts + ['0'] * (4 - len(parts)))}/{length or 8 * len(parts)}"
    return word
