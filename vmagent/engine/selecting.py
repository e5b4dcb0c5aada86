"""Which containers pass the `filters` of a list or prune (Engine API, ContainerList and ContainerPrune)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vmagent.containers.live import Live
from vmagent.containers.model import Status
from vmagent.engine.filtervalues import flag, moment_ns, searches
from vmagent.engine.health import health_status
from vmagent.engine.labels import has_labels
from vmagent.errors import BadRequest

Filters = Mapping[str, Sequence[str]]
HEALTH = ("none", "starting", "healthy", "unhealthy")
MOST_PORT = 65535
_SHORT_ID = 12


def implies_all(filters: Filters) -> bool:
    """Whether list shows stopped containers without `all`, because the filter `status` may ask for them."""
    return bool(filters.get("status"))


def check(filters: Filters) -> None:
    """Raise BadRequest for values that no container can have; `passes` sees only those of containers that exist."""
    for value in filters.get("status", ()):
        _status(value)
    for value in filters.get("exited", ()):
        try:
            int(value)
        except ValueError:
            raise BadRequest(f'strconv.Atoi: parsing "{value}": invalid syntax') from None
    for value in filters.get("health", ()):
        if value not in HEALTH:
            raise BadRequest(f"unrecognised filter value for health: {value}")
    for value in filters.get("is-task", ()):
        flag("is-task", value)
    for key in ("publish", "expose"):
        for value in filters.get(key, ()):
            _has_port({}, value)
    for value in filters.get("until", ()):
        moment_ns(value)


def passes(
    live: Live,
    filters: Filters,
    *,
    find: Callable[[str], Live],
    is_descendant: Callable[[str, str], bool],
    network_id: Callable[[str], str],
) -> bool:
    """Whether a container passes: one value of each key must match; of `label`, all values must match.

    `is_descendant(image id, ref)`: whether a container of that image matches the `ancestor` filter `ref`.
    `network_id(name)`: "" for a network that does not exist. Raises BadRequest, NotFound.
    """
    record = live.record
    for key, values in filters.items():
        if not values:
            continue
        match key:
            case "id":
                passed = any(searches(value, record.id) for value in values)
            case "name":
                passed = any(searches(v, record.name) or searches(v, f"/{record.name}") for v in values)
            case "label" | "label!":
                passed = has_labels(record.labels, {key: values})
            case "status":
                passed = record.state.status in [_status(value) for value in values]
            case "exited":
                passed = record.state.status is Status.EXITED and str(record.state.exit_code) in values
            case "health":
                passed = health_status(live) in values
            case "ancestor":
                passed = any(is_descendant(record.image_id, value) for value in values)
            case "before":
                passed = all(record.created_ns < find(value).record.created_ns for value in values)
            case "since":
                passed = all(record.created_ns > find(value).record.created_ns for value in values)
            case "volume":
                passed = any(value in (m.volume, m.destination, m.source) for m in record.mounts for value in values)
            case "network":
                networks = {name: network_id(name) for name in record.endpoints}
                ids = [found for found in networks.values() if found]
                passed = any(
                    value in networks or (len(value) >= _SHORT_ID and any(found.startswith(value) for found in ids))
                    for value in values
                )
            case "publish":
                passed = any(_has_port(record.host_config["PortBindings"] or {}, value) for value in values)
            case "expose":
                passed = any(_has_port(record.config.get("ExposedPorts") or {}, value) for value in values)
            case "is-task":
                passed = any(not flag(key, value) for value in values)
            case "isolation":
                passed = True
            case "until":
                passed = record.created_ns < min(moment_ns(value) for value in values)
            case _:
                raise BadRequest(f"invalid filter '{key}'")
        if not passed:
            return False
    return True


def _status(word: str) -> Status:
    try:
        return Status(word)
    except ValueError:
        raise BadRequest(f"invalid filter 'status={word}'") from None


def _has_port(ports: Mapping[str, object], wanted: str) -> bool:
    """Whether `wanted` (`80`, `80/tcp`, `8000-8010/udp`) matches a key of `ports` (`80/tcp`)."""
    numbers, _, protocol = wanted.partition("/")
    first, _, last = numbers.partition("-")
    try:
        low, high = int(first), int(last or first)
        if not 0 <= low <= high <= MOST_PORT:
            raise ValueError(wanted)
    except ValueError:
        raise BadRequest(f"invalid port: {wanted}") from None
    for key in ports:
        number, _, kind = key.partition("/")
        if low <= int(number) <= high and (protocol or "tcp") == kind:
            return True
    return False
