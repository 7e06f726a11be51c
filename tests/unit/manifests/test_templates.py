"""Templates that Swarm's manager expands: what it refuses we refuse, and nothing else."""

from __future__ import annotations

import pytest

from reconciler.model.errors import ErrorCode
from reconciler.model.go_templates import BadGoTemplate, check_template
from tests.unit.manifests.builders import container, service_problem


@pytest.mark.parametrize(
    "text",
    [
        "plain } text }}",
        "{{.Node.Hostname}}-{{ .Task.Slot }}",
        '{{index .Service.Labels "com.docker.stack.namespace"}}',
        "{{.Service.Labels.anything.at.all}}",
        "{{- .Service.Name -}}",
        '{{"{{.Nope}}"}}',
        "{{`}}`}}",
        "{{/* .Nope */}}",
        "{{with .Service}}{{.Name}}{{else}}-{{end}}",
        '{{if eq .Node.Platform.OS "linux"}}a{{end}}',
        "{{$x := .Task}}{{$x.Slot}}",
        '{{printf "%03d" .Task.Slot | print}}',
        "{{(index .Service.Labels .Service.Name).Anything}}",
    ],
)
def test_what_swarm_expands_is_let_through(text: str) -> None:
    check_template(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{.Nope}}", "field `Nope`"),
        ("{{.Service.Nope}}", "field `Nope`"),
        ("{{.Service.Name.More}}", "field `More`"),
        ("{{$.Nope}}", "field `Nope`"),
        ("{{foo}}", "function `foo`"),
        ("{{$x}}", "variable `$x`"),
        ("{{.Service.ID", "not closed"),
        ("{{}}", "empty"),
        ("{{/* x", "comment"),
        ("{{if .Task}}", "no `{{end}}`"),
        ("{{end}}", "no block"),
        ('{{"a}}', "not closed"),
        ("{{(.Task)", "not closed"),
        ("{{((.Task)}}", "brackets"),
        ("{{.Task ; .Node}}", "character"),
    ],
)
def test_what_swarm_cannot_expand_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadGoTemplate) as caught:
        check_template(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "rest", "path"),
    [
        ("environment: {A: '{{foo}}'}", "", "services.a.environment.A"),
        ("environment: [B=1, 'A={{foo}}']", "", "services.a.environment[1]"),
        ("hostname: '{{.Nope}}'", "", "services.a.hostname"),
        ("volumes: ['vv:/{{.Nope}}']", "volumes: {vv: {}}", "services.a.volumes[0]"),
        ("volumes: ['vv:/x']", "volumes: {vv: {driver_opts: {o: '{{.Nope}}'}}}", "services.a.volumes[0]"),
    ],
)
def test_templates_are_checked_where_swarm_expands_them(keys: str, rest: str, path: str) -> None:
    problem = service_problem(keys, rest)
    assert problem.place is not None
    assert (problem.code, problem.place.key_path) == (ErrorCode.INVALID_VALUE, path)


def test_labels_and_commands_are_nobody_s_templates() -> None:
    assert container("labels: {a: '{{foo}}'}\ncommand: ['{{foo}}']")["Args"] == ["{{foo}}"]


def test_a_template_s_text_is_not_repeated() -> None:
    problem = service_problem("environment: {A: 'hunter2 {{foo}}'}")
    assert "hunter2" not in f"{problem.what} {problem.why} {problem.hint}"
