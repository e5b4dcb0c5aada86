"""What the client knows without asking the host, and that it is right all the same."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.folders import SharedFolder
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until

# What is known without the host is known for a time, and this machine may be busy: some try must do without requests.
TRIES = 50


@pytest.fixture
def place(shared: SharedFolder, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """A folder that the guest has made, as host and guest see it."""
    (shared.mounted / request.node.name).mkdir()
    return shared.host / request.node.name, shared.mounted / request.node.name


def needs_no(kinds: set[str], shared: SharedFolder, work: Callable[[int], object]) -> Counter[str]:
    """Do `work` with other numbers until it needs no request of these kinds; all that it needed then."""
    for number in range(TRIES):
        before = shared.requests()
        work(number)
        needed = shared.requests() - before
        if not kinds & set(needed):
            return needed
    raise AssertionError(f"each time: {needed}")


def test_a_new_file_in_a_folder_of_the_guest_is_not_looked_up(shared: SharedFolder, place: tuple[Path, Path]) -> None:
    _, guest = place
    needed = needs_no({"LOOKUP"}, shared, lambda number: (guest / f"f{number}").write_text("content"))
    del needed["CLOSE"]  # comes later, and may be that of the file before
    assert needed == {"CREATE": 1, "WRITE": 1}


def test_a_folder_that_was_listed_is_known_whole(shared: SharedFolder, place: tuple[Path, Path]) -> None:
    host, guest = place
    (host / "there").write_text("x")

    def look(number: int) -> None:
        os.listdir(guest)
        assert not (guest / f"missing{number}").exists()

    needs_no({"LOOKUP"}, shared, look)
    assert (guest / "there").read_text() == "x"


def test_a_small_file_comes_with_its_opening(shared: SharedFolder, place: tuple[Path, Path]) -> None:
    host, guest = place
    content = bytes(range(256)) * 64  # as much as comes at once
    for number in range(TRIES):
        (host / f"f{number}").write_bytes(content)
    assert len(os.listdir(guest)) == TRIES

    def read(number: int) -> None:
        assert (guest / f"f{number}").read_bytes() == content

    needed = needs_no({"READ"}, shared, read)
    assert needed["OPEN"] == 1
    (host / "larger").write_bytes(content + b"x")
    wait_until((guest / "larger").exists)
    assert (guest / "larger").read_bytes() == content + b"x"


def test_names_that_the_host_makes_appear_in_a_folder_that_is_known_whole(
    shared: SharedFolder, place: tuple[Path, Path]
) -> None:
    host, guest = place
    files = itertools.count()

    def appears(name: str) -> bool:
        (guest / f"f{next(files)}").touch()  # with its reply the folder goes on to be known whole
        return (guest / name).exists()

    with shared.without_events():  # an event makes the name known to the kernel: no program would look it up
        (host / "made").touch()
        wait_until(lambda: appears("made"))
        (host / "f0").rename(host / "moved")
        wait_until(lambda: appears("moved"))


def test_names_that_the_host_makes_appear_in_a_folder_that_was_renamed(place: tuple[Path, Path]) -> None:
    """The host tells of names by the folder's path, which changes with a folder above it too."""
    host, guest = place
    (guest / "one" / "deep").mkdir(parents=True)
    (guest / "two").mkdir()
    for old, new in itertools.pairwise(("one", "other", "two/inner", "one")):
        (guest / old).rename(guest / new)
        name = old.replace("/", "-")
        assert not (guest / new / "deep" / name).exists()
        (host / new / "deep" / name).write_text(name)
        wait_until((guest / new / "deep" / name).exists)


def test_names_that_the_host_makes_appear_in_a_folder_that_it_has_moved(
    shared: SharedFolder, place: tuple[Path, Path]
) -> None:
    host, guest = place
    (guest / "one" / "deep").mkdir(parents=True)
    with shared.without_events():  # an event would make the kernel forget the folders below
        (host / "one").rename(host / "other")
        wait_until((guest / "other").exists)
        (host / "other" / "deep" / "name").touch()
        assert (guest / "other" / "deep" / "name").exists()


def test_what_the_host_writes_into_an_open_file_is_read(place: tuple[Path, Path]) -> None:
    """Also where the content had come with the opening of the file, and was not read yet."""
    host, guest = place
    (host / "file").write_text("old")
    wait_until((guest / "file").exists)
    with (guest / "file").open(buffering=1) as file, (guest / "file").open(buffering=1) as other:
        (host / "file").write_text("new")
        wait_until(lambda: os.pread(file.fileno(), 3, 0) == b"new", HANG_S)
        assert os.pread(other.fileno(), 3, 0) == b"new"


def test_what_the_guest_writes_by_another_handle_is_read(place: tuple[Path, Path]) -> None:
    _, guest = place
    for number in range(20):
        (guest / "file").write_text(f"{number:03}")
        reader = os.open(guest / "file", os.O_RDONLY)
        with (guest / "file").open("r+") as writer:
            writer.write(f"x{number:02}")
        assert os.pread(reader, 10, 0) == f"x{number:02}".encode()
        os.close(reader)
