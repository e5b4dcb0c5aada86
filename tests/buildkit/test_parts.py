"""Parts of BuildKit's wire that need no client: messages, modes, and what a receiver of files refuses."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pytest
from grpclib.health.v1.health_pb2 import HealthCheckRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.buildkit.conftest import Recorder, kept_folders
from tests.support.limits import HANG_S
from vmagent.builder.cache import BOOT_ID
from vmagent.builder.request import CacheSource, InvalidBuild, RegistryCache, Ulimit
from vmagent.buildkit import frontend
from vmagent.buildkit import messages as pb
from vmagent.buildkit.caches import SessionCaches, check_exports
from vmagent.buildkit.contexts import KEPT
from vmagent.buildkit.filesync import list_tree
from vmagent.buildkit.gomode import file_type, go_mode, permissions
from vmagent.buildkit.protobuf import Message, message, nanoseconds, timestamp
from vmagent.buildkit.receiving import Receiver
from vmagent.buildkit.sessions import Session
from vmagent.errors import BadRequest, EngineError

DIR, SYMLINK, PIPE = 1 << 31 | 0o755, 1 << 27 | 0o777, 1 << 25 | 0o644


def test_a_declared_message_is_protobuf_s() -> None:
    assert pb.HealthCheckRequest(service="a").SerializeToString() == HealthCheckRequest(service="a").SerializeToString()
    stat_ = pb.Stat(path="a/b", mode=1 << 31, xattrs={"user.x": b"\0"})
    packet = pb.Packet(type=pb.PACKET_STAT, stat=stat_)
    assert pb.Packet.FromString(packet.SerializeToString()) == packet
    assert not pb.Packet.FromString(b"").HasField("stat")
    assert pb.Stat(modTime=-1).SerializeToString() == b"\x30" + b"\xff" * 9 + b"\x01"


def test_a_field_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"test\.Bad\.field"):

        @message("test.Bad")
        class Bad(Message):
            field: Annotated[object, 1]


def test_times() -> None:
    assert nanoseconds(timestamp(1_700_000_000_123_456_789)) == 1_700_000_000_123_456_789


@given(
    st.sampled_from(
        [stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK]
    ),
    st.integers(0, 0o7777),
)
def test_modes_survive_go(kind: int, bits: int) -> None:
    assert file_type(go_mode(kind | bits)) == kind
    assert permissions(go_mode(kind | bits)) == bits


def test_go_s_own_bits() -> None:
    assert go_mode(stat.S_IFDIR | 0o1777) == 1 << 31 | 1 << 20 | 0o777
    assert go_mode(stat.S_IFREG | 0o6755) == 1 << 23 | 1 << 22 | 0o755


def stats(*entries: pb.Stat) -> list[pb.Packet]:
    return [pb.Packet(type=pb.PACKET_STAT, stat=entry) for entry in entries] + [pb.Packet(type=pb.PACKET_STAT)]


@pytest.mark.parametrize(
    "entries",
    [
        [pb.Stat(path="../x")],
        [pb.Stat(path="/etc")],
        [pb.Stat(path="a", mode=DIR), pb.Stat(path="a/../../x")],
        [pb.Stat(path="a//b")],
        [pb.Stat(path="")],
        [pb.Stat(path="a/b")],  # its folder is missing
        [pb.Stat(path="a", mode=SYMLINK, linkname="/etc"), pb.Stat(path="a/passwd")],
        [pb.Stat(path="b"), pb.Stat(path="a")],
        [pb.Stat(path="a"), pb.Stat(path="a")],
        [pb.Stat(path="a", linkname="/etc/passwd")],
        [pb.Stat(path="a", linkname="../../etc/passwd")],
    ],
)
def test_a_receiver_writes_nothing_outside_its_folder(entries: Sequence[pb.Stat], tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "in")
    with pytest.raises(BadRequest):
        receiver.apply(stats(*entries))


def test_contents_that_nobody_asked_for_are_refused(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "in")
    with pytest.raises(BadRequest):
        receiver.apply([pb.Packet(type=pb.PACKET_DATA, ID=4, data=b"x")])
    with pytest.raises(EngineError, match="no permission"):
        receiver.apply([pb.Packet(type=pb.PACKET_ERR, data=b"no permission")])


def test_a_tree_arrives_as_it_was(tmp_path: Path) -> None:
    """Types that change, names that go, hard links, modes and times; pipes are left out."""
    folder = tmp_path / "in"
    (folder / "was-folder" / "x").mkdir(parents=True)
    (folder / "gone").mkdir()
    (folder / "was-link").symlink_to("/etc")
    receiver = Receiver(folder)
    wanted = receiver.apply(
        stats(
            pb.Stat(path="d", mode=DIR, modTime=5),
            pb.Stat(path="d/f", mode=1 << 23 | 0o751, size=3, modTime=7, xattrs={"com.apple.provenance": b"v"}),
            pb.Stat(path="hard", mode=0o751, linkname="d/f", modTime=7),
            pb.Stat(path="pipe", mode=PIPE),
            pb.Stat(path="was-folder", mode=0o600, modTime=9),
            pb.Stat(path="was-link", mode=DIR, modTime=9),
        )
    )
    assert wanted == [1, 4]
    assert not receiver.is_complete
    receiver.apply([pb.Packet(type=pb.PACKET_DATA, ID=1, data=b"ab"), pb.Packet(type=pb.PACKET_DATA, ID=4)])
    receiver.apply([pb.Packet(type=pb.PACKET_DATA, ID=1, data=b"c"), pb.Packet(type=pb.PACKET_DATA, ID=1)])
    assert receiver.is_complete
    receiver.finish()
    receiver.close()
    assert [entry.path for entry in list_tree(folder)] == ["d", "d/f", "hard", "was-folder", "was-link"]
    f = folder / "d" / "f"
    assert (f.read_bytes(), f.stat().st_mode & 0o7777, f.stat().st_mtime_ns) == (b"abc", 0o4751, 7)
    assert f.stat().st_ino == (folder / "hard").stat().st_ino
    assert (folder / "d").stat().st_mtime_ns == 5


def test_a_folder_that_is_not_listed_any_more_goes_however_deep_it_is(tmp_path: Path) -> None:
    deep = ["/".join(["d"] * depth) for depth in range(1, 1501)]  # more than Python's calls in calls
    first = Receiver(tmp_path / "in")
    first.apply(stats(*(pb.Stat(path=path, mode=DIR | 0o755) for path in deep)))
    first.close()
    second = Receiver(tmp_path / "in")
    second.apply(stats(pb.Stat(path="x", mode=DIR | 0o755)))
    second.finish()
    assert os.listdir(tmp_path / "in") == ["x"]


def test_a_broken_transfer_leaves_no_descriptor_and_its_file_is_asked_for_again(tmp_path: Path) -> None:
    entry = pb.Stat(path="f", mode=0o644, size=4, modTime=5)
    first = Receiver(tmp_path / "in")
    assert first.apply(stats(entry)) == [0]
    first.apply([pb.Packet(type=pb.PACKET_DATA, ID=0, data=b"abcd")])
    first.close()
    assert Receiver(tmp_path / "in").apply(stats(entry)) == [0]


def test_kept_folders_are_used_by_one_build_at_a_time_and_not_after_a_boot(tmp_path: Path) -> None:
    kept = kept_folders(tmp_path)
    first, second, nameless = kept.take("k"), kept.take("k"), kept.take("")
    assert len({first, second, nameless}) == 3
    for folder in (first, second, nameless):
        folder.mkdir()
    asyncio.run(kept.give_back({first: 7, second: 7, nameless: 7}))
    assert kept.take("k") == first
    assert first.is_dir()
    assert not second.exists()
    assert not nameless.exists()
    (first.parent / "without-record").mkdir()
    kept_folders(tmp_path)
    assert {path.name for path in first.parent.iterdir()} == {first.name, "boot-id"}
    (first.parent / "boot-id").write_bytes(b"another")
    kept_folders(tmp_path)
    assert not first.exists()
    assert (first.parent / "boot-id").read_bytes() == BOOT_ID.read_bytes()
    assert list((tmp_path / "builds" / "cache").iterdir()) == []


def test_the_least_recently_used_folders_are_removed(tmp_path: Path) -> None:
    kept = kept_folders(tmp_path)
    folders = [kept.take(f"k{number}") for number in range(KEPT + 2)]
    for folder in folders:
        folder.mkdir()
        asyncio.run(kept.give_back({folder: 1}))
    assert [folder.exists() for folder in folders] == [False, False] + [True] * KEPT


@pytest.mark.parametrize(
    ("image", "is_own"),
    [
        ("docker/dockerfile:1", True),
        ("docker.io/docker/dockerfile:1.7-labs", True),
        ("docker/dockerfile-upstream:master", True),
        ("docker/dockerfile@sha256:" + 64 * "a", True),
        ("example.com/docker/dockerfile:1", False),
        ("other/frontend", False),
        ("", False),
        ("BAD//", False),
    ],
)
def test_which_frontend_images_are_built_in(image: str, is_own: bool) -> None:
    assert frontend.is_own(image) is is_own


def test_frontends_that_would_need_another_program_are_refused() -> None:
    frontend.check_frontend("dockerfile.v0", {})
    frontend.check_frontend("gateway.v0", {"source": "docker/dockerfile:1"})
    for name, options in (("gateway.v0", {"source": "other/frontend"}), ("gateway.v0", {}), ("", {}), ("x", {})):
        with pytest.raises(InvalidBuild):
            frontend.check_frontend(name, options)


def test_options_with_lists() -> None:
    assert frontend.extra_hosts({"add-hosts": "a=1.2.3.4,b=::1"}) == ("a:1.2.3.4", "b:::1")
    assert frontend.ulimits({"ulimit": "nofile=1:2,core=-1"}) == (Ulimit("nofile", 1, 2), Ulimit("core", -1, -1))
    assert frontend.no_cache({}) == (False, ())
    assert frontend.no_cache({"no-cache": ""}) == (True, ())
    assert frontend.no_cache({"no-cache": "a, b"}) == (False, ("a", "b"))
    for call, options in (
        (frontend.extra_hosts, {"add-hosts": "a"}),
        (frontend.ulimits, {"ulimit": "nofile"}),
        (frontend.shm_size, {"shm-size": "1m"}),
        (frontend.source_date_epoch, {"SOURCE_DATE_EPOCH": "now"}),
    ):
        with pytest.raises(InvalidBuild):
            call(options)


def test_the_engine_starts_without_grpc() -> None:
    """Its libraries cost memory that only builds need."""
    code = "import sys, vmagent.serving; print([n for n in ('grpclib', 'h2', 'google.protobuf') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG_S)
    assert done.stdout == "[]\n"


def test_attestations_that_would_be_missing_are_refused() -> None:
    frontend.check_options({"attest:provenance": "mode=min,inline-only=true", "attest:sbom": "disabled=true"})
    with pytest.raises(InvalidBuild, match="the SBOM generator x is an image"):
        frontend.check_options({"attest:sbom": "generator=x"})


def test_the_caches_that_a_client_names() -> None:
    async def sources(given: dict[str, str], *entries: pb.CacheOptionsEntry) -> tuple[RegistryCache | CacheSource, ...]:
        session = Session("1", "", "", frozenset())
        try:
            return SessionCaches(Recorder(), asyncio.to_thread).sources(session, given, entries)
        finally:
            session.close()

    given = {"cache-imports": '[{"Type": "registry", "Attrs": {"ref": "a"}}, {"Type": "gha"}]', "cache-from": "a,b"}
    entry = pb.CacheOptionsEntry(Type="local", Attrs={"src": "/s", "digest": "sha256:1"})
    found = asyncio.run(sources(given, entry, entry))
    assert found[0] == RegistryCache("a")
    assert [one.title for one in found if not isinstance(one, RegistryCache)] == ["gha", "local:/s"]
    assert found[3:] == (RegistryCache("b"),)
    for broken in ("{", "[1]", '[{"Attrs": {}}]', '[{"Type": "x", "Attrs": 1}]'):
        with pytest.raises(InvalidBuild):
            asyncio.run(sources({"cache-imports": broken}))
    for kind, attributes in (("registry", {}), ("local", {}), ("inline", {"mode": "some"}), ("gha", {})):
        with pytest.raises(InvalidBuild):
            check_exports([pb.CacheOptionsEntry(Type=kind, Attrs=attributes)])
