"""Writes docs/side-by-side.md: python -m tests.security.side_by_side, as root, on a machine with Debian's docker.io."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from tests.security import peers
from tests.security.comparing import EQUAL, NAMED, STRICTER, WEAKER, Difference, call_name, compare
from tests.security.probing import Report
from tests.support.tools import ROOT

DOCUMENT = ROOT / "docs" / "side-by-side.md"
_SECTIONS = {
    "process": "Capabilities, seccomp, ids, groups, umask, signals",
    "rlimits": "Resource limits",
    "oom": "oom_score_adj",
    "label": "Label of a security module",
    "idmap": "Map of user ids",
    "descriptors": "Open descriptors",
    "namespaces": "Namespaces",
    "cgroups": "Cgroup paths shown",
    "mounts": "Mounts and their flags",
    "root": "Files of the image: readable, writable",
    "dev": "/dev: nodes, links, what opens",
    "devices": "Device numbers: mknod, then open",
    "proc": "/proc: readable, writable",
    "sys": "/sys: readable, writable",
    "calls": "System calls: seccomp's verdict",
}
_WAYS = {
    "run": "`docker run IMAGE`",
    "exec": "`docker exec`",
    "user": "`docker run -t -u 1000:1000`",
    "read-only": "`docker run --read-only --security-opt no-new-privileges`",
}
_HEAD = """\
# A container here and under dockerd, side by side

A program ([tests/security/probe.c](../tests/security/probe.c)) that runs inside a container reports what it is and what
it can do: it opens every file of /dev, /proc and /sys for reading and for writing, makes and opens a node for every
device number, and asks for every system call from 0 to 470 in each of the three ways to number them on x86-64 (under a
filter of its own that lets no call be carried out, so what is seen is the verdict of the container's). It ran under
{docker} with {runc}, and under Cove's engine, with the same image on the same machine
(Linux {kernel}, cgroup v1, no AppArmor). Anything that Cove allows and dockerd does not makes
[a test](../tests/security/test_side_by_side.py) fail, unless it is named here with its reason.

Written by `python -m tests.security.side_by_side`; don't edit.

"""


def document(reports: dict[str, tuple[Report, Report]]) -> str:
    """The whole text."""
    first = _HEAD.format(docker=_version("dockerd"), runc=_version("runc"), kernel=os.uname().release.split("-")[0])
    parts = [first, "## Result\n\n"]
    dockers, ours = reports["run"]
    parts += [f"{_WAYS['run']}:\n\n", *_counts(dockers, ours), "\nAll together, and in other ways:\n\n"]
    rows = [(_WAYS[way], *_sums(*pair)) for way, pair in reports.items()]
    parts += [*_table(("", "compared", EQUAL, "stricter here", "named below", "weaker here"), rows), "\n"]
    parts += ["## Each difference, and why\n\n"]
    parts += [
        "*Stricter*: Cove allows less. *Named*: neither more nor less, or more for a reason. First those of\n"
        "`docker run IMAGE`, then what is different in the other ways.\n\n"
    ]
    parts += _table(("Where", "What", "dockerd", "Cove", "", "Why"), _grouped(compare(dockers, ours)))
    known = {one[:4] for one in compare(dockers, ours)}
    rest = [(way, one) for way in reports for one in compare(*reports[way]) if one[:4] not in known and way != "run"]
    if rest:
        parts += ["\nIn the other ways:\n\n"]
        others = ((_WAYS[way], one.name, one.dockers, one.ours, one.verdict, one.reason) for way, one in rest)
        parts += _table(("Way", "What", "dockerd", "Cove", "", "Why"), others)
    parts += ["\n## The whole, in the words of the probe\n"]
    for section in ("process", "rlimits", "descriptors", "namespaces", "mounts", "dev"):
        parts += [f"\n### {_SECTIONS[section]}\n\n"]
        names = sorted({name for at, name in dockers.keys() | ours.keys() if at == section})
        facts = ((name, dockers.get((section, name), "—"), ours.get((section, name), "—")) for name in names)
        parts += _table(("", "dockerd", "Cove"), facts)
    parts += ["\n### Files of /proc and /sys that open for writing, or are masked\n\n"]
    opened = (
        (name, dockers.get((section, name), "—"), ours.get((section, name), "—"))
        for section, name in sorted(dockers.keys() | ours.keys())
        if section in ("proc", "sys") and any("w" in report.get((section, name), "") for report in (dockers, ours))
    )
    parts += ["d: a folder, f: a file, r: opens for reading, b: a byte could be read, w: opens for writing.\n\n"]
    parts += _table(("", "dockerd", "Cove"), opened)
    parts += ["\n### System calls that are refused (x86_64)\n\n", *_refusals(dockers, ours)]
    return "".join(parts)


def _version(program: str) -> str:
    words = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.split()
    return f"{program} {words[2].rstrip(',')}"


def _counts(dockers: Report, ours: Report) -> Iterable[str]:
    verdicts = Counter((one.section, one.verdict) for one in compare(dockers, ours))
    sizes = Counter(section for section, _ in dockers.keys() | ours.keys())
    rows = [
        (title, sizes[section], sizes[section] - sum(verdicts[section, v] for v in (STRICTER, NAMED, WEAKER)),
         *(verdicts[section, v] or "" for v in (STRICTER, NAMED, WEAKER)))
        for section, title in _SECTIONS.items()
    ]  # fmt: skip
    return _table(("", "compared", EQUAL, "stricter here", "named below", "weaker here"), rows)


def _sums(dockers: Report, ours: Report) -> tuple[int, ...]:
    verdicts = Counter(one.verdict for one in compare(dockers, ours))
    size = len(dockers.keys() | ours.keys())
    return (size, size - verdicts.total(), *(verdicts[verdict] for verdict in (STRICTER, NAMED, WEAKER)))


def _grouped(differences: Iterable[Difference]) -> Iterator[tuple[str, ...]]:
    """One row for all that differ alike."""

    def alike(one: Difference) -> tuple[str, ...]:
        shown = ("", "") if one.section == "calls" and one.ours == "killed" else (one.dockers, one.ours)
        return (one.section, one.verdict, one.reason, *shown)

    for _, group in groupby(sorted(differences, key=alike), key=alike):
        members = list(group)
        first = members[0]
        if first.ours == "killed":
            yield first.section, f"x32: {len(members)} numbers", "as x86_64", "killed", first.verdict, first.reason
            continue
        names = [call_name(one.name) if one.section == "calls" else one.name for one in members]
        named = list(dict.fromkeys(names))
        what = ", ".join(named)
        yield first.section, what, first.dockers, first.ours, first.verdict, first.reason


def _refusals(dockers: Report, ours: Report) -> Iterator[str]:
    """What each refuses, by the calls' names; a call with arguments only where it is not refused whatever they are."""
    refused = []
    for report in (dockers, ours):
        calls = sorted((name for section, name in report if section == "calls"), key=_number)
        names = [call_name(name) for name in calls if name.startswith("x86_64 ") and _is_refused(report, name)]
        refused.append([name for name in names if " (" not in name or name.split()[0] not in names])
    theirs, mine = refused
    for title, names in (
        ("By both", [name for name in mine if name in theirs]),
        ("By Cove alone", [name for name in mine if name not in theirs]),
        ("By dockerd alone", [name for name in theirs if name not in mine]),
    ):
        unused = sum(name.startswith("number ") for name in names)
        shown = [name for name in names if not name.startswith("number ")]
        yield f"{title}: {', '.join([*shown, *([f'{unused} numbers without a call'] if unused else [])])}.\n\n"


def _is_refused(report: Report, name: str) -> bool:
    return report["calls", name] not in ("allowed", "none")  # none: the kernel has it bypass every filter


def _number(name: str) -> tuple[int, str]:
    words = name.split()
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0, name)


def _table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    cells = list(head)
    yield "| " + " | ".join(map(str, cells)) + " |\n"
    yield "|" + " --- |" * len(cells) + "\n"
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |\n"


def main() -> int:
    if not peers.is_there():
        print("needs root and dockerd", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        text = document(peers.reports(Path(folder)))
    DOCUMENT.write_text(text)
    print(f"{DOCUMENT}: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
