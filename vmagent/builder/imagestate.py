"""An image as it grows while a stage is built: configuration, history, layers. Pure values; no input or output.

What an instruction writes into configuration and history is BuildKit's (frontend/dockerfile/dockerfile2llb).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from vmagent.builder.cachedocument import INLINE
from vmagent.containers.goio import duration
from vmagent.dockerfile import ports, tree
from vmagent.dockerfile.expand import Scope
from vmagent.dockerfile.text import go_quote, go_quote_rune
from vmagent.images import config as image_config
from vmagent.images.changes import DEFAULT_SHELL, absolute, changed_fields
from vmagent.images.platforms import Platform

COMMENT = "buildkit.dockerfile.v0"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageState:
    """The image up to one instruction of a stage. `inner` is the config's `config`; neither it nor `whole` is changed
    in place."""

    whole: Mapping[str, Any]  # the base's config without config, rootfs and history
    inner: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    layers: tuple[str, ...]
    scope: Scope
    sets_cmd: bool = False  # this stage has a CMD
    created: str = ""  # RFC 3339, of the latest layer
    epoch: int | None = field(default=None)

    @property
    def chain(self) -> str:
        """The digest of the stack of layers."""
        return hashlib.sha256("\n".join(self.layers).encode()).hexdigest()

    @property
    def cwd(self) -> str:
        return self.inner.get("WorkingDir") or "/"

    @property
    def user(self) -> str:
        return self.inner.get("User") or ""

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(self.inner.get("Shell") or DEFAULT_SHELL)

    @property
    def config(self) -> dict[str, Any]:
        """The whole OCI config."""
        return {
            **self.whole,
            "created": self.created or EPOCH_START,
            "config": dict(self.inner),
            "rootfs": {"type": "layers", "diff_ids": [*self.layers]},
            "history": [dict(entry) for entry in self.history],
        }

    @property
    def image_id(self) -> str:
        return f"sha256:{hashlib.sha256(image_config.dump(self.config)).hexdigest()}"

    def with_layer(self, diff_id: str, created_by: str, created: str) -> ImageState:
        """The image with one more layer."""
        entry = {"created": created, "created_by": created_by, "comment": COMMENT}
        return replace(self, layers=(*self.layers, diff_id), history=(*self.history, entry), created=created)

    def with_config(self, created_by: str, **inner: Any) -> ImageState:
        """The image with another configuration; "" leaves the history alone. A value None removes a key."""
        changed = {key: value for key, value in {**self.inner, **inner}.items() if value is not None}
        history = self.history
        if created_by:
            created = {"created": self.created} if self.created else {}
            entry = {**created, "created_by": created_by, "comment": COMMENT, "empty_layer": True}
            history = (*history, entry)
        return replace(self, inner=changed, history=history)

    def absolute(self, path: str) -> str:
        """`path` of an instruction, relative to WORKDIR. A slash at the end stays, since it means a folder."""
        joined = absolute(self.inner, path)
        is_folder = path.endswith(("/", "/.")) or path in (".", "..")
        return joined if not is_folder or joined == "/" else joined + "/"


EPOCH_START = "1970-01-01T00:00:00Z"


def rfc3339(seconds: float) -> str:
    return image_config.timestamp(datetime.fromtimestamp(seconds, UTC))


def empty(platform: Platform, epoch: int | None) -> ImageState:
    """FROM scratch."""
    whole: dict[str, Any] = {"architecture": platform.architecture, "os": platform.os}
    if platform.variant:
        whole["variant"] = platform.variant
    env = [f"PATH={DEFAULT_PATH}"]
    return ImageState(
        whole=whole,
        inner={"Env": env, "WorkingDir": "/"},
        history=(),
        layers=(),
        scope=Scope(_env(env)),
        created="" if epoch is None else rfc3339(epoch),
        epoch=epoch,
    )


def of_image(config: Mapping[str, Any], layers: Sequence[str], epoch: int | None) -> ImageState:
    """FROM an image."""
    found = copy.deepcopy(dict(config))
    inner = found.pop("config", None) or {}
    history = found.pop("history", None) or ()
    found.pop("rootfs", None)
    created = found.pop("created", None) or ""
    for key in ("container", "container_config", "docker_version", "id", "parent", "throwaway", INLINE):
        found.pop(key, None)
    return ImageState(
        whole=found,
        inner={key: value for key, value in inner.items() if key not in ("Hostname", "Image")},
        history=tuple(history),
        layers=tuple(layers),
        scope=Scope(_env(inner.get("Env") or ())),
        created=created if epoch is None else rfc3339(epoch),
        epoch=epoch,
    )


def of_stage(state: ImageState) -> ImageState:
    """FROM an earlier stage."""
    # The values of its ARGs stay in the environment; the history shows those that this stage declares.
    return replace(state, sets_cmd=False, scope=replace(state.scope, arguments=()))


def _env(env: Sequence[str]) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in env)


def is_metadata(instruction: tree.Instruction) -> bool:
    """Whether the instruction changes the configuration only."""
    return not isinstance(instruction, tree.Run | tree.Copy | tree.Add | tree.Workdir)


def _words(words: Sequence[str]) -> str:
    """A list as Go's %q prints it."""
    return f"[{' '.join(go_quote(word) for word in words)}]"


def apply(state: ImageState, instruction: tree.Instruction, scope: Scope) -> ImageState:
    """The image after an instruction that only changes the configuration, its variables replaced.

    Raises DockerfileError.
    """
    fields = changed_fields(state.inner, instruction)
    created_by = _history(instruction, fields)
    sets_cmd, whole = state.sets_cmd, state.whole
    match instruction:
        case tree.Cmd():
            fields["ArgsEscaped"] = True
            sets_cmd = True
        case tree.Entrypoint() if not sets_cmd:
            fields["Cmd"] = None
        case tree.Maintainer():
            whole = {**whole, "author": instruction.name}
    return replace(state.with_config(created_by, **fields), scope=scope, sets_cmd=sets_cmd, whole=whole)


def _history(found: tree.Instruction, fields: Mapping[str, Any]) -> str:
    """The history's `created_by` of an instruction that sets `fields`; "" for one that the history does not have."""
    match found:
        case tree.Env():
            return f"ENV {_joined(found.pairs)}"
        case tree.Label():
            return f"LABEL {_joined(found.pairs)}"
        case tree.Arg():
            said = [one.name if one.value is None else f"{one.name}={one.value}" for one in found.arguments]
            return f"ARG {' '.join(said)}"
        case tree.Maintainer():
            return f"MAINTAINER {found.name}"
        case tree.Cmd():
            return f"CMD {_words(fields['Cmd'])}"
        case tree.Entrypoint():
            return f"ENTRYPOINT {_words(fields['Entrypoint'])}"
        case tree.Shell():
            return f"SHELL [{' '.join(found.words)}]"
        case tree.User():
            return f"USER {found.user}"
        case tree.StopSignal():
            return f"STOPSIGNAL {found.signal}"
        case tree.Volume():
            return f"VOLUME [{' '.join(found.paths)}]"
        case tree.Expose():
            said = [f"{port}:{{}}" for port in sorted(ports.exposed_ports(found.ports))]
            return f"EXPOSE map[{' '.join(said)}]"
        case tree.Healthcheck():
            return f"HEALTHCHECK {_health(found.health)}"
        case tree.Onbuild():
            return ""
    raise ValueError(f"{found.keyword} is no instruction of the configuration")


def _joined(pairs: Sequence[tree.Pair]) -> str:
    return " ".join(f"{pair.key}={pair.value}" for pair in pairs)


def _health(health: tree.Health) -> str:
    times = (health.interval_ns, health.timeout_ns, health.start_period_ns, health.start_interval_ns)
    said = " ".join(f'"{duration(value)}"' for value in times)
    return f"&{{{_words(health.test)} {said} {go_quote_rune(health.retries)}}}"
