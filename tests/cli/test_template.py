"""`--format` supports the commonly used part of Go's templates."""

from __future__ import annotations

import pytest

from desktop.cli.template import TemplateError, render

VALUE = {
    "Id": "abc",
    "State": {"Running": True, "ExitCode": 0},
    "Cmd": ["sh", "-c"],
    "Labels": {"a": "b", "c": "d"},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None},
    "None": None,
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Id}} {{ .State.Running }}", "abc true"),
        ("{{.Cmd}} {{.Labels}}", "[sh -c] map[a:b c:d]"),
        ('{{index .Labels "a"}}{{index .Cmd 1}}', "b-c"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{json .Cmd}}", '["sh","-c"]'),
        ('{{.Id | upper | printf "%s!"}}', "ABC!"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ('{{if eq .State.ExitCode 1}}one{{else if eq .Id "abc"}}abc{{else}}no{{end}}', "abc"),
        ("{{range .Cmd}}<{{.}}>{{end}}", "<sh><-c>"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=b;c=d;"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{with .State}}{{.ExitCode}}{{end}}", "0"),
        ("{{len .Cmd}} {{join .Cmd `,`}}", "2 sh,-c"),
        ("a {{- .Id -}} b", "aabcb"),
        ("{{.Id}}\\t{{.Id}}", "abc\tabc"),
        ("{{/* said to nobody */}}x", "x"),
        ("json", None),
    ],
)
def test_templates(template: str, expected: str | None) -> None:
    shown = render(template, VALUE)
    assert shown == expected if expected is not None else shown.startswith('{"Id":"abc"')


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Nope}}", 'no entry for key "Nope"'),
        ("{{.", "unclosed action"),
        ("{{if .Id}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{nosuch .Id}}", 'function "nosuch" not defined'),
        ("{{index .Cmd 9}}", "out of range"),
    ],
)
def test_mistakes_are_said(template: str, words: str) -> None:
    with pytest.raises(TemplateError) as mistake:
        render(template, VALUE)
    assert words in str(mistake.value)
