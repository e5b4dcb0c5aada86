"""Commands that have verbs (`cove network ls`), and what several of them share: list flags, `key=value`, prune."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from desktop.cli.app import Failure
from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import human_size

if TYPE_CHECKING:
    from desktop.cli.app import App

Verb = Callable[[Sequence[str], "App"], int]
Verbs = Mapping[str, Verb]


class Same:
    """A verb that is the command in `module` of this package, with flags put before the user's."""

    def __init__(self, module: str, *before: str) -> None:
        self.module = f"desktop.cli.{module}"
        self._before = before

    def __call__(self, argv: Sequence[str], app: App) -> int:
        status: int = import_module(self.module).main([*self._before, *argv], app)
        return status


LIST_FLAGS = (
    Flag("filter", "f", "filter", "Only those for which this holds (name=x, label=k)", many=True),
    Flag("format", kind="string", help="A template, `table` and a template, or json"),
    Flag("no-trunc", help="Nothing is shortened"),
    Flag("quiet", "q", help="Names or IDs only"),
)


def spec(name: str, summary: str) -> Spec:
    return Spec(name=name, usage="COMMAND", summary=summary, least=1, mixed=False)


def dispatch(spec: Spec, verbs: Verbs, argv: Sequence[str], app: App) -> int:
    """Raises Failure for an unknown verb."""
    verb, *rest = parse(spec._replace(more=f"Commands:  {', '.join(verbs)}"), argv).args
    if verb not in verbs:
        raise Failure(
            f"cove: unknown command: cove {spec.name} {verb}",
            hint=f"\nUsage:  cove {spec.name} COMMAND\n\nRun 'cove {spec.name} --help' for more information",
        )
    return verbs[verb](rest, app)


def pairs(texts: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def entry_text(item: object) -> str:
    """A removed thing: its name, or for images `untagged: x` and `deleted: sha256:…`."""
    if isinstance(item, Mapping):
        return "\n".join(f"{key.lower()}: {value}" for key, value in item.items())
    return str(item)


def prune(kind: str, deleted: str, what: str) -> Verb:
    """`cove KIND prune`: ask the user, then remove unused objects. `deleted`: the field of the reply that lists the
    removed ones."""
    spec = Spec(
        name=f"{kind} prune",
        usage="[OPTIONS]",
        summary=f"Remove {what}",
        most=0,
        flags=(
            Flag("all", "a", help="All unused ones, not only those without a name"),
            Flag("filter", kind="filter", many=True, help="Only those for which this holds (until=24h, label=k)"),
            Flag("force", "f", help="Do not ask"),
        ),
    )

    def run(argv: Sequence[str], app: App) -> int:
        flags = parse(spec, argv)
        if not flags.on("force"):
            print(f"WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] ", end="", flush=True)
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                raise Failure(f"{kind} prune has been cancelled")
        filters = as_filters(flags.many("filter"))
        if flags.on("all"):
            filters |= {"dangling": ["false"]} if kind == "image" else {"all": ["true"]} if kind == "volume" else {}
        told: Mapping[str, Any] = app.client().request("POST", f"/{kind}s/prune", {"filters": filters}, limited=False)
        gone = told.get(deleted) or []
        if gone:
            print(f"Deleted {kind.capitalize()}s:")
            for item in gone:
                print(entry_text(item))
            print()
        if "SpaceReclaimed" in told:
            print(f"Total reclaimed space: {human_size(told['SpaceReclaimed'] or 0)}")
        return 0

    return run
