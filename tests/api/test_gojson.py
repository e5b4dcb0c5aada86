"""Faults in JSON have the words of Go's encoding/json; each of these was seen in a reply of dockerd."""

from __future__ import annotations

import pytest

from vmagent.api import gojson


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "unexpected EOF"),
        ('{"Image":"a', "unexpected EOF"),
        ("[1,", "unexpected EOF"),
        ('{"Image":"busybox",}', "invalid character '}' looking for beginning of object key string"),
        ('{"Image":"busybox" "x"}', "invalid character '\"' after object key:value pair"),
        ("nope", "invalid character 'o' in literal null (expecting 'u')"),
        ('{"Image":tru}', "invalid character '}' in literal true (expecting 'e')"),
        ('{"Image":"\\x"}', "invalid character 'x' in string escape code"),
        ('"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"),
        ("{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
        ("[1 2]", "invalid character '2' after array element"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("bogus", "invalid character 'b' looking for beginning of value"),
        ('"a\nb"', r"invalid character '\n' in string literal"),
        (' {"a": [1, -2.5e3, {"b": null}, true, "\\u00e9"]} ', ""),
        ("[" * 100_000, "exceeded max depth"),
    ],
)
def test_a_fault_has_go_s_words(text: str, words: str) -> None:
    assert gojson.fault(text) == words
