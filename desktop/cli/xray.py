"""`cove xray`: a container as the kernel has it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import ago, human_memory, human_size, short_id, shortened, table_lines

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="xray",
    usage="[OPTIONS] CONTAINER",
    summary="Show a container as the kernel has it: namespaces, limits and use, layers, what it may do, processes, and "
    "the way from each published port to a process",
    least=1,
    most=1,
    flags=(
        Flag("json", help="The whole document, for programs"),
        Flag("no-trunc", help="Nothing is shortened"),
        Flag("path", kind="string", help="Also show which layer this path in the container comes from"),
    ),
)
_WIDTH = 72  # of what may be long: a step of a Dockerfile, a command
_BAR = 20
_SHOWN_STEPS = (("create_ms", "created"), ("prepare_ms", "prepared"), ("mount_ms", "mounted"), ("setup_ms", "set up"))
_NAMESPACES = {
    "mnt": "files (mnt)",
    "pid": "processes (pid)",
    "net": "network (net)",
    "ipc": "shared memory (ipc)",
    "uts": "host name (uts)",
    "user": "users (user)",
    "cgroup": "cgroups (cgroup)",
    "time": "clocks (time)",
}
Json = Mapping[str, Any]


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    told = app.client().xray(flags.args[0], flags.text("path"))
    if flags.on("json"):
        json.dump(told, sys.stdout, indent=2, ensure_ascii=False)
        print()
        return 0
    width = 1 << 20 if flags.on("no-trunc") else _WIDTH
    for number, section in enumerate(_sections(told, width)):
        if number:
            print()
        for line in section:
            print(line.rstrip())
    return 0


def _sections(told: Json, width: int) -> Iterator[Iterator[str]]:
    yield _head(told)
    if told["origin"]:
        yield _origin(told["origin"], told["layers"], width)
    if told["namespaces"]:
        yield _namespaces(told)
    yield _control(told["control"])
    yield _layers(told["layers"], width)
    yield _security(told["security"])
    if told["processes"]:
        yield _processes(told["processes"], width)
    yield _network(told["network"], width)
    yield _timeline(told)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield title
    for line in table_lines(headings, rows, 0):
        yield f"  {line}"


def _head(told: Json) -> Iterator[str]:
    since = f", started {ago(told['started'])}" if told["pid"] else ""
    process = f", process {told['pid']}" if told["pid"] else ""
    yield f"{told['name']}  {told['image']}  {told['status']}{process}{since}"
    yield f"  container {told['id']}"
    yield f"  image     {told['image_id']}"


def _origin(origin: Json, layers: Sequence[Json], width: int) -> Iterator[str]:
    yield f"Path {origin['path']}"
    if origin["resolved"] and origin["resolved"] != origin["path"]:
        yield f"  leads to {origin['resolved']}"
    if origin["mount"]:
        yield f"  It is covered by a mount: {origin['mount']}. Below that, in the layers:"
    if origin["kind"]:
        yield f"  {origin['kind']}, from {_layer_words(origin['layer'], layers, width)}"
    elif origin["removed_in"]:
        yield f"  nothing: it was removed in {_layer_words(origin['removed_in'], layers, width)}"
    else:
        yield "  nothing: no layer has it"
    word = "also in" if origin["kind"] == "folder" else "hidden in"
    for number in reversed(origin["hidden_in"]):
        yield f"  {word} {_layer_words(number, layers, width)}"


def _layer_words(number: int, layers: Sequence[Json], width: int) -> str:
    layer = layers[number - 1]
    words = layer["created_by"] or f"{short_id(layer['diff_id'])}; the image does not say what made it"
    return f"layer {number}: {shortened(_one_line(words), width)}"


def _namespaces(told: Json) -> Iterator[str]:
    rows = []
    for space in told["namespaces"]:
        shared = ", ".join(space["shared_with"])
        words = "the machine's" if space["is_host"] else f"shared with {shared}" if shared else "its own"
        rows.append((_NAMESPACES.get(space["kind"], space["kind"]), str(space["id"]), words))
    return _table("Namespaces", ("KIND", "ID", "WHOSE"), rows)


def _control(control: Json) -> Iterator[str]:
    rows = []
    for one in control["resources"]:
        used, limit = one["used"], one["limit"]
        share = used / limit if used is not None and limit else None
        rows.append(
            (
                one["name"],
                _amount(used, one["unit"], "-"),
                _amount(one["peak"], one["unit"], "-"),
                _amount(limit, one["unit"], "none"),
                "" if share is None else f"{share:4.0%} {'█' * round(min(share, 1) * _BAR):░<{_BAR}}",
            )
        )
    yield from _table(
        f"Limits  (cgroup v{control['version']}, {control['path']})", ("RESOURCE", "USED", "PEAK", "LIMIT", ""), rows
    )
    if control["cpus"]:
        yield f"  It runs on the processors {control['cpus']} only."
    throttling = control["throttling"]
    if throttling is None:
        yield "  It does not run: these are the limits of its next start."
        return
    if throttling["throttled_periods"]:
        yield (
            f"  The CPU limit has stopped it in {throttling['throttled_periods']} of {throttling['periods']} periods, "
            f"for {throttling['throttled_ns'] / 1e9:.1f} s altogether."
        )
    if control["oom_kills"]:
        yield f"  The kernel has killed {control['oom_kills']} of its processes for want of memory."
    if control["memory_limit_hits"]:
        yield f"  It has met its memory limit {control['memory_limit_hits']} times."
    yield f"  Disk: {human_size(control['read_bytes'])} read, {human_size(control['written_bytes'])} written."
    if control["pressure"]:
        yield ""
        yield from _pressure(control["pressure"])


def _pressure(pressure: Sequence[Json]) -> Iterator[str]:
    rows = []
    for one in pressure:
        for kind, words in (("some", "a task"), ("full", "all tasks")):
            if (stall := one[kind]) is not None:
                shares = [f"{stall[name]:.1f}%" for name in ("avg10", "avg60", "avg300")]
                rows.append((one["resource"], words, *shares, f"{stall['total_us'] / 1e6:.2f} s"))
    return _table(
        "Pressure  (share of the time in which tasks waited)",
        ("RESOURCE", "WAITED", "10 S", "60 S", "300 S", "ALTOGETHER"),
        rows,
    )


def _amount(value: float | None, unit: str, without: str) -> str:
    if value is None:
        return without
    return human_memory(value) if unit == "bytes" else f"{value:g} {unit}" if unit == "CPUs" else f"{value:.0f}"


def _layers(layers: Sequence[Json], width: int) -> Iterator[str]:
    rows = [
        (
            str(layer["number"]),
            short_id(layer["diff_id"]) or "own",
            human_size(layer["size_bytes"]),
            layer["kind"],
            shortened(_one_line(layer["created_by"]), width),
        )
        for layer in reversed(layers)
    ]
    return _table("Layers  (topmost first)", ("NO.", "LAYER", "SIZE", "KIND", "MADE BY"), rows)


def _security(security: Json) -> Iterator[str]:
    yield "May do"
    if security["is_privileged"]:
        yield "  It is privileged: nothing keeps its root from changing the machine."
    yield f"  User            {security['user'] or 'root'}"
    yield from _wrapped("  User namespace  ", security["user_namespace_words"])
    yield from _wrapped("  Seccomp         ", security["seccomp_words"])
    if security["no_new_privileges"]:
        yield "  No program gives it more privileges (set-user-ID and the like are without effect)."
    if security["is_read_only"]:
        yield "  Its root file system is read-only."
    found = security["capabilities"]
    yield f"  Capabilities    {len(found)} of {len(found) + len(security['missing'])}" + (":" if found else "")
    for one in found:
        later = "" if one["is_effective"] else "  (not now)"
        yield f"    {one['name'].removeprefix('CAP_').lower():<19} {one['meaning']}{later}"


def _wrapped(title: str, words: str) -> Iterator[str]:
    import textwrap

    return iter(textwrap.wrap(words, 100, initial_indent=title, subsequent_indent=" " * len(title)))


def _processes(processes: Sequence[Json], width: int) -> Iterator[str]:
    rows = [
        (
            str(one["pid"]),
            str(one["inner_pid"]),
            str(one["uid"]),
            one["state"],
            str(one["threads"]),
            human_memory(one["memory_bytes"]),
            f"{one['cpu_ms'] / 1000:.2f} s",
            shortened(_one_line(one["command"]), width),
        )
        for one in processes
    ]
    headings = ("PID", "INSIDE", "UID", "STATE", "THREADS", "MEMORY", "CPU", "COMMAND")
    return _table("Processes", headings, rows)


def _network(network: Json, width: int) -> Iterator[str]:
    whose = f", that of container {network['of']}" if network["of"] else ""
    yield f"Network  ({network['mode'].partition(':')[0]}{whose})"
    if not network["interfaces"]:
        yield {
            "host": "  It has the machine's own network: what it listens on is open there.",
            "none": "  It has no network but its own loopback.",
        }.get(network["mode"], "  It does not run: it has no interfaces now.")
    for one in network["interfaces"]:
        addresses = " ".join(filter(None, (one["address"], one["address6"])))
        way = f" ── {one['host_interface']} ── bridge {one['bridge']}" if one["host_interface"] else ""
        yield f"  {one['interface']} {addresses}{way} ({one['network']}, {one['driver']})"
    for port in network["ports"]:
        yield ""
        yield from _port(port, width)


def _port(port: Json, width: int) -> Iterator[str]:
    address = f"[{port['host_address']}]" if ":" in port["host_address"] else port["host_address"]
    yield f"  {address}:{port['host_port']}/{port['protocol']}"
    if port["by_host_agent"]:
        yield "    ↓ this machine listens there, and passes on to the VM"
    if port["by_relay"]:
        yield "    ↓ cove-relay, as the kernel can't translate from IPv6 to an IPv4 address"
    else:
        missing = "" if port["is_rule_there"] else "   MISSING: another program has removed it"
        yield f"    ↓ {port['rule']}{missing}"
    yield f"    ↓ bridge {port['bridge']}, {port['host_interface']} ── {port['interface']}"
    yield f"    ↓ {port['address']}:{port['container_port']}"
    for one in port["listeners"]:
        inside = "   only from within the container" if _is_loopback(one["address"]) else ""
        yield f"    {one['pid']}  {shortened(_one_line(one['command']), width)}  (listens on {one['address']}){inside}"
    if not port["listeners"]:
        yield "    nothing listens there"


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def _timeline(told: Json) -> Iterator[str]:
    timeline = told["timeline"]
    yield "Start"
    if not told["started"]:
        yield "  It was never started."
        return
    if timeline["start_ms"] is None:
        yield "  It was not started by the engine that runs now: the times of its start are not known."
        return
    steps = [f"{words} in {timeline[name]:.1f} ms" for name, words in _SHOWN_STEPS if timeline[name] is not None]
    yield f"  {', '.join(steps)}; started {timeline['start_ms']:.1f} ms after the request"


def _one_line(text: str) -> str:
    return " ".join(text.split())
