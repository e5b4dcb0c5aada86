"""`cove volume export`, `import`, `clone` and `rename`: the content of volumes.

The Engine API has no verbs for them; Cove's engine has (`desktop.client.volumes`). On another engine, the content is
read and written through a container that has the volume and is never started, made of the image `--image`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.load import pieces_of
from desktop.cli.save import write_to
from desktop.client import archives, volumes
from desktop.client.api import ApiError, ByteStream
from desktop.client.archives import Filed

if TYPE_CHECKING:
    from desktop.cli.app import App
    from desktop.client.engine import EngineClient

_IMAGE = "cove/hello"
_PLACE = "/volume"
_IMAGE_FLAG = Flag(
    "image",
    kind="string",
    help="Image of a container that is made for it, on an engine that is not Cove's",
    default=_IMAGE,
)
EXPORT = Spec(
    name="volume export",
    usage="[OPTIONS] VOLUME",
    summary="Write a volume's content as a tar, to a file or to stdout",
    least=1,
    most=1,
    flags=(_IMAGE_FLAG, Flag("output", "o", "string", "Write this file instead of stdout")),
)
IMPORT = Spec(
    name="volume import",
    usage="[OPTIONS] VOLUME",
    summary="Put a tar's content (plain or compressed) into a volume, which is made if it is missing",
    least=1,
    most=1,
    flags=(_IMAGE_FLAG, Flag("input", "i", "string", "Read this file instead of stdin")),
)
CLONE = Spec(
    name="volume clone",
    usage="[OPTIONS] VOLUME NEW",
    summary="Make a volume with the content, options and labels of another one",
    least=2,
    most=2,
    flags=(_IMAGE_FLAG,),
)
RENAME = Spec(
    name="volume rename",
    usage="[OPTIONS] VOLUME NEW",
    summary="Give a volume that no container has another name",
    least=2,
    most=2,
    flags=(_IMAGE_FLAG,),
)


def export(argv: Sequence[str], app: App) -> int:
    flags = parse(EXPORT, argv)
    path, [name] = flags.text("output"), flags.args
    if path is None and sys.stdout.isatty():
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    client = app.client()
    client.volume_inspect(name)  # ApiError 404 if there is none: a container would make it
    with _content(client, name, flags.text("image")) as pieces:
        write_to(path, pieces)
    return 0


def import_(argv: Sequence[str], app: App) -> int:
    flags = parse(IMPORT, argv)
    path, [name] = flags.text("input"), flags.args
    if path is None and sys.stdin.isatty():
        raise Failure("requested import from stdin, but stdin is empty")
    client = app.client()
    with ExitStack() as undo:
        try:
            source: BinaryIO = undo.enter_context(open(path, "rb")) if path else sys.stdin.buffer
        except OSError as e:
            raise Failure(f"open {path}: {e.strerror}") from e
        client.volume_create(name)
        filed, folder = undo.enter_context(_filed(client, name, flags.text("image")))
        archives.put(client, filed, folder, pieces_of(source))
    print(name)
    return 0


def clone(argv: Sequence[str], app: App) -> int:
    flags = parse(CLONE, argv)
    name, new = flags.args
    _clone(app.client(), name, new, flags.text("image"))
    print(new)
    return 0


def rename(argv: Sequence[str], app: App) -> int:
    flags = parse(RENAME, argv)
    name, new = flags.args
    client = app.client()
    client.volume_inspect(name)
    users = client.containers(True, filters={"volume": [name]})
    users = [user for user in users if any(mount.get("Name") == name for mount in user.get("Mounts") or ())]
    if users:
        raise Failure(f"volume {name} is in use by container {str(users[0]['Id'])[:12]}: remove the container first")
    with suppress(_ForeignEngine), _known_call():
        volumes.rename(client, name, new)
        print(new)
        return 0
    _clone(client, name, new, flags.text("image"))
    client.volume_remove(name)
    print(new)
    return 0


def _clone(client: EngineClient, name: str, new: str, image: str | None) -> None:
    """Raises Failure if `new` exists. If the copy fails, it is removed."""
    with suppress(_ForeignEngine), _known_call():
        volumes.clone(client, name, new)
        return
    volume = client.volume_inspect(name)
    try:
        client.volume_inspect(new)
    except ApiError as e:
        if e.status != 404:
            raise
    else:
        raise Failure(f"volume {new} exists already")
    body = {"Name": new, **{key: volume.get(field) for key, field in _KEPT.items()}}
    client.json_object("POST", "/volumes/create", None, body)
    if volume.get("Options"):
        return  # it is a place outside, which now has two names
    try:
        with _holder(client, new, image) as target, _content(client, name, image) as pieces:
            client.put_archive(target, _PLACE, iter(pieces))
    except BaseException:
        client.volume_remove(new)
        raise


_KEPT = {"Driver": "Driver", "DriverOpts": "Options", "Labels": "Labels"}


@contextmanager
def _holder(client: EngineClient, volume: str, image: str | None) -> Iterator[str]:
    """The id of a container that has the volume, for the block."""
    mount = {"Type": "volume", "Source": volume, "Target": _PLACE, "VolumeOptions": {"NoCopy": True}}
    config = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Mounts": [mount]}}
    made: str = client.create(config)["Id"]
    try:
        yield made
    finally:
        client.remove(made, force=True)


class _ForeignEngine(Exception):
    """The engine has no such call: it is not Cove's."""


@contextmanager
def _known_call() -> Iterator[None]:
    """Raises _ForeignEngine for a call in the block that the engine does not know."""
    try:
        yield
    except ApiError as e:
        if volumes.is_unknown_call(e):
            raise _ForeignEngine from e
        raise


@contextmanager
def _filed(client: EngineClient, name: str, image: str | None) -> Iterator[tuple[Filed, str]]:
    """(whose files the volume's are, the folder in it that is the volume's), for the block."""
    filed = Filed.volume(name)
    _, stat = archives.find(client, filed, "/")
    if stat is None:  # the volume exists, so it is the call that is not known
        with _holder(client, name, image) as holder:
            yield Filed.container(holder), _PLACE
        return
    yield filed, "/"


@contextmanager
def _content(client: EngineClient, name: str, image: str | None) -> Iterator[ByteStream]:
    """The tar of the volume's content, for the block."""
    with _filed(client, name, image) as (filed, folder), archives.get(client, filed, f"{folder.rstrip('/')}/.") as tar:
        yield tar
