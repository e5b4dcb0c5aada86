"""`cove images`: list images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.app import Failure
from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.platforms import require
from desktop.cli.table import Row, ago, human_size, moment, short_id, show

if TYPE_CHECKING:
    from desktop.cli.app import App

_NONE = "<none>"
SPEC = Spec(
    name="images",
    usage="[OPTIONS] [REPOSITORY[:TAG]]",
    summary="List images",
    most=1,
    flags=(
        Flag("all", "a", help="Intermediate ones too"),
        Flag("digests", help="With digests"),
        Flag("filter", "f", "filter", "Only those for which this holds (dangling=true, label=…)", many=True),
        Flag("format", kind="string", help="A template, `table` and a template, or json"),
        Flag("no-trunc", help="Nothing is shortened"),
        Flag("quiet", "q", help="IDs only"),
        Flag("tree", help="With each image's platforms"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    filters = as_filters(flags.many("filter"))
    if flags.args:
        filters.setdefault("reference", []).append(flags.args[0])
    client = app.client()
    if flags.on("tree"):
        for flag in ("quiet", "no-trunc", "digests", "format"):
            if flags.on(flag) if flag != "format" else flags.text(flag) is not None:
                raise Failure(f"--{flag} is not yet supported with --tree")
        require(client, "tree", (1, 47))
        from desktop.cli.imagetree import print_tree

        print_tree(client.images(flags.on("all"), filters=filters, manifests=True))
        return 0
    images = client.images(flags.on("all"), filters=filters)
    digests, whole = flags.on("digests"), flags.on("no-trunc")
    rows = [row for image in images for row in _rows(image, digests=digests, whole=whole)]
    if flags.on("quiet") and flags.text("format") is None:
        for identifier in dict.fromkeys(str(row["ID"]) for row in rows):
            print(identifier)
        return 0
    columns = {"Repository": "REPOSITORY", "Tag": "TAG"}
    if digests:
        columns["Digest"] = "DIGEST"
    columns |= {"ID": "IMAGE ID", "CreatedSince": "CREATED", "Size": "SIZE"}
    show(rows, columns, flags.text("format"))
    return 0


def _rows(image: Mapping[str, Any], *, digests: bool, whole: bool) -> Iterator[Row]:
    """A line for each tag (and digest, if they are shown)."""
    by_repository: dict[str, list[str]] = {}
    for entry in image.get("RepoDigests") or ():
        repository, _, digest = str(entry).partition("@")
        by_repository.setdefault(repository, []).append(digest)
    tags = [tag for tag in image.get("RepoTags") or () if not str(tag).startswith(_NONE)]
    names = [(repository, tag) for repository, _, tag in (str(name).rpartition(":") for name in tags)]
    tagged = {repository for repository, _ in names}
    names += [(repository, _NONE) for repository in by_repository if repository not in tagged and repository != _NONE]
    for repository, tag in names or [(_NONE, _NONE)]:
        found = by_repository.get(repository, [])
        for digest in (found or [_NONE]) if digests else [found[0] if found else _NONE]:
            yield Row(
                Repository=repository,
                Tag=tag,
                Digest=digest,
                ID=image["Id"] if whole else short_id(image["Id"]),
                CreatedSince=ago(image["Created"]),
                CreatedAt=moment(image["Created"]),
                Size=human_size(image["Size"]),
            )
