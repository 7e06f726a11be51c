"""For any three states of a service (last applied, live, wanted), each field that differs is blamed on who moved it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, ActionType, Origin
from tests.unit.planning.builders import actual, carried_out, desired, planned, service_spec, wanted

CONTAINER = "TaskTemplate.ContainerSpec"

Fields = dict[str, Any]
"""{path of a field, as a change tells it: its value}; what isn't there is left out."""


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(ABSENT), values)


few = st.sampled_from(["1", "2", "3"])

states = st.fixed_dictionaries(
    {
        "Mode.Replicated.Replicas": st.integers(0, 3),
        f"{CONTAINER}.Image": st.sampled_from(["nginx:1.25", "nginx:1.26", "redis:7"]),
        f"{CONTAINER}.Env[A]": maybe(few),
        f"{CONTAINER}.Env[B]": maybe(few),
        f"{CONTAINER}.Args": maybe(st.lists(few, min_size=1, max_size=2)),
        f"{CONTAINER}.Mounts[/a].Source": maybe(few),
        f"{CONTAINER}.Mounts[/b].Source": maybe(few),
        f"{CONTAINER}.Mounts[/b].VolumeOptions.NoCopy": maybe(st.booleans()),
        'Labels["team.a"]': maybe(few),
        "TaskTemplate.Placement.Constraints": maybe(st.lists(few, min_size=1, max_size=2)),
        "TaskTemplate.Resources.Limits.NanoCPUs": maybe(st.integers(1, 3)),
        "UpdateConfig.Parallelism": maybe(st.integers(0, 2)),
    }
).map(lambda fields: {path: value for path, value in fields.items() if value is not ABSENT})


def spec_of(fields: Fields) -> JsonObject:
    spec = service_spec("web_api", replicas=fields["Mode.Replicated.Replicas"])
    template, container = spec["TaskTemplate"], spec["TaskTemplate"]["ContainerSpec"]
    template.pop("Networks")
    container["Image"] = fields[f"{CONTAINER}.Image"]
    container["Env"] = [f"{name}={fields[path]}" for name in "AB" if (path := f"{CONTAINER}.Env[{name}]") in fields]
    container["Args"] = fields.get(f"{CONTAINER}.Args", [])
    container["Mounts"] = [mount for target in ("/a", "/b") if (mount := mount_of(fields, target))]
    spec["Labels"] |= {"team.a": fields['Labels["team.a"]']} if 'Labels["team.a"]' in fields else {}
    template["Placement"] = {"Constraints": fields.get("TaskTemplate.Placement.Constraints", [])}
    if (limit := fields.get("TaskTemplate.Resources.Limits.NanoCPUs")) is not None:
        template["Resources"] = {"Limits": {"NanoCPUs": limit}}
    if (parallelism := fields.get("UpdateConfig.Parallelism")) is not None:
        spec["UpdateConfig"] = {"Parallelism": parallelism, "Order": "stop-first", "FailureAction": "pause"}
    return spec


def mount_of(fields: Fields, target: str) -> JsonObject:
    at = f"{CONTAINER}.Mounts[{target}]"
    mount: JsonObject = {}
    if f"{at}.Source" in fields:
        mount["Source"] = fields[f"{at}.Source"]
    if f"{at}.VolumeOptions.NoCopy" in fields:
        mount["VolumeOptions"] = {"NoCopy": fields[f"{at}.VolumeOptions.NoCopy"]}
    return {"Type": "volume", "Target": target, **mount} if mount else {}


def blamed(applied: Any, live: Any, asked: Any) -> Origin:
    if applied == live:
        return Origin.INTENT
    return Origin.DRIFT if applied == asked else Origin.BOTH


def one_mount_became_the_other(live: Fields, asked: Fields) -> bool:
    """Whether a plan tells a changed target instead of one mount that goes and one that comes."""
    before, after = ({target for target in ("/a", "/b") if mount_of(state, target)} for state in (live, asked))
    return len(before - after) == len(after - before) == 1


@given(states, states, states)
def test_each_field_is_blamed_on_who_moved_it(applied: Fields, live: Fields, asked: Fields):
    def repository(fields: Fields):
        return desired(wanted(Kind.SERVICE, spec_of(fields)))

    cluster = carried_out(planned(repository(applied), actual()), actual())
    (service,) = cluster.services
    moved = spec_of(live)
    moved["Labels"] |= {key: value for key, value in service.labels.items() if key.startswith("io.swarmctl.")}
    drifted = replace(cluster, services=(replace(service, spec=moved),))

    made = planned(repository(asked), drifted)
    changes = {change.path: change for action in made.actions for change in action.changes}
    paths = {path for path in live.keys() | asked.keys() if live.get(path, ABSENT) != asked.get(path, ABSENT)}
    if one_mount_became_the_other(live, asked):
        paths = {path for path in paths if ".Mounts[" not in path}
    assert paths <= changes.keys()
    for path in paths:
        sides = [state.get(path, ABSENT) for state in (applied, live, asked)]
        assert changes[path].origin is blamed(*sides), (path, sides)
        assert (changes[path].applied, changes[path].old, changes[path].new) == tuple(sides)
    for action in made.actions:
        origins = {change.origin for change in action.changes}
        assert action.origin is (origins.pop() if len(origins) == 1 else Origin.BOTH)
    if applied == live:
        assert Origin.DRIFT not in {change.origin for change in changes.values()}
    if applied == asked:
        assert {change.origin for change in changes.values()} <= {Origin.DRIFT}
    assert made.count(ActionType.CREATE) == 0
