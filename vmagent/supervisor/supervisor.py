"""The supervisor: its connections to keeper and engine, the runs and execs that it holds, and every request.

It may be killed at any instant. The next one receives every entry with its descriptors from the keeper (`Keeping`),
reads the exit records and continues; the engine repeats requests that had no reply. Each request is still carried out
only once: a `spawn` of a known (id, run), or an `exec` of a known exec_id, is replied to with the existing process.

Requests of the engine are {"op", "q": number, …}; replies {"a": number, …} or {"a", "error", "kind"}; events {"e", …}.
Messages of the keeper are {"k", …}: "config" and then an "entry" for each that it holds, "start" after the last one,
"reaped" for a process that it has reaped (one of an earlier supervisor), "stop" to kill all containers and end.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from _socket import SO_PEERCRED, SOL_SOCKET

from vmagent.linux.packets import Link, PeerLost, open_socket
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.fields import from_wire
from vmagent.runtime.plantypes import VERSION, Plan, Process
from vmagent.runtime.spawner import Spawner
from vmagent.supervisor import containers, execs, records, replies, rotation
from vmagent.supervisor.child import EXITED, FAILED, RUNNING, STARTING, Child, NotHeld, Refused
from vmagent.supervisor.connections import Connection
from vmagent.supervisor.containers import Run
from vmagent.supervisor.execs import KEEP_S, Exec
from vmagent.supervisor.keeping import Keeping
from vmagent.supervisor.loop import READ, Loop
from vmagent.supervisor.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Answer = tuple[dict[str, Any], tuple[int, ...]]

_STOP_LIMIT_S = 10.0
_MAX_ENDED = 1024  # how many execs are held before the records of ended ones are dropped early
_CGROUP_PAUSE_S = 0.02
_UCRED = struct.Struct("iII")  # struct ucred: pid, uid, gid
_PARENT_KIND = "cgroup-parent"  # the "kind" of a keeper's entry for a parent cgroup


class Supervisor:
    """The whole program: one process, one thread, one loop."""

    def __init__(self, keeper: Link) -> None:
        self.loop = Loop()
        self.keeping = Keeping(keeper, self.loop)
        self._exec_containers = ""
        self._listener_fd = -1
        self._connections: list[Connection] = []
        self._runs: dict[str, Run] = {}
        self._notify_of_run = self._on_run  # one object for all runs: each access to a bound method creates a new one
        self._execs: dict[str, Exec] = {}
        self._is_sweeping = False  # whether the timer that drops records of ended execs is set
        self._is_ending = False
        self._spawner = _start_spawner(self._pids_of_children)
        self._maker: Spawner | None = self._spawner  # None: this process makes every child itself
        self._cgroup_parents: set[str] = set()
        self._operations: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "list": self._list,
            "signal": self._signal,
            "signal_exec": self._signal_exec,
            "pause": self._pause,
            "resume": self._resume,
            "update": self._update,
            "stats": self._stats,
            "pids": self._pids,
            "resize": self._resize,
            "resize_exec": self._resize_exec,
            "stdin_fd": self._stdin_fd,
            "close_stdin": self._close_stdin,
            "acknowledge": self._acknowledge,
            "list_execs": self._list_execs,
            "exec_streams": self._exec_streams,
            "exec_read": self._exec_read,
            "leave_exec": self._leave_exec,
            "close_exec_stdin": self._close_exec_stdin,
            "close_exec": self._close_exec,
            "use_spawner": self._use_spawner,
        }
        self.loop.add(keeper.fd, READ, self._on_keeper)

    def run(self) -> None:
        """Run until the keeper sends "stop", or until the keeper has ended and no container runs any more."""
        self.loop.run()
        self.keeping.flush()
        if self._spawner is not None:
            self._spawner.close()
        for path in self._cgroup_parents:
            containers.remove_empty_cgroup(path)

    def _pids_of_children(self) -> set[int]:
        return {child.pid for child in (*self._runs.values(), *self._execs.values())}

    # The keeper

    def _on_keeper(self, _events: int) -> None:
        link = self.keeping.link
        while link is not None and link is self.keeping.link:
            try:
                received = link.receive()
            except PeerLost as e:
                self.loop.remove(link.fd)
                self.keeping.lose(str(e))
                self._end_if_alone()
                return
            if received is None:
                return
            message, fds = received
            match message["k"]:
                case "config":
                    self._exec_containers = message["containers"]
                    self._listener_fd = fds[0]
                    for record in records.read_all(self._exec_containers, records.EXIT):
                        self._make_run(record).take_record(record)
                case "entry":
                    entry_fds = dict(zip(message["names"], fds, strict=True))
                    try:
                        self._restore(message["key"], message["data"], entry_fds)
                    except (KeyError, OSError, ValueError) as e:  # an entry of another version: go on with the others
                        say(f"cove-supervisor: {message['key']} can't be taken over: {e!r}")
                case "start":
                    self._find_lost()
                    self.loop.add(self._listener_fd, READ, self._on_listener)
                case "reaped":
                    for child in (*self._runs.values(), *self._execs.values()):
                        if child.pid == message["pid"] and child.exit_code is None:
                            child.on_reaped(message["status"])
                case "stop":
                    self._end_all()

    def _restore(self, key: str, data: dict[str, Any], fds: dict[str, int]) -> None:
        """Take one of the keeper's entries over. One without a process belongs to a start that ended before clone3."""
        if data["kind"] == _PARENT_KIND:
            self._cgroup_parents.add(data["path"])
        elif data["kind"] == execs.KIND:
            child = self._execs[data["exec_id"]] = Exec(data, self.loop, self.keeping, self._on_exec)
            if "exit_code" in data:
                child.restore_ended(data, fds)
                self._forget_later(child)
            elif "pid" in fds:
                child.restore(data, fds)
            else:
                del self._execs[data["exec_id"]]
                self.keeping.forget(key)
        else:
            known = self._runs.get(data["id"])
            if known is not None and known.run == data["run"]:
                known.finish_restored(fds)  # it has an exit record
                fds = {}
            else:
                run = self._make_run(data)
                if "pid" in fds:
                    run.restore(data, fds)
                else:
                    del self._runs[run.id]
                    run.finish_restored(fds)
                    fds = {}
        for fd in fds.values():
            os.close(fd)

    def _find_lost(self) -> None:
        """End runs with neither a keeper's entry nor an exit record: keeper and supervisor were killed together."""
        for record in records.read_all(self._exec_containers, records.RUNNING):
            known = self._runs.get(record["id"])
            if known is None or known.run != record["run"]:
                say(f"cove-supervisor: container {record['id']} was lost with keeper and supervisor; ending it")
                self._make_run(record).lose()

    def _make_run(self, data: dict[str, Any]) -> Run:
        run = self._runs[data["id"]] = Run(data, self._exec_containers, self.loop, self.keeping, self._notify_of_run)
        self._note_cgroup_parent(data["cgroup"].rpartition("/")[0])
        return run

    def _note_cgroup_parent(self, path: str) -> None:
        """Remember a parent cgroup, to remove it at the end; also in the keeper, for the next supervisor.

        That one could not know of it if all runs below it were acknowledged by then.
        """
        if path not in self._cgroup_parents:
            self._cgroup_parents.add(path)
            self.keeping.put(f"cgroup {path}", {"kind": _PARENT_KIND, "path": path})

    def _adopt_keeper(self, connection: Connection) -> None:
        """Accept a new keeper after the old one was killed, and send it all entries."""
        link = connection.release()
        self._connections.remove(connection)
        if self.keeping.link is not None:
            self.loop.remove(self.keeping.link.fd)
            self.keeping.lose("there is a new one")
        self.keeping.link = link
        self.loop.add(link.fd, READ, self._on_keeper)
        for child in (*self._runs.values(), *self._execs.values()):
            child.put_all()
        parents, self._cgroup_parents = self._cgroup_parents, set()
        for path in parents:
            self._note_cgroup_parent(path)
        self.keeping.hand_over(self._listener_fd)

    def _end_if_alone(self) -> None:
        """End if there is no keeper and no container runs: nothing is left to watch."""
        if self.keeping.link is None and not any(run.state in (STARTING, RUNNING) for run in self._runs.values()):
            self.loop.is_stopping = True

    def _end_all(self) -> None:
        """Kill all containers. This process ends when their exits are recorded, or after `_STOP_LIMIT_S`."""
        self._is_ending = True
        self.loop.remove(self._listener_fd)
        for run in self._runs.values():
            if run.state == RUNNING:
                try:
                    run.signal(signal.SIGKILL)
                except (NotHeld, OSError) as e:
                    say(f"cove-supervisor: {run.key}: {e}")
        self.loop.later(_STOP_LIMIT_S, self._stop)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_ending and not any(run.state in (STARTING, RUNNING, FAILED) for run in self._runs.values()):
            self.loop.is_stopping = True

    def _stop(self) -> None:
        self.loop.is_stopping = True

    # The engine

    def _on_listener(self, _events: int) -> None:
        listener = open_socket(os.dup(self._listener_fd))
        try:
            fd, _ = listener._accept()  # type: ignore[attr-defined]  # the C method behind socket.socket.accept
        except BlockingIOError:
            return
        finally:
            listener.close()
        link = Link(open_socket(fd))
        credentials = link.sock.getsockopt(SOL_SOCKET, SO_PEERCRED, _UCRED.size)
        if _UCRED.unpack(credentials)[1] != os.geteuid():
            link.close()
            return
        connection = Connection(link, self.loop, self._dispatch, self._drop)
        self._connections.append(connection)
        for run in self._runs.values():
            if run.state == EXITED:
                connection.send(replies.exited(run))
            else:
                connection.grew(run.id)
        for child in self._execs.values():
            if child.state == EXITED and not child.is_closed:
                connection.send(replies.exec_exited(child))

    def _drop(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        connection.close()

    def _dispatch(self, connection: Connection, message: dict[str, Any], fds: list[int]) -> None:
        number = message.get("q", 0)
        operation = message.get("op", "")
        try:
            if operation == "spawn":
                self._spawn(connection, message, fds)
            elif operation == "exec":
                self._exec(connection, message, fds)
            elif operation == "keeper":
                self._adopt_keeper(connection)
            elif operation in self._operations:
                answer, answer_fds = self._operations[operation](message)
                if number:
                    connection.send({**answer, "a": number}, answer_fds)
            else:
                raise Refused(f"unknown operation {operation!r}")
        except NotHeld as e:
            connection.send({"a": number, "kind": "not-held", "error": str(e)})
        except LaunchError as e:
            connection.send({"a": number, "kind": e.kind, "error": str(e)})
        except (Refused, OSError) as e:
            connection.send({"a": number, "kind": "refused", "error": str(e)})
        except Exception as e:  # noqa: BLE001  (ending would not help: the engine repeats the request)
            connection.send({"a": number, "kind": "refused", "error": f"bad request {operation}: {e!r}"})
        finally:
            for fd in fds:
                os.close(fd)

    def _publish(self, message: dict[str, Any]) -> None:
        for connection in [*self._connections]:
            connection.flush_grown()
            connection.send(message)

    # Starting

    def _spawn(self, connection: Connection, message: dict[str, Any], fds: list[int]) -> None:
        container_id, number = message["id"], message["run"]
        known = self._runs.get(container_id)
        if known is not None and known.run == number and known.state != FAILED:
            if known.state == STARTING:
                known.waiters += ((connection, message["q"]),)
                if known.is_restored and known.retry is None:
                    known.retry = (message, [os.dup(fd) for fd in fds])
            else:
                connection.send({**replies.spawned(known), "a": message["q"]})
            return
        if known is not None:
            if known.state != EXITED:
                raise Refused(f"{known.key} has not ended its run {known.run}")
            known.forget()
        if self._is_ending:
            raise Refused("the supervisor is stopping")
        log_dir = message["log_dir"]
        plan = _read(Plan, message, message["plan"])
        plan = plan._replace(process=_sized(plan.process, message["tty_size"]))
        data = {
            "id": container_id,
            "run": number,
            "tty": message["tty"],
            "cgroup": plan.cgroup,
            "window": log_dir is None,
        }
        if log_dir is not None and message.get("log_limits"):
            data["rotation"] = rotation.new_entry(log_dir, *message["log_limits"])
        run = self._make_run(data)
        try:
            run.start(
                plan,
                log_dir or f"{self._exec_containers}/{container_id}",
                fds[0] if fds else -1,
                self._maker,
                open_stdin=message["open_stdin"],
            )
        except BaseException:
            del self._runs[container_id]
            raise
        run.waiters += ((connection, message["q"]),)

    def _on_run(self, run: Run, what: str) -> None:
        match what:
            case "grew":
                for connection in [*self._connections]:
                    connection.grew(run.id)
            case "cgroup-busy":
                self.loop.later(_CGROUP_PAUSE_S, lambda: self._remove_cgroup(run))
            case "running":
                run.answer(replies.spawned(run))
                if self._is_ending:
                    run.signal(signal.SIGKILL)
            case "failed":
                del self._runs[run.id]
                self._answer_failed(run)
                self._end_if_done()
            case "exited":
                run.answer(replies.spawned(run))
                self._publish(replies.exited(run))
                self._end_if_alone()
                self._end_if_done()

    def _remove_cgroup(self, run: Run) -> None:
        """Try again to remove the run's cgroup, unless a new run of the same container uses it by now."""
        if self._runs.get(run.id, run) is run:
            run.remove_cgroup()

    def _answer_failed(self, child: Child) -> None:
        """Reply to the requests for a failed start. A start that an earlier supervisor abandoned is done again."""
        if child.is_abandoned and child.retry is not None:
            message, fds = child.retry
            waiters, child.waiters = child.waiters, ()
            for connection, number in waiters:
                self._dispatch(connection, {**message, "q": number}, [os.dup(fd) for fd in fds])
            child.forget_retry()
        elif child.failure is not None:
            child.answer({"kind": child.failure[0], "error": child.failure[1]})

    def _exec(self, connection: Connection, message: dict[str, Any], fds: list[int]) -> None:
        known = self._execs.get(message["exec_id"])
        if known is not None:
            if known.state == STARTING:
                known.waiters += ((connection, message["q"]),)
                if known.is_restored and known.retry is None:
                    known.retry = (message, [os.dup(fd) for fd in fds])
            else:
                connection.send({**replies.exec_started(known), "a": message["q"]}, known.stream_fds())
            return
        run = self._running(message)
        process = _sized(_read(Process, message, message["process"]), message["tty_size"])
        child = Exec(message, self.loop, self.keeping, self._on_exec)
        self._execs[child.exec_id] = child
        try:
            child.start(run, process, message["streams"], message["owner"], self._maker)
        except BaseException:
            del self._execs[child.exec_id]
            raise
        child.waiters += ((connection, message["q"]),)

    def _on_exec(self, child: Exec, what: str) -> None:
        match what:
            case "running":
                child.answer(replies.exec_started(child), child.stream_fds())
            case "failed":
                del self._execs[child.exec_id]
                is_awaited = any(connection.is_open for connection, _ in child.waiters)
                self._answer_failed(child)
                if not is_awaited and child.exec_id not in self._execs:  # the engine that requested it was killed
                    self._publish(replies.exec_failed(child))
            case "grew":
                is_read_up, child.is_read_up = child.is_read_up, False
                for connection in [*self._connections]:
                    connection.exec_grew(child.exec_id, at_once=is_read_up)
            case "exited":
                child.answer(replies.exec_started(child), child.stream_fds())
                self._publish(replies.exec_exited(child))
                self._forget_later(child)

    def _use_spawner(self, message: dict[str, Any]) -> Answer:
        """Choose who makes the processes from now on: the spawner what it can, or this process all of them.

        The engine never asks for it; it serves to compare the two. It ends with this process.
        """
        self._maker = self._spawner if message["is_used"] else None
        return {}, ()

    # Verbs

    def _held(self, message: dict[str, Any]) -> Run:
        run = self._runs.get(message["id"])
        if run is None:
            raise NotHeld(f"no container {message['id']}")
        return run

    def _running(self, message: dict[str, Any]) -> Run:
        run = self._held(message)
        run.require_running()
        return run

    def _list(self, _message: dict[str, Any]) -> Answer:
        held = []
        for run in self._runs.values():
            record = run.record()
            for inner in ("cgroup", "window"):
                del record[inner]
            held.append(record)
        return {"held": held}, ()

    def _signal(self, message: dict[str, Any]) -> Answer:
        self._held(message).signal(message["signum"])
        return {}, ()

    def _signal_exec(self, message: dict[str, Any]) -> Answer:
        self._held_exec(message).signal(message["signum"])
        return {}, ()

    def _held_exec(self, message: dict[str, Any]) -> Exec:
        child = self._execs.get(message["exec_id"])
        if child is None:
            raise NotHeld(f"no exec {message['exec_id']}")
        return child

    def _pause(self, message: dict[str, Any]) -> Answer:
        self._held(message).pause()
        return {}, ()

    def _resume(self, message: dict[str, Any]) -> Answer:
        self._held(message).resume()
        return {}, ()

    def _update(self, message: dict[str, Any]) -> Answer:
        self._running(message).cgroup.update(message["resources"])
        return {}, ()

    def _stats(self, message: dict[str, Any]) -> Answer:
        return {"stats": self._running(message).cgroup.stats()}, ()

    def _pids(self, message: dict[str, Any]) -> Answer:
        return {"pids": self._running(message).cgroup.pids()}, ()

    def _resize(self, message: dict[str, Any]) -> Answer:
        self._running(message).resize(message["rows"], message["cols"])
        return {}, ()

    def _resize_exec(self, message: dict[str, Any]) -> Answer:
        self._held_exec(message).resize(message["rows"], message["cols"])
        return {}, ()

    def _stdin_fd(self, message: dict[str, Any]) -> Answer:
        return {}, (self._running(message).input_fd(),)

    def _close_stdin(self, message: dict[str, Any]) -> Answer:
        self._held(message).close_stdin()
        return {}, ()

    def _acknowledge(self, message: dict[str, Any]) -> Answer:
        run = self._runs.get(message["id"])
        if run is not None and run.run == message["run"]:
            if run.state != EXITED:
                raise Refused(f"{run.key} has not ended its run {run.run}")
            # The exit record is about to be deleted. Delete the keeper's entry first, or the next supervisor would
            # restore the run from it.
            self.keeping.flush()
            del self._runs[run.id]
            run.forget()
        return {}, ()

    # Execs after their start

    def _list_execs(self, _message: dict[str, Any]) -> Answer:
        return {"execs": [child.record() for child in self._execs.values()]}, ()

    def _exec_streams(self, message: dict[str, Any]) -> Answer:
        """A client attaches to an exec that was started earlier."""
        child = self._held_exec(message)
        child.set_attended(True)
        return replies.exec_started(child), child.stream_fds()

    def _exec_read(self, message: dict[str, Any]) -> Answer:
        self._held_exec(message).read_on()
        return {}, ()

    def _leave_exec(self, message: dict[str, Any]) -> Answer:
        child = self._held_exec(message)
        child.set_attended(False)
        child.close_stdin()
        return {}, ()

    def _close_exec_stdin(self, message: dict[str, Any]) -> Answer:
        self._held_exec(message).close_stdin()
        return {}, ()

    def _close_exec(self, message: dict[str, Any]) -> Answer:
        self._held_exec(message).close_streams()
        return {}, ()

    def _forget_later(self, child: Exec) -> None:
        """Drop the record of an ended exec after `KEEP_S`, or earlier if there are more than `_MAX_ENDED` execs."""
        if len(self._execs) > _MAX_ENDED:
            ended = [one for one in self._execs.values() if one.state == EXITED and one.is_closed]
            for one in ended[: _MAX_ENDED // 4]:
                self._forget_exec(one)
        if not self._is_sweeping:
            self._is_sweeping = True
            self.loop.later(max(0.0, child.ended_at + KEEP_S - time.time()), self._forget_old)

    def _forget_exec(self, child: Exec) -> None:
        del self._execs[child.exec_id]
        child.close()
        self.keeping.forget_later(child.key)

    def _forget_old(self) -> None:
        self._is_sweeping = False
        ended = [child for child in self._execs.values() if child.state == EXITED]
        for child in ended:
            if child.ended_at + KEEP_S <= time.time():
                self._forget_exec(child)
        left = [child for child in ended if child.exec_id in self._execs]
        if left:
            self._forget_later(min(left, key=lambda child: child.ended_at))


def _read(record: Any, message: dict[str, Any], values: list[Any]) -> Any:
    """The plan or process of a request. Raises Refused if the sender's version encodes the fields differently."""
    if message["version"] != VERSION:
        raise Refused("the engine and the supervisor are of different versions: start cove-agent again")
    return from_wire(record, values)


def _sized(process: Process, size: list[int] | None) -> Process:
    return process._replace(rows=size[0], columns=size[1]) if size else process


def _start_spawner(known: Callable[[], set[int]]) -> Spawner | None:
    """Start the spawner; None if its program was not built: then this process forks itself, which is slower."""
    try:
        return Spawner(known, lambda reason: say(f"cove-supervisor: no spawner, containers start slower: {reason}"))
    except OSError as e:
        say(f"cove-supervisor: no spawner, containers start slower: {e}")
        return None
