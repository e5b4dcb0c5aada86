"""Figures, commands, keys and remedies in the window's words."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from desktop.client.engine import ApiError
from desktop.ui.containers.log_lines import Level, LineSplitter
from desktop.ui.containers.terminal import sequence
from desktop.ui.kit import words
from desktop.ui.run.options import BadOption, MountWish, PortWish, RunWish
from desktop.ui.run.remedies import diagnose

NONE = Qt.KeyboardModifier.NoModifier
CONTROL, ALT, SHIFT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.disk(48_000), "48 KB"),
        (words.disk(164_000_000), "164 MB"),
        (words.disk(1_120_000_000), "1.12 GB"),
        (words.disk(8_100_000), "8.1 MB"),
        (words.disk(0), "0 B"),
        (words.memory(2 * 2**30), "2 GB"),
        (words.memory(512 * 2**20), "512 MB"),
        (words.part_of(53_600_000, 92_400_000), "53.6 of 92.4 MB"),
        (words.percent(4.12), "4.1 %"),
        (words.duration(0.044), "44 ms"),
        (words.duration(5.83), "5.8 s"),
        (words.duration(2_460), "41 min"),
        (words.span(7_300), "2 h"),
        (words.span(3 * 86_400), "3 days"),
        (words.span(86_400), "1 day"),
        (words.span(21 * 86_400), "3 weeks"),
    ],
)
def test_figures_have_two_or_three_digits(said: str, expected: str) -> None:
    assert said == expected


def test_times_of_the_engine_lose_only_nanoseconds() -> None:
    assert words.from_rfc3339("1970-01-01T00:00:02.123456789Z") == pytest.approx(2.123456)
    assert words.from_rfc3339("1970-01-01T01:00:00+01:00") == 0
    assert words.from_rfc3339("0001-01-01T00:00:00Z") is None


def test_a_wish_becomes_a_config_and_a_command() -> None:
    wish = RunWish(
        image="postgres:17",
        name="db",
        command="postgres -c 'a b'",
        ports=[PortWish(host_port="5433", port="5432"), PortWish(host_port="", port="53", protocol="udp")],
        mounts=[MountWish(source="data", target="/var/lib/data", read_only=True)],
        environment=[("A", "x y")],
        memory="512",
        cpus="0.5",
        restart="always",
    )
    config = wish.config()
    assert config["Cmd"] == ["postgres", "-c", "a b"]
    assert config["HostConfig"]["PortBindings"] == {"5432/tcp": [{"HostPort": "5433"}], "53/udp": [{"HostPort": ""}]}
    assert config["HostConfig"]["Memory"] == 512 * 2**20
    assert config["HostConfig"]["NanoCpus"] == 500_000_000
    assert wish.command_line() == (
        "cove run -d --name db -p 5433:5432 -p 53/udp -v data:/var/lib/data:ro -e 'A=x y' --memory 512m --cpus 0.5 "
        "--restart always postgres:17 postgres -c 'a b'"
    )
    assert wish.command_lines(40).replace(" \\\n ", "") == wish.command_line()


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (RunWish(image=" "), "image"),
        (RunWish(image="a", ports=[PortWish(host_port="54x2", port="80")]), "ports"),
        (RunWish(image="a", ports=[PortWish(host_port="", port="70000")]), "ports"),
        (RunWish(image="a", mounts=[MountWish(source="v", target="data")]), "mounts"),
        (RunWish(image="a", memory="much"), "memory"),
        (RunWish(image="a", cpus="-1"), "cpus"),
        (RunWish(image="a", command="echo 'open"), "command"),
        (RunWish(image="a", remove=True, restart="always"), "restart"),
    ],
)
def test_a_bad_field_is_named(wish: RunWish, field: str) -> None:
    with pytest.raises(BadOption) as caught:
        wish.config()
    assert caught.value.field == field


@pytest.mark.spec("xterm control sequences, PC-Style Function Keys")
@pytest.mark.parametrize(
    ("key", "text", "modifiers", "application", "sent"),
    [
        (Qt.Key.Key_A, "a", NONE, False, b"a"),
        (Qt.Key.Key_Eacute, "é", NONE, False, "é".encode()),
        (Qt.Key.Key_C, "\x03", CONTROL, False, b"\x03"),
        (Qt.Key.Key_BracketLeft, "\x1b", CONTROL, False, b"\x1b"),
        (Qt.Key.Key_Return, "\r", NONE, False, b"\r"),
        (Qt.Key.Key_Backspace, "\x08", NONE, False, b"\x7f"),
        (Qt.Key.Key_Up, "", NONE, False, b"\x1b[A"),
        (Qt.Key.Key_Up, "", NONE, True, b"\x1bOA"),
        (Qt.Key.Key_Right, "", CONTROL, False, b"\x1b[1;5C"),
        (Qt.Key.Key_Delete, "", NONE, False, b"\x1b[3~"),
        (Qt.Key.Key_F1, "", NONE, False, b"\x1bOP"),
        (Qt.Key.Key_F5, "", SHIFT, False, b"\x1b[15;2~"),
        (Qt.Key.Key_B, "b", ALT, False, b"\x1bb"),
        (Qt.Key.Key_Shift, "", SHIFT, False, None),
    ],
)
def test_keys_become_what_a_terminal_sends(
    key: Qt.Key, text: str, modifiers: Qt.KeyboardModifier, application: bool, sent: bytes | None
) -> None:
    assert sequence(key, text, modifiers, application_cursor=application) == sent


def test_log_frames_become_lines_at_any_cut() -> None:
    stamp = "2026-11-24T09:41:10.218000000Z"
    texts = ["INFO ready", "\x1b[31mERROR: card\x1b[0m failed", "Traceback (most recent call last):"]
    data = "".join(f"{stamp} {text}\n" for text in texts).encode()
    for cut in range(len(data)):
        splitter = LineSplitter()
        lines = splitter.feed(1, data[:cut]) + splitter.feed(1, data[cut:]) + splitter.end()
        assert [(line.level, line.text) for line in lines] == [
            (Level.PLAIN, "ready"),
            (Level.ERROR, "card failed"),
            (Level.ERROR, "Traceback (most recent call last):"),
        ]


@pytest.mark.parametrize(
    ("step", "message", "title"),
    [
        (
            "start",
            "driver failed: Bind for 0.0.0.0:80 failed: port is already allocated",
            "Port 80 is already taken on this computer",
        ),
        (
            "start",
            "listen tcp4 1.1.1.1:81: bind: address already in use",
            "Port 81 is already taken on this computer",
        ),
        (
            "create",
            'Conflict. The container name "/db" is already in use by container "9f"',
            "The name db is already taken",
        ),
        ("pull", "manifest for x:9 not found: manifest unknown: manifest unknown", "There is no image web:1"),
        ("pull", "dial tcp: lookup registry: no such host", "The registry of web:1 cannot be reached"),
        ("start", 'exec: "nope": executable file not found in $PATH', "The command nope is not in the image"),
        ("start", "write /x: no space left on device", "The disk is full"),
        ("start", "something else", "The container could not start"),
    ],
)
def test_a_failure_is_said_in_words(step: str, message: str, title: str) -> None:
    said = diagnose(RunWish(image="web:1"), step, ApiError(500, message), container_left=False)
    assert said.title == title
    assert said.remedies
