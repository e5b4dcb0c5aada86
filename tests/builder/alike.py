"""Compares what docker's two builders and ours make of the Dockerfiles in forty.txt; each difference has a reason.

python -m tests.builder.alike writes docs/builds-side-by-side.md, and recorded.json with what docker's BuildKit made. As
root, on a machine with runc; it takes some minutes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.builder import peers
from tests.builder.cases import CASES
from tests.builder.peers import BUILDKIT, CLASSIC, OUR_BUILDKIT, OUR_CLASSIC, Made
from tests.builder.saved import Facts
from tests.support.tools import ROOT, dockerd

DOCUMENT = ROOT / "docs" / "builds-side-by-side.md"
RECORDED = Path(__file__).parent / "recorded.json"
PAIRS = ((BUILDKIT, OUR_BUILDKIT), (CLASSIC, OUR_CLASSIC), (OUR_BUILDKIT, OUR_CLASSIC))


@dataclass(frozen=True, slots=True)
class Named:
    """A difference that has a reason. `cases` and `where` are regular expressions for whole names."""

    theirs: str  # the builder that ours differs from
    cases: str
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    case: str
    where: str
    theirs: str
    ours: str
    reason: str  # "" for one that is a fault


_FOLLOWS = "Cove's builder follows docker's BuildKit on both wires"
_NAMED = (
    Named(BUILDKIT, "build-arguments", "history .*", "The history shows the value that an ARG has, as the Dockerfile "
          "frontends after docker 26's do; this one shows the default that `--build-arg` replaced."),
    Named(BUILDKIT, "copy-link", "/l", "docker's image store has no merge of layers, so its BuildKit carries out "
          "`--link` as a plain COPY. Here the layer is made without the ones below: its own parent folder, with the "
          "owner of `--chown`, lies over theirs."),
    Named(BUILDKIT, "folders-to-mount-on", "/(dev|proc|sys)", "The base image lacks them, and the runtime makes them "
          "to mount on. The command did not: neither Cove nor docker's classic builder puts them into the layer."),
    Named(CLASSIC, ".*", "history .*", "The history is BuildKit's: the sources as they are written instead of their "
          "digest, no `#(nop)`, no `/bin/sh -c` before what no shell runs."),
    Named(CLASSIC, ".*", "config.ArgsEscaped", f"{_FOLLOWS}, which sets it for every CMD."),
    Named(CLASSIC, "copy-(everything|set-id-bits|from-a-stage)", ".*", f"{_FOLLOWS}, which keeps set-id bits in COPY."),
    Named(CLASSIC, "copy-from-an-image", ".*", f"{_FOLLOWS}, which keeps capabilities of files in COPY --from."),
    Named(CLASSIC, "copy-chown-numbers|add-chown", "/[xt]", f"{_FOLLOWS}, where `--chown` is also the owner of folders "
          "that are made on the way."),
    Named(CLASSIC, "copy-by-a-user|workdir-by-a-link", "/(home/made|real/new).*", f"{_FOLLOWS}, where a folder that "
          "WORKDIR makes belongs to the USER."),
    Named(CLASSIC, "volume", "/v/after", f"{_FOLLOWS}, where what RUN writes below a VOLUME stays."),
    Named(CLASSIC, ".*", "/(w|data)", f"{_FOLLOWS}, where a VOLUME makes no folder before a container has one there."),
    Named(CLASSIC, "healthcheck.*", "config.Healthcheck", f"{_FOLLOWS}, where a HEALTHCHECK inherits nothing of the "
          "one before it."),
    Named(CLASSIC, "files-of-the-engine", "/etc/hostname", f"{_FOLLOWS}, where RUN may write to /etc/hostname."),
    Named(CLASSIC, "scratch|folders-to-mount-on", "config.WorkingDir", f"{_FOLLOWS}, which says `/` where nothing is "
          "said."),
    Named(CLASSIC, "stages", ".*", f"{_FOLLOWS}, which does not run a stage that the target does not need; this one "
          "fails."),
)  # fmt: skip


def values(facts: Facts) -> Mapping[str, str]:
    """What is compared, by names: fields of the configuration, entries of the history, paths."""
    found = {f"history {number}": " | ".join(map(str, entry)) for number, entry in enumerate(facts.history)}
    for key, value in facts.config.items():
        if key == "config":
            found |= {f"config.{name}": json.dumps(inner, sort_keys=True) for name, inner in value.items()}
        else:
            found[key] = json.dumps(value)
    return {**found, **facts.tree}


def differences(theirs: str, case: str, there: Facts, here: Facts) -> Iterator[Difference]:
    """Where two builds of a case differ. `theirs` is the builder of the first one."""
    before, after = values(there), values(here)
    for where in sorted(before.keys() | after.keys()):
        one, other = before.get(where, "-"), after.get(where, "-")
        if one != other:
            reasons = (
                named.reason
                for named in _NAMED
                if named.theirs == theirs and re.fullmatch(named.cases, case) and re.fullmatch(named.where, where)
            )
            yield Difference(case, where, one, other, next(reasons, ""))


def compare(made: Mapping[str, Made], theirs: str, ours: str) -> list[Difference]:
    """All differences of the cases that both builders have built."""
    return [
        one
        for case, facts in made[theirs].items()
        if case in made[ours]
        for one in differences(theirs, case, facts, made[ours][case])
    ]


def recorded() -> Made:
    """What docker's BuildKit made of each case when the document was written."""
    return {name: Facts.from_json(facts) for name, facts in json.loads(RECORDED.read_text()).items()}


_HEAD = """\
# Builds here and by docker's builders, side by side

[{count} Dockerfiles](../tests/builder/forty.txt) of many kinds, built from one context and on the same base images
([tests/builder/cases.py](../tests/builder/cases.py)) by docker's two builders ({docker}) and by Cove over both wires:
`docker build` with buildx, and with `DOCKER_BUILDKIT=0`. Compared is what `docker save` gives: each field of the
configuration, each entry of the history, and each path of the tree with its kind, mode, owner, content, extended
attributes, other names of the same file, and the time of files that the build did not make. Times of the build, ids and
digests of layers are not compared. A difference that is not named here makes
[a test](../tests/builder/test_alike.py) fail. Cove gives the same whether its layers are folders or tars with an
index: the test builds a part of them with either.

Written by `python -m tests.builder.alike`; don't edit.

## Result

"""


def document(made: Mapping[str, Made]) -> str:
    """The whole text."""
    version = subprocess.run([dockerd(), "--version"], check=True, capture_output=True, text=True).stdout
    docker = "dockerd " + version.split()[2].rstrip(",")
    parts = [_HEAD.format(count=len(CASES), docker=docker)]
    parts += _table(("", "builds", "values compared", "equal", "named below", "faults"), map(_counts, *_sides(made)))
    parts += ["\n## Each difference, and why\n\n`-`: not there.\n\n"]
    for theirs, ours in PAIRS:
        found = compare(made, theirs, ours)
        if not found:
            continue
        parts += [f"### {_upper(theirs)} and {ours}\n\n"]
        reasons = dict.fromkeys(one.reason for one in found)
        for reason in reasons:
            those = [one for one in found if one.reason == reason]
            parts += [f"{reason or '**A fault.**'}\n\n"]
            shown = those if len(those) <= _SHOWN else those[:_SHOWN]
            rows = ((one.case, one.where, one.theirs, one.ours) for one in shown)
            parts += _table(("Dockerfile", "what", theirs, ours), rows)
            parts += [f"\nand {len(those) - _SHOWN} more of the same kind.\n" if len(those) > _SHOWN else "", "\n"]
    return "".join(parts).rstrip("\n") + "\n"


_SHOWN = 12  # differences with the same reason


def _sides(made: Mapping[str, Made]) -> tuple[Sequence[Mapping[str, Made]], Sequence[str], Sequence[str]]:
    theirs, ours = zip(*PAIRS, strict=True)
    return [made] * len(PAIRS), theirs, ours


def _counts(made: Mapping[str, Made], theirs: str, ours: str) -> tuple[str, ...]:
    both = made[theirs].keys() & made[ours].keys()
    total = sum(len(values(made[theirs][case]).keys() | values(made[ours][case]).keys()) for case in both)
    found = compare(made, theirs, ours)
    faults = sum(not one.reason for one in found)
    name = f"{_upper(theirs)} and {ours}"
    return (name, *map(str, (len(both), total, total - len(found), len(found) - faults, faults)))


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | map[tuple[str, ...]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |\n" for line in lines]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = peers.all_builders(Path(folder), CASES)
    DOCUMENT.write_text(document(made))
    shown = {name: facts.to_json() for name, facts in made[BUILDKIT].items()}
    RECORDED.write_text(json.dumps(shown, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    assert os.geteuid() == 0, "it needs root"
    main()
