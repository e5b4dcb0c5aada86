"""Running a container from an image in five steps: look, pull, create, mount, start.

The command line and the window run the same steps and are told of each as it begins and ends, with the time it took.
Mounting and starting are one call of the Engine API; our engine says beside it how long each took, and where nobody
says it the whole time counts as the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from desktop.client import reference
from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, PullProgress, PullStream, StreamFailed
from desktop.client.wire import ProtocolError

STEP_NAMES = ("look", "pull", "create", "mount", "start")


class StepState(StrEnum):
    """The progress of a step."""

    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


class Pull(StrEnum):
    """docker's `--pull`: when to pull the image."""

    ALWAYS = "always"
    MISSING = "missing"
    NEVER = "never"


class Cancelled(Exception):
    """`Pipeline.cancel` was called; no partial container is left."""


@dataclass(frozen=True, slots=True)
class Step:
    """A report of one step. `number` counts from 1; `ms` is 0 while it runs; `detail` is one fact for the user."""

    number: int
    name: str
    state: StepState
    ms: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What to run. `config` is the body of the API's container create, its `Image` filled in from `image`."""

    image: str
    config: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    platform: str | None = None
    pull: Pull = Pull.MISSING
    auth: str | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A container that was created and not started."""

    id: str
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Started:
    """A container that runs (or ran: it may have ended already), and its five steps."""

    id: str
    warnings: Sequence[str]
    steps: Sequence[Step]


OnStep = Callable[[Step], None]
OnLayer = Callable[[PullProgress], None]


def _ignore(_: object) -> None:
    """The default observer: ignores the reports."""


class Pipeline:
    """The five steps of one run. `create` and `start` are called once each, in this order; `cancel` from any thread."""

    def __init__(
        self, client: EngineClient, options: RunOptions, on_step: OnStep = _ignore, on_layer: OnLayer = _ignore
    ) -> None:
        self._client = client
        self._options = options
        self._on_step = on_step
        self._on_layer = on_layer
        self._pulling: PullStream | None = None
        self._is_cancelled = False
        self.steps: dict[str, Step] = {}

    def cancel(self) -> None:
        """Interrupt a pull, or stop before the next step."""
        self._is_cancelled = True
        if self._pulling is not None:
            self._pulling.close()

    def create(self) -> Created:
        """Look, pull if needed, create.

        Raises ApiError, StreamFailed, InvalidReference, ConnectionFailed, Cancelled.
        """
        options = self._options
        is_here = self._look()
        if options.pull is Pull.ALWAYS or (not is_here and options.pull is Pull.MISSING):
            self._pull()
        elif is_here:
            self._tell("pull", StepState.SKIPPED, detail="already here")
        self._check_cancelled()
        began = self._begin("create")
        config = {**options.config, "Image": options.image}
        try:
            try:
                made = self._client.create(config, name=options.name, platform=options.platform)
            except ApiError as e:
                # 404 always means a missing image: another platform is wanted, or the image was removed since the look.
                if e.status != 404 or options.pull is not Pull.MISSING or not is_here:
                    raise
                self._pull()
                made = self._client.create(config, name=options.name, platform=options.platform)
        except (ApiError, ConnectionFailed) as e:
            self._fail("create", began, e)
            raise
        created = Created(str(made["Id"]), tuple(made.get("Warnings") or ()))
        self._end("create", began, created.id[:12])
        return created

    def start(self, created: Created, *, detach_keys: str | None = None) -> Started:
        """Mount and start. Raises ApiError, ConnectionFailed; the container stays created then."""
        began = self._begin("mount")
        try:
            self._client.start(created.id, detach_keys=detach_keys)
        except (ApiError, ConnectionFailed) as e:
            self._tell("mount", StepState.SKIPPED)
            self._fail("start", began, e)
            raise
        took_ms = (time.perf_counter() - began) * 1000
        try:
            told = self._client.timeline(created.id)
            mount_ms, layers, pid = float(told["mount_ms"]), int(told.get("layers") or 0), told.get("pid")
        except (ApiError, KeyError, TypeError, ValueError, ProtocolError, ConnectionFailed):
            # Another engine, or the container was removed already (--rm): only the whole time of the start is known.
            self._tell("mount", StepState.SKIPPED, detail="counted with the start")
            self._tell("start", StepState.DONE, took_ms)
        else:
            layers_text = f"{layers} layer{'s' if layers != 1 else ''} and a writable one" if layers else ""
            self._tell("mount", StepState.DONE, mount_ms, layers_text)
            self._tell("start", StepState.DONE, max(0.0, took_ms - mount_ms), f"process {pid}" if pid else "")
        return Started(created.id, created.warnings, [self.steps[n] for n in STEP_NAMES if n in self.steps])

    def _look(self) -> bool:
        began = self._begin("look")
        try:
            image = self._client.image_inspect(self._options.image)
        except ApiError as e:
            if e.status != 404:
                self._fail("look", began, e)
                raise
            self._end("look", began, f"{self._options.image} is not here")
            return False
        except ConnectionFailed as e:
            self._fail("look", began, e)
            raise
        self._end("look", began, _about(image, self._options.image))
        return True

    def _pull(self) -> None:
        self._check_cancelled()
        began = self._begin("pull")
        last = ""
        try:
            with self._client.pull(
                self._options.image, platform=self._options.platform, auth=self._options.auth
            ) as self._pulling:
                for line in self._pulling:
                    self._on_layer(line)
                    last = line.status if not line.is_progress else last
                self._check_cancelled()
        except (ApiError, StreamFailed, ConnectionFailed, ProtocolError, reference.InvalidReference) as e:
            self._fail("pull", began, e)
            raise
        finally:
            self._pulling = None
        self._end("pull", began, last.removeprefix("Status: "))

    def _check_cancelled(self) -> None:
        if self._is_cancelled:
            raise Cancelled

    def _begin(self, name: str) -> float:
        self._tell(name, StepState.RUNNING)
        return time.perf_counter()

    def _end(self, name: str, began: float, detail: str = "") -> None:
        self._tell(name, StepState.DONE, (time.perf_counter() - began) * 1000, detail)

    def _fail(self, name: str, began: float, error: Exception) -> None:
        self._tell(name, StepState.FAILED, (time.perf_counter() - began) * 1000, str(error))

    def _tell(self, name: str, state: StepState, ms: float = 0.0, detail: str = "") -> None:
        step = Step(STEP_NAMES.index(name) + 1, name, state, ms, detail)
        self.steps[name] = step
        self._on_step(step)


def _about(image: Mapping[str, Any], name: str) -> str:
    layers = len((image.get("RootFS") or {}).get("Layers") or ())
    size = int(image.get("Size") or 0)
    return f"{name}: {layers} layer{'s' if layers != 1 else ''}, {size / 1e6:.3g} MB"
