"""config.md of the OCI runtime specification: version, root, mounts, hostname, annotations. One statement, one test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle
from tests.runtime.test_uncommon import map_users


@pytest.mark.parametrize("version", ["one", "1", "1.x.0", ""])
@pytest.mark.spec("config.md, Specification version")
def test_a_version_that_is_not_semantic_is_an_error(bundle: Bundle, version: str) -> None:
    bundle.spec["ociVersion"] = version
    bundle.refused("is no semantic version")


@pytest.mark.spec("config.md, Specification version")
def test_every_version_of_the_major_number_is_taken_and_no_other(bundle: Bundle) -> None:
    bundle.spec["ociVersion"] = "1.0.0-rc5+dev"
    assert bundle.shell("echo fine") == "fine\n"
    bundle.spec["ociVersion"] = "2.0.0"
    bundle.refused("is not supported")


@pytest.mark.spec("config.md, Root")
def test_a_container_without_a_root_is_an_error(bundle: Bundle) -> None:
    del bundle.spec["root"]
    bundle.refused("no root.path")


@pytest.mark.spec("config.md, Root: path")
def test_the_roots_path_is_absolute_or_below_the_bundle(bundle: Bundle) -> None:
    bundle.spec["root"]["path"] = "rootfs"
    (bundle.rootfs / "here").write_text("found")
    assert bundle.shell("cat /here") == "found"


@pytest.mark.spec("config.md, Root: path")
def test_the_roots_folder_must_exist(bundle: Bundle) -> None:
    bundle.spec["root"]["path"] = "nothing"
    assert "no such file or directory" in bundle.refused("error mounting the root file system")


@pytest.mark.spec("config.md, Root: readonly")
def test_a_root_is_writable_unless_it_is_to_be_read_only(bundle: Bundle) -> None:
    del bundle.spec["root"]["readonly"]
    bundle.shell("touch /x")
    assert (bundle.rootfs / "x").exists()


@pytest.mark.spec("config.md, Mounts")
def test_mounts_are_made_in_the_order_of_the_list(bundle: Bundle) -> None:
    for options in (["mode=700"], ["mode=711"]):
        bundle.mount("/m", "tmpfs", *options, kind="tmpfs")
    bundle.mount("/m/inner", "tmpfs", "mode=722", kind="tmpfs")
    said = bundle.shell("stat -c %a /m /m/inner; umount /m 2>/dev/null; grep -c ' /m ' /proc/mounts")
    assert said.split() == ["711", "722", "2"], "the later one lies on top, and holds what comes after it"


@pytest.mark.spec("config.md, Mounts: destination")
def test_a_relative_destination_is_below_the_root(bundle: Bundle) -> None:
    bundle.mount("rel/ative", "tmpfs", kind="tmpfs")
    bundle.process["cwd"] = "/tmp"
    assert "/rel/ative tmpfs" in bundle.shell("grep rel /proc/mounts")


@pytest.mark.spec("config.md, Mounts: source")
def test_a_binds_source_is_absolute_or_below_the_bundle(bundle: Bundle) -> None:
    (bundle.folder / "data").mkdir()
    (bundle.folder / "data" / "file").write_text("of the bundle")
    bundle.mount("/data", "data", "bind")
    assert bundle.shell("cat /data/file") == "of the bundle"


@pytest.mark.parametrize("option", ["bind", "rbind"])
@pytest.mark.spec("config.md, Mounts: source")
def test_bind_or_rbind_makes_a_bind_mount_whatever_the_type(bundle: Bundle, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("bound")
    bundle.mount("/m", tmp_path / "file", option, kind="ext9")
    assert bundle.shell("cat /m") == "bound"


@pytest.mark.spec("config.md, Mounts: type")
def test_the_type_is_a_file_system_of_the_kernel_or_an_error(bundle: Bundle) -> None:
    bundle.mount("/m", "x", kind="nosuchfs")
    assert "no such device" in bundle.refused('error mounting "x" to rootfs at "/m"')


# option → words of the sixth field of /proc/self/mountinfo; ~word: must not be there
MOUNT_OPTIONS = {
    "defaults": "rw",
    "async": "rw",
    "atime": "relatime",
    "noatime": "noatime",
    "relatime": "relatime",
    "norelatime": "relatime",
    "strictatime": "~relatime",
    "nostrictatime": "relatime",
    "diratime": "~nodiratime",
    "nodiratime": "nodiratime",
    "dev": "~nodev",
    "nodev": "nodev",
    "exec": "~noexec",
    "noexec": "noexec",
    "suid": "~nosuid",
    "nosuid": "nosuid",
    "ro": "ro",
    "rw": "rw",
    "symfollow": "~nosymfollow",
    "nosymfollow": "nosymfollow",
    "iversion": "rw",
    "noiversion": "rw",
    "loud": "rw",
    "silent": "rw",
    "nomand": "rw",
    "sync": "sync",
    "dirsync": "dirsync",
    "lazytime": "lazytime",
    "nolazytime": "~lazytime",
}
RECURSIVE_OPTIONS = {
    "rro": "ro",
    "rrw": "rw",
    "rnosuid": "nosuid",
    "rsuid": "~nosuid",
    "rnodev": "nodev",
    "rdev": "~nodev",
    "rnoexec": "noexec",
    "rexec": "~noexec",
    "rnodiratime": "nodiratime",
    "rdiratime": "~nodiratime",
    "rnoatime": "noatime",
    "ratime": "relatime",
    "rrelatime": "relatime",
    "rnorelatime": "relatime",
    "rstrictatime": "~relatime",
    "rnostrictatime": "relatime",
    "rnosymfollow": "nosymfollow",
    "rsymfollow": "~nosymfollow",
}


@pytest.fixture(scope="module")
def shown(
    tmp_path_factory: pytest.TempPathFactory, rootfs_template: Path, module_bundle: Callable[[], Bundle]
) -> dict[str, set[str]]:
    """The mountinfo line of each destination in one container that has a mount for each option."""
    bundle = module_bundle()
    for option in MOUNT_OPTIONS:
        bundle.mount(f"/plain/{option}", "tmpfs", option, kind="tmpfs")
    source = tmp_path_factory.mktemp("recursive")
    for option in RECURSIVE_OPTIONS:
        bundle.mount(f"/tree/{option}", source, "rbind", option)
    listed: dict[str, set[str]] = {}
    for line in bundle.shell("cat /proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        listed[fields[4]] = {*fields[5].split(","), *right.split()[2].split(",")}
    return listed


def _check(words: set[str], expected: str) -> None:
    if expected.startswith("~"):
        assert expected[1:] not in words
    else:
        assert expected in words


@pytest.mark.parametrize("option", MOUNT_OPTIONS)
@pytest.mark.spec("config.md, Linux mount options")
def test_a_mount_option_that_must_be_there_works(shown: dict[str, set[str]], option: str) -> None:
    _check(shown[f"/plain/{option}"], MOUNT_OPTIONS[option])


@pytest.mark.parametrize("option", RECURSIVE_OPTIONS)
@pytest.mark.spec("config.md, Linux mount options: recursive ones")
def test_a_recursive_mount_option_works(shown: dict[str, set[str]], option: str) -> None:
    _check(shown[f"/tree/{option}"], RECURSIVE_OPTIONS[option])


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("private", ""),
        ("rprivate", ""),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
        ("slave", ""),
        ("rslave", ""),
    ],
)
@pytest.mark.spec("config.md, Linux mount options: propagation")
def test_propagation_options_set_the_mounts_propagation(
    bundle: Bundle, tmp_path: Path, option: str, field: str
) -> None:
    bundle.mount("/m", tmp_path, "rbind", option)
    line = bundle.shell("grep ' /m ' /proc/self/mountinfo").partition(" - ")[0]
    optional = " ".join(line.split()[6:])
    assert optional.startswith(field) if field else "shared" not in optional


@pytest.mark.spec("config.md, Linux mount options: remount")
def test_remount_changes_the_flags_of_what_is_mounted(bundle: Bundle) -> None:
    bundle.mount("/m", "tmpfs", kind="tmpfs")
    bundle.mount("/m", "tmpfs", "remount", "bind", "ro", "noexec", kind="tmpfs")
    assert "/m tmpfs ro,noexec" in bundle.shell("grep ' /m ' /proc/mounts")
    bundle.mount("/etc", "x", "remount", "bind", "ro")
    bundle.refused('rootfs at "/etc"')


@pytest.mark.spec("config.md, Linux mount options")
def test_options_of_the_file_system_are_handed_to_it(bundle: Bundle) -> None:
    bundle.mount("/m", "tmpfs", "size=64k", "nr_inodes=77", kind="tmpfs")
    assert "size=64k,nr_inodes=77" in bundle.shell("grep ' /m ' /proc/mounts")
    bundle.mount("/m", "tmpfs", "nosuchoption=1", kind="tmpfs")
    assert "invalid argument" in bundle.refused("error mounting")


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
@pytest.mark.spec("config.md, Linux mount options: idmap")
def test_idmap_without_any_mapping_is_an_error(bundle: Bundle, tmp_path: Path, option: str) -> None:
    bundle.mount("/m", tmp_path, "bind", option)
    bundle.refused("idmap needs mappings, or a container with a user namespace")


@pytest.mark.spec("config.md, Linux mount options: ridmap")
def test_ridmap_reaches_the_mounts_below_and_idmap_does_not(bundle: Bundle, tmp_path: Path) -> None:
    """The root file system of a running container has mounts below it; /proc cannot be mapped, so a tmpfs is used."""
    host = tmp_path / "host"
    (host / "below").mkdir(parents=True)
    mapping = [{"containerID": 0, "hostID": 3000, "size": 1}]
    for option in ("idmap", "ridmap"):
        bundle.mount(f"/{option}", host, "rbind", option)
        bundle.spec["mounts"][-1].update(uidMappings=mapping, gidMappings=mapping)
    bundle.process["args"] = ["stat", "-c", "%u", "/idmap", "/idmap/below", "/ridmap", "/ridmap/below"]
    bundle.write()
    script = 'mount -t tmpfs x "$0" && exec "$@"'
    words = bundle.argv("run", "--bundle", str(bundle.folder), bundle.id)
    done = bundle.external(["unshare", "--mount", "sh", "-c", script, str(host / "below"), *words])
    assert done.stdout.split() == ["3000", "0", "3000", "3000"], done.stderr


@pytest.mark.spec("config.md, POSIX-platform Mounts: uidMappings, gidMappings")
def test_mappings_of_users_and_groups_come_together(bundle: Bundle, tmp_path: Path) -> None:
    bundle.mount("/m", tmp_path, "bind", "idmap")
    bundle.spec["mounts"][-1]["uidMappings"] = [{"containerID": 0, "hostID": 5, "size": 1}]
    bundle.refused("uidMappings and gidMappings go together")


@pytest.mark.spec("config.md, POSIX-platform Mounts: uidMappings, gidMappings")
def test_mappings_of_a_mount_beat_the_containers(bundle: Bundle, tmp_path: Path) -> None:
    map_users(bundle)
    source = tmp_path / "source"
    source.mkdir()
    bundle.mount("/m", source, "bind", "idmap")
    mapping = [{"containerID": 0, "hostID": 200_007, "size": 1}]
    bundle.spec["mounts"][-1].update(uidMappings=mapping, gidMappings=mapping)
    assert bundle.shell("stat -c '%u %g' /m").split() == ["7", "7"]


@pytest.mark.spec("config.md, Hostname")
def test_the_hostname_is_the_containers_own(bundle: Bundle) -> None:
    before = os.uname().nodename
    bundle.spec["hostname"] = "in-here"
    assert bundle.shell("hostname; cat /proc/sys/kernel/hostname").split() == ["in-here"] * 2
    assert os.uname().nodename == before


@pytest.mark.spec("config.md, Hostname")
def test_a_hostname_without_a_uts_namespace_is_an_error(bundle: Bundle) -> None:
    bundle.drop_namespace("uts")
    bundle.refused("unable to set hostname without a private UTS namespace")


@pytest.mark.spec("config.md, Domainname")
def test_the_domainname_is_the_containers_own(bundle: Bundle) -> None:
    bundle.spec["domainname"] = "example.org"
    assert bundle.shell("cat /proc/sys/kernel/domainname") == "example.org\n"


@pytest.mark.spec("config.md, Platform-specific configuration")
def test_a_virtual_machine_is_refused(bundle: Bundle) -> None:
    bundle.spec["vm"] = {"kernel": {"path": "/vmlinuz"}}
    bundle.refused("makes no virtual machines")


@pytest.mark.parametrize("annotations", [{"": "x"}, {"a": 5}, {"a": {"b": "c"}}])
@pytest.mark.spec("config.md, Annotations")
def test_annotations_are_strings_by_keys_that_are_not_empty(bundle: Bundle, annotations: dict[str, object]) -> None:
    bundle.spec["annotations"] = annotations
    bundle.refused("annotation")


@pytest.mark.spec("config.md, Annotations")
def test_unknown_annotations_are_no_error_and_values_may_be_empty(bundle: Bundle) -> None:
    bundle.spec["annotations"] = {"org.example.never-heard-of": "", "org.opencontainers.image.x": "y"}
    bundle.shell("true")


@pytest.mark.parametrize("annotations", [{}, None])
@pytest.mark.spec("config.md, Annotations")
def test_annotations_may_be_absent_or_empty(bundle: Bundle, annotations: dict[str, str] | None) -> None:
    bundle.spec["annotations"] = annotations
    bundle.shell("true")


@pytest.mark.spec("config.md, Extensibility")
def test_unknown_properties_are_ignored(bundle: Bundle) -> None:
    bundle.spec["future"] = {"a": 1}
    bundle.process["future"] = True
    bundle.linux["future"] = []
    bundle.linux["resources"]["future"] = {}
    assert bundle.shell("echo fine") == "fine\n"


@pytest.mark.spec("config.md, Valid values")
def test_a_value_that_is_not_supported_is_an_error(bundle: Bundle) -> None:
    bundle.linux["rootfsPropagation"] = "sideways"
    bundle.refused("rootfsPropagation 'sideways' is not known")
