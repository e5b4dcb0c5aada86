"""`cove network`: ls, create, rm, inspect, connect, disconnect, prune."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli import groups
from desktop.cli.app import Failure
from desktop.cli.each import each
from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import Row, show
from desktop.client.api import path_part

if TYPE_CHECKING:
    from desktop.cli.app import App

LS = Spec(name="network ls", usage="[OPTIONS]", summary="List networks", most=0, flags=groups.LIST_FLAGS)
CREATE = Spec(
    name="network create",
    usage="[OPTIONS] NETWORK",
    summary="Create a network; prints its ID",
    least=1,
    most=1,
    flags=(
        Flag("attachable", help="Containers may join it by hand"),
        Flag("aux-address", kind="list", many=True, help="Address that no container is given (name=10.1.0.2)"),
        Flag("driver", "d", "string", "The network's driver", default="bridge"),
        Flag("gateway", kind="list", many=True, help="Gateway of a subnet"),
        Flag("internal", help="No way out of it"),
        Flag("ip-range", kind="list", many=True, help="Part of a subnet to give addresses from"),
        Flag("ipv6", help="With IPv6"),
        Flag("label", kind="list", many=True, help="Set a label (key=value)"),
        Flag("opt", "o", "list", "Option of the driver (key=value)", many=True),
        Flag("subnet", kind="list", many=True, help="Subnet (10.1.0.0/24)"),
    ),
)
CONNECT = Spec(
    name="network connect",
    usage="[OPTIONS] NETWORK CONTAINER",
    summary="Connect a container to a network",
    least=2,
    most=2,
    flags=(
        Flag("alias", kind="list", many=True, help="Another name of it on the network"),
        Flag("ip", kind="string", help="IPv4 address"),
        Flag("driver-opt", kind="list", many=True, help="Option of the driver (key=value)"),
        Flag("ip6", kind="string", help="IPv6 address"),
        Flag("link", kind="list", many=True, help="Another container under a name (container:alias)"),
        Flag("link-local-ip", kind="list", many=True, help="Link-local address"),
    ),
)
DISCONNECT = Spec(
    name="network disconnect",
    usage="[OPTIONS] NETWORK CONTAINER",
    summary="Take a container off a network",
    least=2,
    most=2,
    flags=(Flag("force", "f", help="Whatever state it is in"),),
)
RM = Spec(
    name="network rm",
    usage="NETWORK [NETWORK...]",
    summary="Remove networks",
    least=1,
    flags=(Flag("force", "f", help="A missing one is no failure"),),
)
_COLUMNS = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"}


def _ls(argv: Sequence[str], app: App) -> int:
    flags = parse(LS, argv)
    networks = app.client().json_list("GET", "/networks", {"filters": as_filters(flags.many("filter"))})
    whole = flags.on("no-trunc")
    rows = [
        Row(
            ID=network["Id"] if whole else network["Id"][:12],
            Name=network["Name"],
            Driver=network["Driver"],
            Scope=network["Scope"],
            Internal=network["Internal"],
            IPv6=network.get("EnableIPv6", False),
            Labels=",".join(f"{key}={value}" for key, value in (network.get("Labels") or {}).items()),
            CreatedAt=network.get("Created", ""),
        )
        for network in sorted(networks, key=lambda network: str(network["Name"]))
    ]
    if flags.on("quiet"):
        for row in rows:
            print(row["ID"])
        return 0
    show(rows, _COLUMNS, flags.text("format"))
    return 0


def _create(argv: Sequence[str], app: App) -> int:
    flags = parse(CREATE, argv)
    body = {
        "Name": flags.args[0],
        "Driver": flags.text("driver"),
        "Internal": flags.on("internal"),
        "Attachable": flags.on("attachable"),
        "EnableIPv6": flags.on("ipv6"),
        "Labels": groups.pairs(flags.many("label")),
        "Options": groups.pairs(flags.many("opt")),
        "IPAM": {
            "Driver": "default",
            "Config": _subnets(
                flags.many("subnet"), flags.many("ip-range"), flags.many("gateway"), flags.many("aux-address")
            ),
        },
    }
    made = app.client().json_object("POST", "/networks/create", None, body)
    print(made["Id"])
    return 0


def _subnets(subnets: list[str], ranges: list[str], gateways: list[str], auxiliary: list[str]) -> list[dict[str, Any]]:
    """Assign each range, gateway and auxiliary address to the subnet that contains it. Raises Failure."""
    import ipaddress

    try:
        configs: dict[Any, dict[str, Any]] = {ipaddress.ip_network(text): {"Subnet": text} for text in subnets}
        for key, texts in (("IPRange", ranges), ("Gateway", gateways)):
            for text in texts:
                address = ipaddress.ip_network(text).network_address
                home = next((config for subnet, config in configs.items() if address in subnet), None)
                if home is None:
                    raise Failure(f"no matching subnet for {'range' if key == 'IPRange' else 'gateway'} {text}")
                home[key] = text
        for name, text in (groups.pairs(auxiliary) or {}).items():
            home = next((config for subnet, config in configs.items() if ipaddress.ip_address(text) in subnet), None)
            if home is None:
                raise Failure(f"no matching subnet for aux-address {text}")
            home.setdefault("AuxiliaryAddresses", {})[name] = text
    except ValueError as e:
        raise Failure(f"invalid subnet: {e}") from e
    return list(configs.values())


def _connect(argv: Sequence[str], app: App) -> int:
    flags = parse(CONNECT, argv)
    network, container = flags.args
    endpoint: dict[str, Any] = {
        "Aliases": flags.many("alias") or None,
        "Links": flags.many("link") or None,
        "DriverOpts": groups.pairs(flags.many("driver-opt")) or None,
    }
    addresses = {
        "IPv4Address": flags.text("ip"),
        "IPv6Address": flags.text("ip6"),
        "LinkLocalIPs": flags.many("link-local-ip"),
    }
    if any(addresses.values()):
        endpoint["IPAMConfig"] = {name: value for name, value in addresses.items() if value}
    body = {"Container": container, "EndpointConfig": endpoint}
    app.client().request("POST", f"/networks/{path_part(network)}/connect", None, body)
    return 0


def _disconnect(argv: Sequence[str], app: App) -> int:
    flags = parse(DISCONNECT, argv)
    network, container = flags.args
    body = {"Container": container, "Force": flags.on("force")}
    app.client().request("POST", f"/networks/{path_part(network)}/disconnect", None, body)
    return 0


def _rm(argv: Sequence[str], app: App) -> int:
    flags = parse(RM, argv)
    client = app.client()
    return each(
        flags.args,
        lambda name: client.request("DELETE", f"/networks/{path_part(name)}"),
        missing_is_fine=flags.on("force"),
    )


def _inspect(argv: Sequence[str], app: App) -> int:
    from desktop.cli import inspect

    return inspect.main(["--type", "network", *argv], app)


SPEC = groups.spec("network", "Networks of containers")
VERBS: groups.Verbs = {
    "ls": _ls,
    "list": _ls,
    "create": _create,
    "rm": _rm,
    "remove": _rm,
    "inspect": _inspect,
    "connect": _connect,
    "disconnect": _disconnect,
    "prune": groups.prune("network", "NetworksDeleted", "all networks not used by at least one container"),
}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
