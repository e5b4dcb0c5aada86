"""Builds as rows of the table, and the steps of one build as rows of its time axis."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from desktop.client.builds import Build, Step
from desktop.ui.kit.elide import fit_image
from desktop.ui.kit.rows import Cell, Column, Segment
from desktop.ui.kit.states import State
from desktop.ui.kit.words import ago, counted, duration, tr

STATES = {"running": State.WORKING, "completed": State.DONE, "failed": State.PROBLEM, "canceled": State.STOPPED}
# BuildKit's names of steps: `[stage 2/5] RUN make`, `[2/5] RUN make`, `[internal] load build context`.
_NAME = re.compile(
    r"\[(?:(?P<stage>[^\]]*?) )?(?:\d+/\d+)\] (?P<text>.*)|\[(?P<internal>internal)\] (?P<rest>.*)", re.S
)


def title(build: Build) -> str:
    """Its image's first name without docker.io's prefixes, else what it is."""
    if build.names:
        return build.names[0].removeprefix("docker.io/library/").removeprefix("docker.io/")
    return tr("without a name, {id}", id=build.id[:12])


def took(build: Build) -> str:
    end = time.time() if build.ended_s is None else build.ended_s
    return duration(max(0.0, end - build.started_s))


def result(build: Build) -> str:
    """How it went, in a few words."""
    match build.state:
        case "running":
            return tr("Building")
        case "failed":
            return tr("Failed")
        case "canceled":
            return tr("Cancelled")
    if build.steps and build.cached_steps == build.steps:
        return tr("All cached")
    return tr("{cached} of {n} cached", cached=build.cached_steps, n=build.steps)


def about(build: Build) -> str:
    """One line for the head of the card."""
    words = {
        "running": tr("Building for {time}", time=took(build)),
        "completed": tr("Built in {time}", time=took(build)),
        "failed": tr("Failed after {time}", time=took(build)),
        "canceled": tr("Cancelled after {time}", time=took(build)),
    }
    parts = [words.get(build.state, build.state)]
    if build.steps:
        parts.append(counted(build.steps, "{n} step, {cached} cached", "{n} steps, {cached} cached",
                             cached=build.cached_steps))  # fmt: skip
    if build.target:
        parts.append(tr("target {name}", name=build.target))
    return ", ".join(parts)


def columns() -> tuple[Column[Build], ...]:
    return (
        Column(
            title=tr("Image"),
            cell=lambda b: Cell(text=title(b), state=STATES.get(b.state, State.UNKNOWN), role="name", tone="text"),
            tip=lambda b: "\n".join(b.names) or b.id,
            share=3,
            fit=fit_image,
        ),
        Column(
            title=tr("Result"),
            cell=lambda b: Cell(text=result(b), tone="bad" if b.state == "failed" else "text2"),
            order=lambda b: b.state,
            width=96,
        ),
        Column(
            title=tr("Begun"),
            cell=lambda b: Cell(text=ago(b.started_s)),
            order=lambda b: b.started_s,
            width=80,
            descends=True,
        ),
        Column(
            title=tr("Time"),
            cell=lambda b: Cell(text=took(b)),
            width=76,
            right=True,
            descends=True,
            order=lambda b: (b.ended_s or time.time()) - b.started_s,
        ),
    )


def segments() -> tuple[Segment[Build], ...]:
    return (
        Segment(tr("All"), lambda b: True),
        Segment(tr("Running"), lambda b: b.state == "running"),
        Segment(tr("Failed"), lambda b: b.state == "failed"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A line of the time axis: a step, or the head of a stage (without `step`)."""

    text: str
    step: Step | None = None

    @property
    def key(self) -> tuple[str, bool]:
        """What it has in common with the rows of later reports that stand for the same."""
        return (self.text, False) if self.step is None else (self.step.id, True)

    @property
    def note(self) -> str:
        """What stands at its end."""
        step = self.step
        if step is None:
            return ""
        if step.error:
            return tr("cancelled") if step.error.endswith("canceled") else tr("failed")
        if step.cached:
            return tr("cached")
        if step.started_s is None:
            return tr("waiting")
        if step.ended_s is None:
            return tr("{time} so far", time=duration(max(0.0, time.time() - step.started_s)))
        return duration(max(0.0, step.ended_s - step.started_s))

    @property
    def said(self) -> str:
        """The line for a screen reader."""
        return f"{self.text}, {self.note}" if self.step is not None else self.text


def rows_of(steps: Iterable[Step]) -> list[StepRow]:
    """The steps by stage, stages in the order of their first steps."""
    stages: dict[str, list[StepRow]] = {}
    for step in steps:
        stage, text = _parts(step.name)
        stages.setdefault(stage, []).append(StepRow(text=text, step=step))
    if len(stages) == 1:
        return next(iter(stages.values()))
    return [row for stage, rows in stages.items() for row in (StepRow(text=stage), *rows)]


def _parts(name: str) -> tuple[str, str]:
    found = _NAME.fullmatch(name)
    if found is None:
        return tr("result"), name
    if found["internal"]:
        return tr("preparation"), found["rest"]
    stage = (found["stage"] or "").removeprefix("stage-")  # what BuildKit calls one without a name
    return (tr("stage {name}", name=stage) if stage else tr("steps")), found["text"]
