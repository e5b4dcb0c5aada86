"""The engine's events as sentences, and the list of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QTimer,
)

from desktop.ui.feed.happening import Happening
from desktop.ui.kit.words import ago, clock_ms, short_id, tr

KEPT = 5_000
DECIDE_MS = 1_000


Index = QModelIndex | QPersistentModelIndex


HappeningRole = Qt.ItemDataRole.UserRole + 1


def sentence(happening: Happening) -> str:
    """One event as a sentence that names its object."""
    name = happening.name if happening.kind != "image" else image_name(happening)
    if happening.kind == "network" and (container := happening.attributes.get("container")):
        text = {"connect": tr("{c} joined network {n}"), "disconnect": tr("{c} left network {n}")}.get(happening.action)
        if text:
            return text.format(c=container, n=name)
    if happening.kind == "container":
        if happening.action == "die":
            return tr("{name} ended with status {code}", name=name, code=happening.attributes.get("exitCode", "?"))
        if happening.action == "kill":
            return tr("{name} was sent signal {n}", name=name, n=happening.attributes.get("signal", "?"))
        if happening.action.startswith("exec_create"):
            return tr("{name}: exec created: {what}", name=name, what=happening.action.partition(": ")[2])
        if happening.action.startswith("exec_start"):
            return tr("{name}: exec started: {what}", name=name, what=happening.action.partition(": ")[2])
        if happening.action.startswith("exec_die"):
            return tr(
                "{name}: the exec ended with status {code}",
                name=name,
                code=happening.attributes.get("exitCode", "?"),
            )
        if happening.action.startswith("health_status"):
            return tr("{name} is {health}", name=name, health=happening.action.partition(": ")[2])
        if happening.action == "rename":
            return tr(
                "{old} was renamed to {name}", old=happening.attributes.get("oldName", "?").lstrip("/"), name=name
            )
    texts = {
        "create": tr("{name} was created"),
        "start": tr("{name} started"),
        "stop": tr("{name} was stopped"),
        "restart": tr("{name} was restarted"),
        "pause": tr("{name} was paused"),
        "unpause": tr("{name} was resumed"),
        "destroy": tr("{name} was deleted"),
        "oom": tr("{name} ran out of memory"),
        "attach": tr("A client attached to {name}"),
        "resize": tr("The terminal of {name} was resized"),
        "update": tr("{name}'s limits were changed"),
        "pull": tr("{name} was pulled"),
        "tag": tr("{name} was tagged"),
        "untag": tr("{name} was untagged"),
        "delete": tr("{name} was deleted"),
        "import": tr("{name} was imported"),
        "load": tr("{name} was loaded"),
        "prune": tr("Unused objects were deleted"),
        "mount": tr("{name} was mounted"),
        "unmount": tr("{name} was unmounted"),
    }
    return texts.get(happening.action, tr("{name}: {action}")).format(name=name, action=happening.action)


def image_name(happening: Happening) -> str:
    name = happening.attributes.get("name") or happening.object_id
    return short_id(name) if name.startswith("sha256:") else name


def tone(happening: Happening) -> str:
    """The colour token of the row's icon. Only starts and problems have a colour of their own."""
    if happening.action == "oom" or (
        happening.action == "die" and happening.attributes.get("exitCode", "0") not in ("0", "143", "130")
    ):
        return "bad"
    return {"start": "run", "health_status: unhealthy": "bad"}.get(happening.action, "text3")


class ActivityModel(QAbstractListModel):
    """The last 5,000 events, newest first."""

    def __init__(
        self,
        name_of: Callable[[str], str],
        probe_of: Callable[[str], str | None],
        parent: QObject | None = None,
    ) -> None:
        """`name_of(id)` is a container's name; `probe_of(id)` the command of its health check, empty without
        one, None as long as that is not known."""
        super().__init__(parent)
        self._name_of, self._probe_of = name_of, probe_of
        self._known_probes: dict[str, str] = {}
        self._probes: set[str] = set()  # execs of health checks that have not ended yet
        self._all: deque[Happening] = deque(maxlen=KEPT)
        self._shown: list[Happening] = []
        self._kind, self._text = "", ""
        self._waiting: list[Happening] = []
        self._frame = QTimer(self)  # a burst of events changes the list once
        self._frame.setSingleShot(True)
        self._frame.setInterval(16)
        self._frame.timeout.connect(self._flush)
        self._undecided: list[Happening] = []
        self._later = QTimer(self)  # by then a new container has been inspected
        self._later.setSingleShot(True)
        self._later.setInterval(DECIDE_MS)
        self._later.timeout.connect(self._decide)

    def add_past(self, happenings: Iterable[Happening], probes: Mapping[str, str]) -> None:
        """Add what happened before everything that is here, oldest first. What is here already is left out.

        `probes` are the commands of health checks, by the container's id.
        """
        self._known_probes = dict(probes)
        known = {(h.at_s, h.object_id, h.action) for h in (*self._all, *self._waiting)}
        past = [h for h in happenings if (h.at_s, h.object_id, h.action) not in known and not self._is_noise(h)]
        room = max(0, KEPT - len(self._all) - len(self._waiting))
        past = past[len(past) - room :] if len(past) > room else past
        self._all.extend(reversed(past))
        shown = [h for h in reversed(past) if self._accepts(h)]
        if shown:
            self.beginInsertRows(QModelIndex(), len(self._shown), len(self._shown) + len(shown) - 1)
            self._shown += shown
            self.endInsertRows()

    def _is_noise(self, happening: Happening) -> bool:
        """Whether it is one of the execs of a health check: three events each, every few seconds. Its result, when it
        changes, is an event of its own."""
        action, _, command = happening.action.partition(": ")
        exec_id = happening.attributes.get("execID", "")
        if action in ("exec_create", "exec_start"):
            probe = self._probe_of(happening.object_id) or self._known_probes.get(happening.object_id, "")
            if command and command == probe:
                self._probes.add(exec_id)
                return True
        elif action == "exec_die" and exec_id in self._probes:
            self._probes.discard(exec_id)
            return True
        return False

    def add(self, happenings: Iterable[Happening]) -> None:
        """Add what has just happened, in order."""
        for happening in happenings:
            if happening.action.startswith("exec_") and self._probe_of(happening.object_id) is None:
                self._undecided.append(happening)
                continue
            if self._is_noise(happening):
                continue
            if happening.kind == "network" and (container := happening.attributes.get("container")):
                named = {**happening.attributes, "container": self._name_of(container)}
                happening = replace(happening, attributes=named)
            self._waiting.append(happening)
        if self._undecided and not self._later.isActive():
            self._later.start()
        if self._waiting and not self._frame.isActive():
            self._frame.start()

    def _decide(self) -> None:
        """Add the execs of containers that were not known yet; those that are still unknown are shown."""
        waiting, self._undecided = self._undecided, []
        self._waiting += [happening for happening in waiting if not self._is_noise(happening)]
        self._flush()

    def _flush(self) -> None:
        fresh, self._waiting = self._waiting, []
        self._all.extendleft(fresh)
        shown = [h for h in reversed(fresh) if self._accepts(h)]
        if shown:
            self.beginInsertRows(QModelIndex(), 0, len(shown) - 1)
            self._shown[:0] = shown
            self.endInsertRows()
        if len(self._shown) > KEPT:
            self.beginRemoveRows(QModelIndex(), KEPT, len(self._shown) - 1)
            del self._shown[KEPT:]
            self.endRemoveRows()

    def choose(self, kind: str, text: str) -> None:
        self.beginResetModel()
        self._kind, self._text = kind, text.strip().lower()
        self._shown = [h for h in self._all if self._accepts(h)]
        self.endResetModel()

    def _accepts(self, happening: Happening) -> bool:
        if self._kind and happening.kind != self._kind:
            return False
        return not self._text or self._text in sentence(happening).lower()

    def counts(self, kinds: Sequence[str]) -> list[int]:
        """How many events there are of each of `kinds`; the empty kind is all of them."""
        known = Counter(happening.kind for happening in self._all)
        return [known[kind] if kind else len(self._all) for kind in kinds]

    @property
    def total(self) -> int:
        return len(self._all)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid() or index.row() >= len(self._shown):
            return None
        happening = self._shown[index.row()]
        if role == HappeningRole:
            return happening
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{clock_ms(happening.at_s)} {sentence(happening)}"
        if role == Qt.ItemDataRole.ToolTipRole:
            facts = [f"{key}={value}" for key, value in sorted(happening.attributes.items())][:12]
            return "\n".join(
                [f"{happening.kind} {happening.action}, {ago(happening.at_s)}", happening.object_id[:64], *facts]
            )
        return None
