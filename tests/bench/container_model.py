"""How long the table's model holds the GUI thread at each kind of change: the median of 15, with 1,600 containers.

    .venv/bin/python tests/bench/container_model.py

A program, not a test: a test of a time fails on a busy machine. tests/ui/test_models.py counts signals and searches
instead.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before Qt is loaded

from PySide6.QtWidgets import QApplication

from desktop.ui.containers.filter import ContainerFilter
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.container import PROJECT_LABEL, Container, Usage

COUNT, ROUNDS = 1600, 15


def containers(per_project: int) -> list[Container]:
    def labels(number: int) -> dict[str, str]:
        return {PROJECT_LABEL: f"project{number // per_project}"} if per_project else {}

    return [
        Container(id=f"{n:064x}", name=f"c{n * 7919 % COUNT}", image="busybox", status="running", labels=labels(n))
        for n in range(COUNT)
    ]


def median_ms(change: Callable[[], object], undo: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        change()
        times.append((time.perf_counter() - began) * 1000)
        undo()
    return statistics.median(times)


def measure(name: str, per_project: int) -> None:
    everything = containers(per_project)
    ended = [replace(container, status="exited") for container in everything]
    usage = {c.id: Usage(cpu_percent=3.0, memory_bytes=2**20, memory_limit=0) for c in everything}
    model = ContainerModel()
    rows = ContainerFilter(model)
    changes: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("load all", lambda: model.load(everything), lambda: model.load([])),
        ("one row's usage", lambda: model.set_usage({everything[-1].id: usage[everything[-1].id]}), lambda: None),
        ("all rows' usage", lambda: model.set_usage(usage), lambda: None),
        ("all end", lambda: model.put(ended), lambda: model.put(everything)),
        ("contact lost", lambda: model.set_lost(1.0), lambda: model.set_lost(None)),
        ("drop every second", lambda: model.drop([c.id for c in everything[::2]]), lambda: model.put(everything)),
    ]
    for what, change, undo in changes:
        if what != "load all":
            model.load(everything)
        print(f"{name:22} {what:20} {median_ms(change, undo):8.1f} ms")
    assert rows.rowCount()


def main() -> int:
    app = QApplication([])
    measure("no projects", 0)
    measure("projects of 8", 8)
    app.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
