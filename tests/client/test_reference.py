"""Valid and invalid image references, with docker's messages."""

from __future__ import annotations

import pytest

from desktop.client.reference import InvalidReference, parse

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "repository", "version"),
    [
        ("busybox", "busybox", "latest"),
        ("a/b:1", "a/b", "1"),
        ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
        ("[::1]:5000/a:x", "[::1]:5000/a", "x"),
        (f"x:1@sha256:{HEX}", "x", f"sha256:{HEX}"),
        ("REG.example/a", "REG.example/a", "latest"),
    ],
)
@pytest.mark.spec("distribution/reference, Grammar")
def test_references_come_apart(text: str, repository: str, version: str) -> None:
    wanted = parse(text)
    assert (wanted.repository, wanted.version) == (repository, version)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BAD", "repository name (library/BAD) must be lowercase"),
        ("a/Bad", "repository name (a/Bad) must be lowercase"),
        ("BAD//x", "invalid reference format"),
        ("", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("-a", "invalid reference format"),
        (HEX, "cannot specify 64-byte hexadecimal"),
    ],
)
def test_what_is_none_is_said_so(text: str, words: str) -> None:
    with pytest.raises(InvalidReference) as refusal:
        parse(text)
    assert words in str(refusal.value)
