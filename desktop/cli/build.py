"""`cove build`: an image from a Dockerfile. Shows each step with its time, or that the cache had it; a step that fails,
with its place in the Dockerfile."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop.cli import buildcontext as given_context
from desktop.cli import cacheflags, outputflags, secretflags
from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.client import buildcontext, buildsecrets, logins, reference
from desktop.client.buildcontext import ContextUnusable
from desktop.client.buildsecrets import SecretsUnusable
from desktop.client.engine import StreamFailed

if TYPE_CHECKING:
    from desktop.cli.app import App
    from desktop.cli.flags import Parsed
    from desktop.client.engine import EngineClient

SPEC = Spec(
    name="build",
    usage="[OPTIONS] PATH | URL | -",
    summary="Build an image from a Dockerfile; with `-`, from a Dockerfile or a tar on stdin",
    least=1,
    most=1,
    flags=(
        Flag("add-host", kind="list", many=True, help="A line of /etc/hosts for RUN (name:address)"),
        Flag("build-arg", kind="list", many=True, help="A value for ARG (NAME=VALUE, or NAME from the environment)"),
        Flag(
            "build-context",
            kind="list",
            many=True,
            help="A context for COPY --from and FROM: NAME=FOLDER, NAME=docker-image://IMAGE, NAME=URL",
        ),
        Flag(
            "cache-from",
            kind="list",
            many=True,
            help="A cache to use: an image, or type=registry,ref=NAME",
        ),
        Flag(
            "cache-to",
            kind="list",
            many=True,
            help="A cache to write: type=registry,ref=NAME[,mode=max], type=inline",
        ),
        Flag("cgroup-parent", kind="string", help="The parent cgroup of RUN's commands"),
        Flag("check", help="Check the Dockerfile and build nothing; 1 if anything was found"),
        Flag("cpu-period", kind="int", help="CFS period of RUN's commands in microseconds"),
        Flag("cpu-quota", kind="int", help="CFS quota of RUN's commands in microseconds"),
        Flag("cpu-shares", "c", "int", "Relative weight of RUN's commands"),
        Flag("cpuset-cpus", kind="string", help="CPUs for RUN's commands (0-3, 0,1)"),
        Flag("cpuset-mems", kind="string", help="Memory nodes for RUN's commands (0-3, 0,1)"),
        Flag("file", "f", "string", "The Dockerfile, if it is not PATH/Dockerfile; `-` is stdin"),
        Flag("force-rm", help="Accepted for docker's sake: nothing is left of a step"),
        Flag("iidfile", kind="string", help="Write the image's ID to this file"),
        Flag("label", kind="list", many=True, help="A label of the image (key=value)"),
        Flag("load", help="Keep the image in the engine, as without this flag"),
        Flag("memory", "m", "bytes", "Memory limit of RUN's commands"),
        Flag("memory-swap", kind="bytes", help="The limit with swap; -1: unlimited"),
        Flag("network", kind="string", help="The network of RUN's commands"),
        Flag("no-cache", help="Run all steps"),
        Flag("no-cache-filter", kind="list", many=True, help="A stage whose steps are all run"),
        Flag(
            "output",
            "o",
            "list",
            "What becomes of it: FOLDER, type=local|tar|oci|docker,dest=PATH, type=image[,push=true]",
            many=True,
        ),
        Flag("platform", kind="string", help="The image's platform, or several (linux/amd64,linux/arm64)"),
        Flag("pull", help="Ask the registry for newer base images"),
        Flag("push", help="Send the image to its registry"),
        Flag("quiet", "q", help="Print the image's ID only"),
        Flag("rm", help="Accepted for docker's sake: nothing is left of a step", default=True),
        Flag("secret", kind="list", many=True, help="For RUN --mount=type=secret (id=ID,src=FILE or id=ID,env=NAME)"),
        Flag("shm-size", kind="bytes", help="Size of /dev/shm"),
        Flag("tag", "t", "list", "A name for the image (name[:tag])", many=True),
        Flag("target", kind="string", help="The stage to build"),
        Flag("ulimit", kind="list", many=True, help="Limit (nofile=1024[:2048])"),
    ),
    statuses=(
        ("0", "done"),
        ("1", "it failed"),
        ("125", "a flag is wrong"),
        ("N", "the status of the RUN that failed"),
    ),
)
_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_FAILED = re.compile(r"The command '(.*)' returned a non-zero code: (\d+)", re.DOTALL)


def main(argv: Sequence[str], app: App) -> int:
    try:
        return _build(argv, app)
    except (ContextUnusable, SecretsUnusable) as e:
        raise Failure(str(e)) from e


def _build(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    (where,) = flags.args
    wanted = outputflags.outputs(flags.many("output"), load=flags.on("load"), push=flags.on("push"))
    query = _query(flags)
    query["t"] = [*query["t"], *wanted.names]
    sources, folders = buildcontext.named(_named(flags.many("build-context")))
    if folders and (where == "-" or given_context.is_remote(where)):
        raise Failure("folders of --build-context need a folder as the main context")
    pieces: Iterable[bytes] | None
    text: bytes | None
    if given_context.is_remote(where):
        name, text, pieces = flags.text("file") or "Dockerfile", None, None
    elif where == "-":
        name, text, pieces = given_context.of_stdin(sys.stdin.buffer, flags.text("file"))
    else:
        folder = Path(where)
        if not folder.is_dir():
            raise Failure(f"unable to prepare context: path {json.dumps(where)} not found")
        name, text, added = given_context.find_dockerfile(folder, flags.text("file"))
        check = flags.on("check")
        pieces = (
            buildcontext.for_check(folder, name, text, added)
            if check
            else buildcontext.of_folder(folder, added, folders)
        )
        if check:
            sources = {}
    client = app.client()
    if (wanted.kind or sources or flags.many("no-cache-filter")) and not client.is_cove():
        raise Failure("only Cove's engine takes --output, --build-context and --no-cache-filter from here")
    secrets = buildsecrets.headers(client, secretflags.secrets(flags.many("secret"), app.environ))
    answers = client.stream(
        "POST",
        "/build",
        {
            **query,
            "dockerfile": name,
            "remote": where if pieces is None else None,
            "contexts": json.dumps(sources) if sources else None,
            "nocachefilter": flags.many("no-cache-filter"),
            "outputs": json.dumps([{"Type": wanted.kind, "Attrs": {}}]) if wanted.kind else None,
        },
        data=pieces,
        headers={"Content-Type": "application/x-tar", **logins.headers_of_build(), **secrets},
    )
    if flags.on("check"):
        return _show_check(answers)
    shown = _Steps(quiet=flags.on("quiet"), as_sent=app.environ.get("DOCKER_BUILDKIT") == "0")
    try:
        with contextlib.redirect_stdout(sys.stderr) if wanted.target == "-" else contextlib.nullcontext():
            wanted.write(_shown(answers, shown))
    except StreamFailed as e:
        shown.end_step("failed")
        raise _failure(e, shown.text, flags.text("file") or name, text) from e
    if path := flags.text("iidfile"):
        Path(path).write_text(shown.image_id)
    if wanted.is_pushed:
        _push(client, query["t"], quiet=flags.on("quiet"))
    return 0


def _named(values: Sequence[str]) -> dict[str, str]:
    """--build-context. Raises Failure."""
    found = {}
    for value in values:
        name, sign, source = value.partition("=")
        if not sign or not name or not source:
            raise Failure(f"invalid context value: {value}, expected key=value")
        found[name] = source
    return found


def _shown(answers: Iterable[Mapping[str, Any]], shown: _Steps) -> Iterator[bytes]:
    """Show the lines, and give what the build exports."""
    for answer in answers:
        if piece := answer.get("output"):
            yield base64.b64decode(piece)
        else:
            shown.take(answer)


def _push(client: EngineClient, names: Sequence[str], *, quiet: bool) -> None:
    """Raises Failure."""
    if not names:
        raise Failure("tag is needed when pushing to registry")
    for name in names:
        try:
            with client.push(reference.parse(name)) as lines:
                for line in lines:
                    if not quiet and not line.is_progress:
                        print(f"{line.id}: {line.status}" if line.id else line.status)
        except StreamFailed as e:
            raise Failure(f"failed to push {name}: {e}") from e


def _show_check(answers: Iterable[Mapping[str, Any]]) -> int:
    """Print what the checks have found; the command's status."""
    text, found = "", 0
    is_failed = False
    for answer in answers:
        text += str(answer.get("stream") or "")
        aux = answer.get("aux") or {}
        found += int(aux.get("Findings") or 0)
        is_failed |= bool(aux.get("Failed"))
    if not found and not is_failed:
        print("Check complete, no warnings found.")
        return 0
    said = "1 warning has" if found == 1 else f"{found} warnings have"
    print(f"Check complete, {said} been found!")
    sys.stdout.write(text)
    return 1


def _query(flags: Parsed) -> dict[str, Any]:
    arguments = {}
    for entry in flags.many("build-arg"):
        key, sign, value = entry.partition("=")
        arguments[key] = value if sign else os.environ.get(key)
    labels = {key: value for key, _, value in (entry.partition("=") for entry in flags.many("label"))}
    return {
        "t": flags.many("tag"),
        "q": flags.on("quiet"),
        "check": True if flags.on("check") else None,
        "nocache": flags.on("no-cache"),
        "pull": True if flags.on("pull") else None,
        "rm": True,
        "target": flags.text("target"),
        "platform": flags.text("platform"),
        "networkmode": flags.text("network"),
        "extrahosts": flags.many("add-host"),
        "shmsize": flags.number("shm-size"),
        "memory": flags.number("memory"),
        "memswap": flags.number("memory-swap"),
        "cpushares": flags.number("cpu-shares"),
        "cpuperiod": flags.number("cpu-period"),
        "cpuquota": flags.number("cpu-quota"),
        "cpusetcpus": flags.text("cpuset-cpus"),
        "cpusetmems": flags.text("cpuset-mems"),
        "cgroupparent": flags.text("cgroup-parent"),
        "cachefrom": cacheflags.cache_from(flags.many("cache-from")),
        "cacheto": cacheflags.cache_to(flags.many("cache-to")),
        "buildargs": json.dumps(arguments) if arguments else None,
        "labels": json.dumps(labels) if labels else None,
        "ulimits": json.dumps([_ulimit(text) for text in flags.many("ulimit")]) if flags.many("ulimit") else None,
    }


def _ulimit(text: str) -> dict[str, Any]:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise Failure(f'invalid argument "{text}" for "--ulimit" flag: invalid ulimit argument: {text}', 125) from None


class _Steps:
    """Prints the steps of the classic stream on a time line."""

    def __init__(self, *, quiet: bool, as_sent: bool) -> None:
        """`as_sent`: print the lines as the engine sends them, for scripts that read those of docker's old builder."""
        self._quiet = quiet
        self._as_sent = as_sent
        self.text = ""  # of the latest step
        self.image_id = ""
        self._began = time.monotonic()
        self._is_open = self._is_cached = False

    def take(self, answer: Mapping[str, Any]) -> None:
        """Print one line of the stream. Its own ` --->` lines become the step's time or mark."""
        self.image_id = str((answer.get("aux") or {}).get("ID") or self.image_id)
        text = str(answer.get("stream") or "")
        if self._quiet:
            self.image_id = text.strip() or self.image_id
            sys.stdout.write(text)
            return
        if step := _STEP.match(text):
            self.text = step[3].rstrip("\n")
            self._began, self._is_open, self._is_cached = time.monotonic(), True, False
            sys.stdout.write(text if self._as_sent else f"[{step[1]}/{step[2]}] {self.text}\n")
        elif self._as_sent:
            sys.stdout.write(text)
        elif text == " ---> Using cache\n":
            self._is_cached = True
        elif text.startswith(" ---> Running in "):
            return
        elif text.startswith(" ---> "):
            self.end_step("cached" if self._is_cached else f"{time.monotonic() - self._began:.1f} s")
        elif text:
            sys.stdout.write(text)
        sys.stdout.flush()

    def end_step(self, how: str) -> None:
        """The step that is shown has ended; once."""
        if self._is_open and not self._quiet and not self._as_sent:
            print(f"      {how}")
        self._is_open = False


def _failure(error: StreamFailed, step: str, name: str, dockerfile: bytes | None) -> Failure:
    """The failure with the step's line of the Dockerfile; its status is that of the command."""
    failed = _FAILED.search(str(error))
    status = int(failed[2]) if failed else 1
    lines = (dockerfile or b"").decode("utf-8", "replace").splitlines()
    at = _line_of(lines, step)
    if at is None:
        return Failure(str(error), status)
    return Failure(f"{error}\n\n{name}:{at + 1}\n" + "\n".join(_excerpt(lines, at)), status)


def _line_of(lines: Sequence[str], step: str) -> int | None:
    """The index of the line where the step's instruction begins."""
    wanted = step.split()
    for number, line in enumerate(lines):
        words = line.rstrip("\\` ").split()
        if words and wanted[: len(words)] == words:
            return number
    return None


def _excerpt(lines: Sequence[str], at: int) -> Iterator[str]:
    shown: Iterable[int] = range(max(0, at - 2), min(len(lines), at + 3))
    for number in shown:
        yield f"{'-->' if number == at else '   '} {number + 1:4} | {lines[number]}"
