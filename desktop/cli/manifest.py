"""`cove manifest`: make a manifest list of images that are at a registry, and push it. The engine has no part in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from desktop.cli import groups
from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.client import reference
from desktop.client.logins import LoginError, Logins, server_of_image
from desktop.client.manifestlists import ListedImage, ManifestLists, document
from desktop.client.registry import LIST_TYPES, Found, Registry, RegistryError

if TYPE_CHECKING:
    from desktop.cli.app import App

_INSECURE = Flag("insecure", help="Allow a registry without TLS, or with any certificate")
CREATE = Spec(
    name="manifest create",
    usage="MANIFEST_LIST MANIFEST [MANIFEST...]",
    summary="Begin a manifest list of images at a registry",
    least=2,
    flags=(Flag("amend", "a", help="Add to a list that has been begun"), _INSECURE),
)
ANNOTATE = Spec(
    name="manifest annotate",
    usage="[OPTIONS] MANIFEST_LIST MANIFEST",
    summary="Say which platform an image of a list is for",
    least=2,
    most=2,
    flags=(
        Flag("arch", kind="string", help="Processor (arm64)"),
        Flag("os", kind="string", help="System (linux)"),
        Flag("os-features", kind="string", help="Features of the system", many=True),
        Flag("os-version", kind="string", help="Version of the system"),
        Flag("variant", kind="string", help="Variant of the processor (v7)"),
    ),
)
INSPECT = Spec(
    name="manifest inspect",
    usage="[OPTIONS] [MANIFEST_LIST] MANIFEST",
    summary="Show a manifest list, or an image's manifest, begun here or at its registry",
    least=1,
    most=2,
    flags=(_INSECURE, Flag("verbose", "v", help="With references, digests and platforms")),
)
PUSH = Spec(
    name="manifest push",
    usage="[OPTIONS] MANIFEST_LIST",
    summary="Send a manifest list to its registry",
    least=1,
    most=1,
    flags=(_INSECURE, Flag("purge", "p", help="Forget the list here afterwards")),
)
RM = Spec(name="manifest rm", usage="MANIFEST_LIST [MANIFEST_LIST...]", summary="Forget manifest lists", least=1)
SPEC = groups.spec("manifest", "Manifest lists: images of several platforms under one name")

# Go's pairs of system and processor: https://go.dev/doc/install/source#environment
_PLATFORMS: Mapping[str, str] = {
    "darwin": "386 amd64 arm arm64",
    "dragonfly": "amd64",
    "freebsd": "386 amd64 arm",
    "linux": "386 amd64 arm arm64 loong64 mips64 mips64le ppc64le riscv64 s390x",
    "netbsd": "386 amd64 arm",
    "openbsd": "386 amd64 arm",
    "plan9": "386 amd64",
    "solaris": "amd64",
    "windows": "386 amd64 arm64",
}


class _Name:
    """A reference in full, at its registry."""

    def __init__(self, text: str) -> None:
        """Raises Failure."""
        try:
            parsed = reference.parse(text)
        except reference.InvalidReference as e:
            raise Failure(str(e)) from e
        self._parsed = parsed
        self.version = parsed.version
        self.full = parsed.full_name
        self.repository = self.full.removesuffix(self.version)[:-1]
        self.domain, _, self.path = self.repository.partition("/")

    def registry(self, *, insecure: bool) -> Registry:
        try:
            login = Logins(os.environ).find(server_of_image(self._parsed.repository))
        except LoginError as e:
            sys.stderr.write(f"WARNING: {e}\n")
            login = None
        return Registry(self.domain, self.path, login, insecure=insecure)


def _create(argv: Sequence[str], app: App) -> int:
    flags = parse(CREATE, argv)
    target, *images = map(_Name, flags.args)
    lists = ManifestLists(os.environ)
    known = {image.reference: image for image in lists.images(target.full)}
    if known and not flags.on("amend"):
        raise Failure("refusing to amend an existing manifest list with no --amend flag")
    for name in images:
        lists.save(target.full, known.get(name.full) or _fetched(name, insecure=flags.on("insecure")))
    print(f"Created manifest list {target.full}")
    return 0


def _fetched(name: _Name, *, insecure: bool) -> ListedImage:
    """An image at its registry. Raises Failure, RegistryError."""
    registry = name.registry(insecure=insecure)
    found = registry.manifest(name.version)
    if found.media_type in LIST_TYPES:
        raise Failure(f"{name.full} is a manifest list")
    return _listed(name.full, found, _platform(registry, found))


def _listed(full: str, found: Found, platform: Mapping[str, Any]) -> ListedImage:
    return ListedImage(full, found.media_type, found.digest, platform, found.data)


def _platform(registry: Registry, found: Found) -> dict[str, Any]:
    """Of an image's config. Raises RegistryError."""
    try:
        config = json.loads(registry.blob(json.loads(found.data)["config"]["digest"]))
        return {key: config[key] for key in ("architecture", "os", "os.version", "variant") if config.get(key)}
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise RegistryError(f"manifest {found.digest} is of no image: {e}") from e


def _annotate(argv: Sequence[str], app: App) -> int:
    flags = parse(ANNOTATE, argv)
    target, name = map(_Name, flags.args)
    lists = ManifestLists(os.environ)
    image = next((one for one in lists.images(target.full) if one.reference == name.full), None)
    if image is None:
        raise Failure(f"manifest for image {flags.args[1]} does not exist in {flags.args[0]}")
    given = {
        "architecture": flags.text("arch"),
        "os": flags.text("os"),
        "os.version": flags.text("os-version"),
        "variant": flags.text("variant"),
    }
    platform = {**image.platform, **{key: value for key, value in given.items() if value}}
    features = [one for text in flags.many("os-features") for one in text.split(",")]
    if features:
        platform["os.features"] = list(dict.fromkeys([*platform.get("os.features", ()), *features]))
    if platform.get("architecture") not in _PLATFORMS.get(str(platform.get("os")), "").split():
        raise Failure(
            "manifest entry for image has unsupported os/arch combination: "
            f"{platform.get('os', '')}/{platform.get('architecture', '')}"
        )
    lists.save(target.full, replace(image, platform=platform))
    return 0


def _inspect(argv: Sequence[str], app: App) -> int:
    flags = parse(INSPECT, argv)
    names = list(map(_Name, flags.args))
    lists, verbose = ManifestLists(os.environ), flags.on("verbose")
    if len(names) == 2:
        wanted = next((one for one in lists.images(names[0].full) if one.reference == names[1].full), None)
        if wanted is None:
            raise Failure(f"No such manifest: {names[1].full}")
        _print_image(wanted, verbose=verbose)
        return 0
    [name] = names
    if images := lists.images(name.full):
        _print_list(images, verbose=verbose)
        return 0
    registry = name.registry(insecure=flags.on("insecure"))
    found = registry.manifest(name.version)
    if found.media_type not in LIST_TYPES:
        _print_image(_listed(name.full, found, _platform(registry, found) if verbose else {}), verbose=verbose)
    elif verbose:
        _print_list(_members(name, registry, found), verbose=True)
    else:
        print(json.dumps(json.loads(found.data), indent=3))
    return 0


def _members(name: _Name, registry: Registry, found: Found) -> list[ListedImage]:
    """The manifests that a list at the registry names."""
    return [
        _listed(f"{name.repository}@{entry['digest']}", registry.manifest(entry["digest"]), entry.get("platform") or {})
        for entry in json.loads(found.data)["manifests"]
    ]


def _print_image(image: ListedImage, *, verbose: bool) -> None:
    print(json.dumps(image.to_json() if verbose else json.loads(image.data), indent="\t"))


def _print_list(images: Sequence[ListedImage], *, verbose: bool) -> None:
    if verbose:
        print(json.dumps([image.to_json() for image in images], indent="\t"))
    else:
        print(document([image.descriptor() for image in images])[1].decode())


def _push(argv: Sequence[str], app: App) -> int:
    flags = parse(PUSH, argv)
    target = _Name(flags.args[0])
    lists = ManifestLists(os.environ)
    images = lists.images(target.full)
    if not images:
        raise Failure(f"{target.full} not found")
    for image in images:
        if not image.platform.get("architecture") or not image.platform.get("os"):
            raise Failure(f"manifest {image.reference} must have an OS and Architecture to be pushed to a registry")
        domain = image.reference.partition("/")[0]
        if domain != target.domain:
            raise Failure(
                f"cannot use source images from a different registry than the target image: {domain} != {target.domain}"
            )
    registry = target.registry(insecure=flags.on("insecure"))
    for image in images:
        source = _Name(image.reference)
        if source.repository != target.repository:
            manifest = json.loads(image.data)
            for blob in (manifest["config"], *manifest.get("layers", ())):
                registry.mount(blob["digest"], source.path)
            digest = registry.put_manifest(image.digest, image.media_type, image.data)
            print(f"Pushed ref {target.repository}@{digest} with digest: {digest}")
    print(registry.put_manifest(target.version, *document([image.descriptor() for image in images])))
    if flags.on("purge"):
        lists.remove(target.full)
    return 0


def _rm(argv: Sequence[str], app: App) -> int:
    lists = ManifestLists(os.environ)
    failed = []
    for name in map(_Name, parse(RM, argv).args):
        if lists.images(name.full):
            lists.remove(name.full)
        else:
            failed.append(f"No such manifest: {name.full}")
    if failed:
        raise Failure("\n".join(failed))
    return 0


def _told(verb: groups.Verb) -> groups.Verb:
    """The verb, whose errors of registries and files are failures."""

    def run(argv: Sequence[str], app: App) -> int:
        try:
            return verb(argv, app)
        except (RegistryError, ValueError) as e:
            raise Failure(str(e)) from e
        except OSError as e:
            raise Failure(f"{e.filename}: {e.strerror}" if e.filename else str(e.strerror)) from e

    return run


VERBS: groups.Verbs = {
    "create": _told(_create),
    "annotate": _told(_annotate),
    "inspect": _told(_inspect),
    "push": _told(_push),
    "rm": _told(_rm),
}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
