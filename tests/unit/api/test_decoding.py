"""Bodies by the rules of Go's decoder. What is expected here is what a Docker Engine 20.10 has answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.api.decoding import decoded
from reconciler.api.faults import Refused
from reconciler.api.queries import parsed
from reconciler.api.schemas import OBJECTS
from reconciler.model.objects import Kind


def read(text: str | bytes, kind: Kind = Kind.SERVICE) -> Any:
    return decoded(parsed(text.encode() if isinstance(text, str) else text), OBJECTS[kind])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"name": "a", "MODE": {"replicated": {"rEplicas": 2}}}',
         {"Name": "a", "Mode": {"Replicated": {"Replicas": 2}}}),
        ('{"Nonsense": [1], "TaskTemplate": {"X": {}}}', {"TaskTemplate": {}}),
        ('{"Name": null, "Labels": null, "Mode": {"Global": null}}', {"Mode": {}}),
        ('{"Labels": {"a": null}}', {"Labels": {"a": ""}}),
        ('{"Name": "a"} {"Name": "b"}', {"Name": "a"}),
        ('{"Name": "a"} nonsense', {"Name": "a"}),
        ('{"Name": "a", "name": "b"}', {"Name": "b"}),
        ('{"Mode": {"Global": {}}, "mode": {"GlobalJob": {}}}', {"Mode": {"Global": {}, "GlobalJob": {}}}),
        ("null", {}),
        (b'{"Name": "\xe9"}', {"Name": "\ufffd"}),
        ('{"UpdateConfig": {"MaxFailureRatio": 0.5, "Parallelism": 18446744073709551615}}',
         {"UpdateConfig": {"MaxFailureRatio": 0.5, "Parallelism": 2**64 - 1}}),
    ],
)  # fmt: skip
def test_what_go_makes_of_it(text: str | bytes, found: Any) -> None:
    assert read(text) == found


def test_a_secret_may_be_a_list_of_bytes() -> None:
    assert read('{"Name": "s", "Data": [104, 105]}', Kind.SECRET) == {"Name": "s", "Data": "aGk="}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "got EOF while reading request body"),
        (" \n", "got EOF while reading request body"),
        ('{"Name": "x"', "unexpected EOF"),
        ('{"Name": "x', "unexpected EOF"),
        ("tru", "unexpected EOF"),
        ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
        ("{'Name': 1}", "invalid character '\\'' looking for beginning of object key string"),
        ('{"Name": 1,}', "invalid character '}' looking for beginning of object key string"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ('{"Name" 1}', "invalid character '1' after object key"),
        ('{"Name": 01}', "invalid character '1' after object key:value pair"),
        ('{"Labels": [1 2]}', "invalid character '2' after array element"),
        ('{"Name": 1.}', "invalid character '}' after decimal point in numeric literal"),
        ('{"Name": 1e}', "invalid character '}' in exponent of numeric literal"),
        ('{"Name": "\\x"}', "invalid character 'x' in string escape code"),
        ('{"Name": "\\u12g4"}', "invalid character 'g' in \\u hexadecimal character escape"),
        ('{"Name": "a\nb"}', "invalid character '\\n' in string literal"),
        ('{"Name": NaN}', "invalid character 'N' looking for beginning of value"),
        ("\ufeff{}", "invalid character 'ï' looking for beginning of value"),
        ("[" * 100_000, "exceeded max depth"),
        ("[]", "json: cannot unmarshal array into Go value of type swarm.ServiceSpec"),
        ("17", "json: cannot unmarshal number into Go value of type swarm.ServiceSpec"),
        ('{"nAmE": 1}', "json: cannot unmarshal number into Go struct field ServiceSpec.Name of type string"),
        ('{"Labels": {"a": 1}}',
         "json: cannot unmarshal number into Go struct field ServiceSpec.Labels of type string"),
        ('{"TaskTemplate": {"containerspec": {"ENV": [1]}}}', "json: cannot unmarshal number into Go struct field "
         "ContainerSpec.TaskTemplate.ContainerSpec.Env of type string"),
        ('{"Mode": {"Replicated": {"Replicas": 1.5}}}', "json: cannot unmarshal number 1.5 into Go struct field "
         "ReplicatedService.Mode.Replicated.Replicas of type uint64"),
        ('{"EndpointSpec": {"Ports": [{"TargetPort": 1099511627776}]}}', "json: cannot unmarshal number 1099511627776 "
         "into Go struct field PortConfig.EndpointSpec.Ports.TargetPort of type uint32"),
    ],
)  # fmt: skip
def test_what_go_says_of_it(text: str, told: str) -> None:
    with pytest.raises(Refused) as refused:
        read(text)
    assert (refused.value.status, refused.value.message) == (400, told)


@pytest.mark.parametrize("text", ["!!", "eA", "e"])
def test_a_secret_that_is_no_base64_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read(json.dumps({"Name": "s", "Data": text}), Kind.SECRET)
    assert refused.value.message == "illegal base64 data at input byte 0"
