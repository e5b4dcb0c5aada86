"""What the palette can find, and how it finds and orders it. Knows nothing of how entries look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from desktop.client.reference import InvalidReference, parse
from desktop.ui.feed.container import Container
from desktop.ui.kit.states import State
from desktop.ui.kit.words import tr
from desktop.ui.run.options import RunWish

MOST_PER_SECTION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. Enter runs it; `command` is shown in the footer; Tab opens `wish` in the run dialog.

    `names` are lower-case names; typing one of them in full selects this entry. An entry that `pulls`
    fetches an image from its registry before it runs it.
    """

    section: str
    title: str
    fact: str = ""
    icon: str = ""
    state: State | None = None
    verb: str = ""
    command: str = ""
    wish: RunWish | None = None
    call: Callable[[], None] | None = None
    names: frozenset[str] = frozenset()
    pulls: bool = False
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What the palette can find; built from memory each time the palette opens."""

    recent: Sequence[RunWish]
    images: Sequence[str]
    containers: Sequence[Container]
    pages: Sequence[tuple[str, str, Callable[[], None]]]  # title, icon, what it does
    actions: Sequence[tuple[str, str, str, Callable[[], None]]]  # title, fact, icon, what it does
    open_container: Callable[[str], None]
    act: Callable[[str, Container], None]


def find(offer: Offer, text: str) -> list[Entry]:
    """The entries that match the typed text, by section. Prefix `>`: only actions; `@`: only objects.

    Local images come first. If the full name of a container, page or action was typed, its section comes first instead,
    with that entry on top. Images that must be pulled come last.
    """
    only = text[:1] if text[:1] in (">", "@") else ""
    needle = text.removeprefix(only).strip()
    low = needle.lower()
    runs: list[Entry] = []
    pulls: list[Entry] = []
    if not only:
        runs, pulls = _images(offer, needle, low)
    places = _places(offer, low, with_pages=not only) if only != ">" else []
    actions = _actions(offer, low, needed=bool(only)) if only != "@" else []
    sections = sorted((runs, places, actions), key=lambda entries: not any(low in e.names for e in entries))
    return [*(entry for section in sections for entry in section), *pulls]


def preselected(entries: Sequence[Entry]) -> Entry | None:
    """The entry that is selected at first: the first one, unless it pulls an image; then None."""
    return entries[0] if entries and not entries[0].pulls else None


def _images(offer: Offer, needle: str, low: str) -> tuple[list[Entry], list[Entry]]:
    """The entries that run a local image, and those that pull one first."""
    here = {_full_name(image) for image in offer.images}
    runs: list[Entry] = []
    pulls: list[Entry] = []
    known: set[str] = set()
    last = [(wish, _as_last_time(wish), "clock-counter-clockwise") for wish in offer.recent]
    local = [(RunWish(image=image), tr("on this computer"), "stack") for image in offer.images]
    for wish, fact, icon in (*last, *local):
        full = _full_name(wish.image)
        if low not in wish.image.lower() or full in known:
            continue
        known.add(full)
        if full in here:
            runs.append(_run_entry(wish, fact, icon))
        else:
            pulls.append(_pull_entry(wish, full))
    runs.sort(key=lambda e: not e.title.lower().startswith(low))
    name, _, command = needle.partition(" ")
    full = _full_name(name)
    if full and (command or full not in known):
        wish = RunWish(image=name, command=command.strip())
        if full in here:
            runs.insert(0, _run_entry(wish, tr("on this computer"), "stack", title=needle))
        else:
            pulls.append(_pull_entry(wish, full))
    return runs[: MOST_PER_SECTION + 1], pulls[:MOST_PER_SECTION]


def _full_name(name: str) -> str:
    """An image's name with its registry and tag; empty if `name` is not a valid reference."""
    try:
        return parse(name).full_name
    except InvalidReference:
        return ""


def _as_last_time(wish: RunWish) -> str:
    options = [tr("as last time")]
    ports = ", ".join(p.host_port or p.port for p in wish.ports)
    if ports:
        options.append(tr("on {ports}", ports=ports))
    if wish.mounts:
        options.append(tr("with volume {name}", name=wish.mounts[0].source))
    return ", ".join(options)


def _run_entry(wish: RunWish, fact: str, icon: str, title: str = "") -> Entry:
    return Entry(
        section=tr("Run"), title=title or wish.image, fact=fact, icon=icon, verb=tr("Run"),
        command=wish.command_line(), wish=wish,
    )  # fmt: skip


def _pull_entry(wish: RunWish, full_name: str) -> Entry:
    return Entry(
        section=tr("Pull and run"), title=f"{full_name} {wish.command}".strip(), fact=tr("not on this computer"),
        icon="download-simple", verb=tr("Pull and run"), command=wish.command_line(), wish=wish, pulls=True,
    )  # fmt: skip


def _names(*names: str) -> frozenset[str]:
    return frozenset(name.lower().removesuffix("…") for name in names if name)


def _places(offer: Offer, low: str, *, with_pages: bool) -> list[Entry]:
    entries: list[Entry] = []
    matching = [c for c in offer.containers if low in c.haystack] if low else list(offer.containers)[:3]
    for container in sorted(
        matching, key=lambda c: (c.name.lower() != low, not c.title.lower().startswith(low), not c.is_running)
    )[:MOST_PER_SECTION]:
        title = f"{container.project} / {container.title}" if container.project else container.title
        ports = ", ".join(str(p.host_port) for p in container.ports)
        word = container.state_word.lower()
        fact = (
            tr("{image}, {state} on {ports}", image=container.image, state=word, ports=ports)
            if ports
            else f"{container.image}, {word}"
        )
        entries.append(
            Entry(
                section=tr("Go to"), title=title, fact=fact, state=container.state, verb=tr("Container"),
                command=f"cove inspect {container.name}", call=partial(offer.open_container, container.id),
                names=_names(container.name, container.title, title),
            )
        )  # fmt: skip
    if with_pages:
        for title, icon, call in offer.pages:
            if low and low in title.lower():
                entries.append(
                    Entry(
                        section=tr("Go to"), title=title, icon=icon, verb=tr("Page"), call=call, names=_names(title),
                    )
                )  # fmt: skip
    return sorted(entries, key=lambda entry: low not in entry.names)


def _actions(offer: Offer, low: str, *, needed: bool) -> list[Entry]:
    entries: list[Entry] = []
    for container in offer.containers if low else ():
        if low not in container.haystack or container.lost:
            continue
        verb, title, icon = (
            ("restart", tr("Restart {name}", name=container.title), "arrow-clockwise")
            if container.is_running
            else ("start", tr("Start {name}", name=container.title), "play")
        )
        fact = f"{container.image} · {container.project}" if container.project else container.image
        entries.append(
            Entry(
                section=tr("Do"), title=title, fact=fact, icon=icon, command=f"cove {verb} {container.name}",
                call=partial(offer.act, verb, container), names=_names(title),
            )
        )  # fmt: skip
    entries = entries[:3]
    for title, fact, icon, call in offer.actions:
        if (needed or low) and low in title.lower():
            entries.append(Entry(section=tr("Do"), title=title, fact=fact, icon=icon, call=call, names=_names(title)))
    entries.sort(key=lambda entry: low not in entry.names)
    return entries[: 8 if needed else MOST_PER_SECTION + 1]
