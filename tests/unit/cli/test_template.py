"""The Go-template subset: what docker users write, with the answers that docker gives."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.cli.output.template import Template, TemplateError

VALUE: dict[str, Any] = {
    "Id": "sha256:abc",
    "Name": "/web",
    "State": {"Running": True, "ExitCode": 0, "Health": None},
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"com.x": "y", "b": "c"}, "Cmd": None},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
    "Size": 12.5,
    "Empty": [],
    "Label": lambda name: f"<{name}>",
}


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("{{.Name}}", "/web"),
        ("{{ .ID }}", "sha256:abc"),
        ("{{.State.Running}} {{.State.ExitCode}}", "true 0"),
        ("{{json .Config.Labels}}", '{"com.x":"y","b":"c"}'),
        ("{{json .Name}}|{{.Name | json}}", '"/web"|"/web"'),
        ("{{range .Config.Env}}{{.}};{{end}}", "A=1;B=2;"),
        ("{{range $i, $e := .Config.Env}}{{$i}}={{$e}} {{end}}", "0=A=1 1=B=2 "),
        ("{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}},{{end}}", "b:c,com.x:y,"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ('{{if eq .Name `/db`}}db{{else if eq .Name "/web"}}web{{else}}?{{end}}', "web"),
        ("{{with .State}}{{.ExitCode}} {{$.Name}}{{end}}", "0 /web"),
        ("{{if and .State.Running (not .Empty)}}yes{{end}}", "yes"),
        ("{{if or .Empty .Name}}yes{{end}}", "yes"),
        ('{{index .Config.Labels "com.x"}}', "y"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{len .Config.Env}} {{len .Name}}", "2 4"),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ('{{upper .Name}} {{lower "ABC"}} {{title "ab cd"}}', "/WEB abc Ab Cd"),
        ('{{split "a,b" ","}}', "[a b]"),
        ("{{println .Name}}{{print 1 2}}", "/web\n1 2"),
        ('{{printf "%-6s|%q|%d|%v" .Name .Name 3 true}}', '/web  |"/web"|3|true'),
        ('{{truncate .Id 3}}{{pad "x" 1 2}}', "sha x  "),
        ("{{.Config.Labels}}", "map[b:c com.x:y]"),
        ("{{.Ports}}", "map[80/tcp:[{0.0.0.0 8080}]]"),
        ("{{.Config.Cmd}}", "<no value>"),
        ("{{.Size}}", "12.5"),
        ("a {{- .Name -}} b", "a/webb"),
        ("{{/* a comment */}}x", "x"),
        ("{{$n := .Name}}{{$n}}{{$n = `z`}}{{$n}}", "/webz"),
        (r"{{.Name}}\t{{.Name}}", "/web\t/web"),
        ('{{.Label "k"}}', "<k>"),
        ("{{range .Config.Env}}{{if eq . `B=2`}}{{break}}{{end}}{{.}}{{end}}", "A=1"),
        ("{{gt 2 1}} {{lt 2 1}} {{ne 1 2}} {{le 1 1}} {{ge 0 1}}", "true false true true false"),
        ("{{slice .Name 1 3}}", "we"),
        ("{{'a'}}", "97"),
        ("{{with .Empty}}x{{else}}y{{end}}", "y"),
        ("{{.State.Health}}", "<no value>"),
    ],
)
def test_render(template: str, printed: str) -> None:
    assert Template(template, strict='map has no entry for key "{name}"').render(VALUE) == printed


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{", "unclosed action"),
        ("{{.A", "unclosed action"),
        ("{{if .A}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{nope .A}}", 'function "nope" not defined'),
        ("{{}}", "missing value for command"),
        ("{{(.A}}", "unclosed left paren"),
        ("{{.Foo}}", 'executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("{{.Name.Foo}}", "can't evaluate field Foo"),
        ("{{index .Config.Env 7}}", "out of range"),
        ("{{$x}}", "undefined variable"),
        ("{{len 3}}", "len of type int"),
        ("{{range 1.5}}{{end}}", "range can't iterate"),
    ],
)
def test_refused(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as refused:
        Template(template, strict='map has no entry for key "{name}"').render(VALUE)
    assert message in refused.value.message


@given(st.text(alphabet="{}. |()$\"`'-ABabend if range 012", max_size=30))
def test_anything_is_rendered_or_refused(template: str) -> None:
    with contextlib.suppress(TemplateError):
        Template(template).render(VALUE)
