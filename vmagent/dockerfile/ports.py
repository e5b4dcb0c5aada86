"""The ports of EXPOSE."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.text import go_quote

_PROTOCOLS = ("tcp", "udp", "sctp")


def exposed_ports(words: Iterable[str]) -> tuple[str, ...]:
    """`8080`, `53/udp`, `8000-8002/tcp` as `number/protocol`, in order, each once. Raises DockerfileError.

    An address and a host's port before it are read and dropped, as docker does.
    """
    found: list[str] = []
    seen = {protocol: bytearray(1 << 16) for protocol in _PROTOCOLS}  # 1 for a port that is in `found`
    for word in words:
        address, host, container = split_port(word)
        port, _, protocol = container.partition("/")
        if not port:
            raise DockerfileError(f"invalid port: {go_quote(word)}: no port specified")
        if (protocol.lower() or "tcp") not in _PROTOCOLS:
            raise DockerfileError(f"invalid port: {go_quote(word)}: invalid proto: {protocol}")
        protocol = protocol.lower() or "tcp"
        _check_address(address)
        first, last = _range(port, "containerPort")
        if host:
            host_first, host_last = _range(host, "hostPort")
            if last - first != host_last - host_first and last != first:
                raise DockerfileError(f"invalid ranges specified for container and host Ports: {port} and {host}")
        # A line may hold thousands of ranges: only ports that are new are gone through.
        while (first := seen[protocol].find(0, first, last + 1)) >= 0:
            seen[protocol][first] = 1
            found.append(f"{first}/{protocol}")
    return tuple(found)


def split_port(word: str) -> tuple[str, str, str]:
    """Address, host's port and container's port of `[address:][host:]port`; "" for what is not there."""
    *before, container = word.split(":")
    return ":".join(before[:-1]), before[-1] if before else "", container


def _check_address(address: str) -> None:
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not bare:
        return
    try:
        ipaddress.ip_address(bare)
    except ValueError as error:
        raise DockerfileError(f"invalid IP address: {bare}") from error


def _range(text: str, what: str) -> tuple[int, int]:
    first, sign, last = text.partition("-")
    numbers = [int(part) for part in (first, last if sign else first) if _is_port(part)]
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise DockerfileError(f"invalid {what}: {text}")
    return numbers[0], numbers[1]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 1 << 16
