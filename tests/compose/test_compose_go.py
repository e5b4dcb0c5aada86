"""Our reading of the compose files in compose-go's own tests against `docker compose config`, as data."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from desktop.compose import output
from desktop.compose.errors import ComposeError
from desktop.compose.project import load
from tests.compose.examples import Example, options, write
from tests.support.limits import HANG_S
from tests.support.tools import ROOT, compose_go, docker_config

LEAST = 100  # projects that both read
_TEXT = re.compile(r"`([^`]*)`")  # Go's raw strings


class Case(NamedTuple):
    """`files` are the texts of an example's files in the order of `-f`, or one file with its folder beside it."""

    name: str
    files: tuple[str, ...] = ()
    path: Path | None = None


def cases(sources: Path) -> Iterator[Case]:
    for path in sorted(sources.rglob("*.y*ml")):
        if re.search(r"^(services|include):", path.read_text(), re.MULTILINE):
            yield Case(str(path.relative_to(sources)), path=path)
    seen = set()
    for path in sorted(sources.rglob("*_test.go")):
        source = path.read_text()
        texts = [found for found in _TEXT.finditer(source) if re.search(r"^services:", found[1], re.MULTILINE)]
        # Its tests of merging have a file, one that is laid over it, and what comes out.
        several = path.parent.name == "override"
        groups = zip(texts[::3], texts[1::3], strict=False) if several else ((text,) for text in texts)
        for group in groups:
            files = tuple(found[1] for found in group)
            if files not in seen:
                seen.add(files)
                yield Case(f"{path.relative_to(sources)}:{source.count(chr(10), 0, group[0].start()) + 1}", files)


def compare(case: Case, folder: Path) -> str:
    """What differs, in a few words; empty if both print the same, `refused` if both refuse it."""
    names = [f"{number}.yaml" for number in range(len(case.files))]
    if case.path is not None:
        folder, names = case.path.parent, [case.path.name]
    example = Example(
        dict(zip(names, case.files, strict=False)), tuple(word for name in names for word in ("-f", name))
    )
    if case.path is None:
        folder.mkdir()
        write(folder, example)
    done = subprocess.run(
        [docker_config() / "cli-plugins" / "docker-compose", *example.arguments, "config", "--format=json"],
        cwd=folder,
        env={"HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    try:
        ours = json.loads(output.to_json(load(options(folder, example)).select([])).replace("$", "$$"))
    except ComposeError as e:
        return f"ours refuses: {e}" if done.returncode == 0 else "refused"
    if done.returncode:
        return f"docker compose refuses: {done.stderr.strip()}"
    return _first_difference(ours, json.loads(done.stdout))


def _first_difference(ours: Any, theirs: Any, where: str = "") -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        return next(filter(None, (_first_difference(ours[key], theirs[key], f"{where}.{key}") for key in ours)), "")
    return "" if ours == theirs else f"{where}: ours {ours}, theirs {theirs}"


def described() -> set[str]:
    """The projects that docs/compose-config.md names."""
    rows = (ROOT / "docs" / "compose-config.md").read_text().splitlines()
    return {row.split("`")[1] for row in rows if row.startswith("| `")}


def test_the_projects_of_compose_go_are_the_same_data(tmp_path: Path) -> None:
    try:
        sources = compose_go()
    except subprocess.CalledProcessError as e:
        pytest.skip(f"the mirror lacks compose-go: {e}")
    every = list(cases(sources))
    docker_config()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(compare, every, [tmp_path / str(number) for number in range(len(every))]))
    differing = {
        case.name: result for case, result in zip(every, results, strict=True) if result not in ("", "refused")
    }
    assert differing.keys() == described(), json.dumps(differing, indent=1)
    assert results.count("") >= LEAST, f"{results.count('')} of {len(every)} are read by both"
