"""Go templates with values: what Go's text/template makes of them."""

from __future__ import annotations

import pytest

from reconciler.model.go_expansion import Struct, expanded
from reconciler.model.go_templates import BadGoTemplate

VALUES = {
    "Service": Struct(ID="s1", Name="web", Labels={"b": "2", "a": "1"}),
    "Node": Struct(ID="n1", Hostname="host", Platform=Struct(Architecture="x86_64", OS="linux")),
    "Task": Struct(ID="t1", Name="web.3.t1", Slot="3"),
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("no action", "no action"),
        ("{{.Service.Name}}.{{ .Task.Slot }}", "web.3"),
        ("a {{- .Task.Slot -}} b", "a3b"),
        ("a {{/* a comment */}} b", "a  b"),
        ('{{"}}"}}', "}}"),
        ("{{`raw`}}", "raw"),
        ("{{.Service.Labels}}", "map[a:1 b:2]"),
        ("{{.Node.Platform}}", "{x86_64 linux}"),
        ('{{index .Service.Labels "a"}}{{index .Service.Labels "z"}}', "1"),
        ("{{.Service.Labels.a}}", "1"),
        ('{{if eq .Task.Slot "1" "3"}}yes{{else}}no{{end}}', "yes"),
        ('{{if and (ne .Task.Slot "3") .Service.Name}}yes{{else}}no{{end}}', "no"),
        ("{{if .Service.Labels.a}}{{if false}}x{{else}}y{{end}}z{{end}}", "yz"),
        ('{{if eq "a" "b"}}1{{else if eq "a" "a"}}2{{else}}3{{end}}!', "2!"),
        ("{{with .Node}}{{.Hostname}} {{$.Task.Slot}}{{end}}", "host 3"),
        ("{{range $key, $value := .Service.Labels}}{{$key}}{{$value}},{{end}}", "a1,b2,"),
        ("{{range .Service.Labels}}{{.}}{{else}}none{{end}}", "12"),
        ("{{$slot := .Task.Slot}}{{$slot}}", "3"),
        ('{{.Service.Name | printf "%5s|%q" .Task.Slot}}', '    3|"web"'),
        ('{{printf "%d %05d %v%%" 7 42 true}}', "7 00042 true%"),
        ('{{join "-" .Service.Name .Task.Slot}}', "web-3"),
        ("{{len .Service.Name}} {{print 1 2 .Task.Slot 4}}", "3 1 234"),
        ('{{html "<a>"}} {{urlquery "a b"}}', "&lt;a&gt; a+b"),
        ("{{(index .Service.Labels `a`) | len}}", "1"),
        ("{{(print .Task.Slot .Task.ID) | len}} {{(index .Service.Labels `a`) | len}}", "3 1"),
        ("{{with $x := .Node}}{{($x.Platform).OS}}{{end}}", "linux"),
        ('{{own | printf "%s"}}', "own"),
    ],
)
def test_templates_are_expanded(template: str, expected: str) -> None:
    assert expanded(template, VALUES, {"own": lambda: "own"}) == expected


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{.Nope}}", "can't evaluate field Nope"),
        ("{{.Service.Labels.z}}", 'map has no entry for key "z"'),
        ("{{nope}}", 'function "nope" not defined'),
        ("{{if true}}", "unexpected EOF"),
        ("{{.Task.Slot .Task.ID}}", "can't give argument to non-function"),
        ("{{len 5}}", "error calling len"),
        ("{{", "unclosed action"),
        ("{{range .Task.Slot}}{{end}}", "range can't iterate over that"),
        ('{{define "x"}}{{end}}', "define is not supported"),
    ],
)
def test_what_go_refuses_is_refused(template: str, why: str) -> None:
    with pytest.raises(BadGoTemplate) as raised:
        expanded(template, VALUES)
    assert why in raised.value.go


def test_a_template_that_grows_without_bounds_is_refused() -> None:
    with pytest.raises(BadGoTemplate, match="too long"):
        expanded("{{range 100000}}{{range 100000}}xxxxxxxxxxxxxxxx{{end}}{{end}}", VALUES)


def test_an_error_tells_no_value() -> None:
    with pytest.raises(BadGoTemplate) as raised:
        expanded('{{range secret "x"}}{{end}}', VALUES, {"secret": lambda _: "hush"})
    assert "hush" not in raised.value.go
