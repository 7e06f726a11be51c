"""Docker's refusals, and whether one of ours names the same fault.

A rule is a pattern of docker's message, the codes that fit, and words that our problem's text or place must have:
its groups, by number. A fault that only a cluster can show is nobody's to find in a file: see CLUSTER.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from reconciler.model.errors import ErrorCode as Code
from reconciler.model.errors import Problem

CLUSTER: Final = (
    r"declared as external, but",
    r"(?:secret|config) not found: ",
    r"cannot be used with services",
    r"invalid subinterface vlan name",
    r"error during lookup of plugin|plugin .* not found",
    r'invalid MountType: "(?:cluster|npipe|image)"',
    r"is already in use by service",
    r"only updates to Labels are allowed",
    r"network with name .* already exists",
)


@dataclass(frozen=True)
class Rule:
    pattern: str
    codes: frozenset[Code]
    words: tuple[int, ...] = ()
    """Groups of the pattern that name a path: one of our problems must be placed there."""
    said: tuple[int, ...] = ()
    """Groups of the pattern that our problem must repeat somewhere."""


def _rule(pattern: str, *codes: Code, at: tuple[int, ...] = (), said: tuple[int, ...] = ()) -> Rule:
    return Rule(pattern, frozenset(codes), at, said)


_VALUE: Final = (Code.INVALID_VALUE, Code.WRONG_TYPE)
RULES: Final = (
    _rule(r"(\S+) Additional property (.+) is not allowed", Code.UNKNOWN_KEY, Code.INVALID_VALUE, at=(1,), said=(2,)),
    _rule(r"(\S+) array items\[\d+,\d+\] must be unique", Code.INVALID_VALUE, at=(1,)),
    _rule(r"^version must be a string", Code.WRONG_TYPE),
    _rule(r"^(\S+) must be an? .*$", *_VALUE, at=(1,)),
    _rule(r"^(\S+) Does not match format", Code.INVALID_VALUE, at=(1,)),
    _rule(r"^(\S+) (\S+) is required$", Code.MISSING_KEY, at=(1,), said=(2,)),
    _rule(r"^(\S+) must be one of the following", Code.INVALID_VALUE, at=(1,)),
    _rule(r"top-level object must be a mapping", Code.WRONG_TYPE),
    _rule(r"unsupported Compose file version: (.*)", Code.UNSUPPORTED_VERSION),
    _rule(r"version mismatched between two composefiles : (\S+) and (\S+)", Code.UNSUPPORTED_VERSION, said=(1, 2)),
    _rule(r"line \d+: mapping key \"(.+)\" already defined at line (\d+)", Code.YAML_DUPLICATE_KEY, said=(1, 2)),
    _rule(r"unknown anchor '(.+)' referenced", Code.YAML_SYNTAX, said=(1,)),
    _rule(r"anchor '(.+)' value contains itself", Code.YAML_SYNTAX, said=(1,)),
    _rule(r"yaml: map merge requires map", Code.WRONG_TYPE),
    _rule(r"json: unsupported type: map\[interface", Code.WRONG_TYPE),
    _rule(r"json: unsupported value", Code.INVALID_VALUE),
    _rule(r"yaml: .*", Code.YAML_SYNTAX, Code.WRONG_TYPE),
    _rule(r"contains unsupported options:\n\n(\w+):", Code.UNSUPPORTED_KEY, Code.UNKNOWN_KEY, said=(1,)),
    _rule(r"invalid interpolation format for ([^\n]+?): \"", Code.BAD_INTERPOLATION, at=(1,)),
    _rule(r"error while interpolating ([^\n]+?): ", Code.BAD_INTERPOLATION, at=(1,)),
    _rule(r"open (/\S+): no such file", Code.FILE_NOT_FOUND),
    _rule(r"invalid env file .*contains whitespaces", Code.INVALID_VALUE, Code.WRONG_TYPE),
    _rule(r"invalid env file .*no variable name", Code.INVALID_VALUE),
    _rule(r"undefined (\w+) \"(.+)\"", Code.UNDEFINED_REFERENCE, said=(1, 2)),
    _rule(r"conflicting parameters \"external\" and \"(.+)\" specified for \w+ \"(.+)\"", *_VALUE, said=(1, 2)),
    _rule(r"(\w+) (\S+): \w+\.(\S+) and \w+\.(\S+) conflict", Code.INVALID_VALUE, said=(2, 4)),
    _rule(r"duplicate (?:secret|config) target", Code.INVALID_VALUE, said=()),
    _rule(r"no image specified", Code.MISSING_KEY, Code.INVALID_VALUE),
    _rule(r"invalid image reference for service (\S+): ", Code.INVALID_VALUE, said=(1,)),
    _rule(r"is not a valid repository/tag", Code.INVALID_VALUE),
    _rule(r"invalid credential spec", Code.INVALID_VALUE),
    _rule(r"Unknown mode: ", Code.INVALID_VALUE),
    _rule(r"(replicas) can only be used", Code.INVALID_VALUE, said=(1,)),
    _rule(r"test and disable can't be set", Code.INVALID_VALUE),
    _rule(r"failed to parse (.+) as a rational number|value is too precise", Code.INVALID_VALUE),
    _rule(r"unknown restart policy: ", Code.INVALID_VALUE),
    _rule(r"options are incompatible with type (\w+)|invalid tmpfs source|field Source must not", Code.INVALID_VALUE),
    _rule(r"invalid (?:mount|bind) ", Code.INVALID_VALUE, Code.MISSING_KEY),
    _rule(r"volume type must be ", Code.INVALID_VALUE),
    _rule(r"(?:error decoding|cannot parse) '([\w.\[\]]+?)'", *_VALUE, said=()),
    _rule(r"name must be (?:valid as a DNS|63 characters)", Code.INVALID_VALUE),
    _rule(r"invalid (memory|cpu) value", Code.INVALID_VALUE, said=(1,)),
    _rule(r"duplicate mount point: (\S+)", Code.INVALID_VALUE, said=(1,)),
    _rule(r"duplicate published ports|can't be used with dnsrr mode", Code.INVALID_VALUE),
    _rule(r"invalid RestartCondition", Code.INVALID_VALUE, said=()),
    _rule(r"unrecognized update failure action|invalid resolution mode|cannot be negative", Code.INVALID_VALUE),
    _rule(r"update-maxfailureratio|Jobs may not have|in HealthConfig cannot be", Code.INVALID_VALUE),
    _rule(r"constraint expected one operator|key '.*' is invalid|value '.*' is invalid", Code.INVALID_VALUE),
    _rule(r"expanding (env|hostname|mounts) failed", Code.INVALID_VALUE),
    _rule(r"explicitly attached to the ingress network", Code.INVALID_VALUE),
    _rule(r"(secret|config) data must be larger than 0", Code.INVALID_VALUE, said=(1,)),
    _rule(r"Invalid subnet (\S+)", Code.INVALID_VALUE, said=(1,)),
    _rule(r"invalid name|name must only contain|name must be", Code.INVALID_VALUE),
    # An empty generic resource makes the engine panic: the connection just ends.
    _rule(r"services/create\": EOF", Code.MISSING_KEY, Code.INVALID_VALUE),
)


def only_the_cluster_knows(said: str) -> bool:
    """Return whether the refusal needs a cluster: planning or the engine itself must tell."""
    return any(re.search(pattern, said) for pattern in CLUSTER)


def same_fault(said: str, problems: Iterable[Problem]) -> bool:
    """Return whether one of `problems` names the fault that docker named. False for one that no rule knows."""
    for rule in RULES:
        found = re.search(rule.pattern, said, re.MULTILINE)
        if found is not None:
            return any(_names(rule, found, problem) for problem in problems)
    return False


def _names(rule: Rule, found: re.Match[str], problem: Problem) -> bool:
    if problem.code not in rule.codes:
        return False
    path = problem.place.key_path if problem.place else ""
    text = f"{problem.what} {problem.why} {path}"
    return all(_is_at(found[group], path) for group in rule.words) and all(
        found[group] in text for group in rule.said if found[group]
    )


def _is_at(docker_path: str, path: str) -> bool:
    """Docker writes indexes as parts and list items as []; a missing or unknown key may be placed one step lower."""
    if docker_path == "(root)":
        return True
    ours = re.sub(r"\[\d+\]", "[]", path)
    theirs = re.sub(r"\.(\d+)(?=\.|$)", "[]", docker_path)
    theirs = re.sub(r"(?<!\[)\[\](?=\.|$)", "[]", theirs)
    return ours == theirs or ours.startswith((f"{theirs}.", f"{theirs}["))
