"""Plans for services: nothing for what is equal, exactly the field for what is not."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.desired import ExternalReference, Stack
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.images import ResolvedImage
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, TaskEffect
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import (
    HERE,
    a_node,
    actual,
    content_spec,
    desired,
    network_spec,
    observed,
    paths,
    planned,
    running_tasks,
    running_web,
    service_spec,
    wanted,
    web_service,
)


def test_what_the_daemon_fills_in_is_no_difference():
    assert planned(web_service(), actual(*running_web())).is_empty


def test_a_stack_that_docker_deployed_needs_no_change():
    assert planned(web_service(), actual(*running_web(owner=None))).is_empty


def test_a_missing_service_is_created_after_its_network():
    made = planned(web_service(), actual())
    assert [(action.id, action.type) for action in made.actions] == [
        ("network.web_default", ActionType.CREATE),
        ("service.web_api", ActionType.CREATE),
    ]
    assert made.actions[1].after == ("network.web_default",)
    assert made.actions[1].spec["Labels"][labels.OWNER] == "prod"
    assert labels.OWNER not in made.actions[1].spec["TaskTemplate"]["ContainerSpec"]["Labels"]


@pytest.mark.parametrize("protocol", [{}, {"Protocol": "TCP"}, {"Protocol": ""}])
def test_a_port_of_a_new_service_is_told_by_the_protocol_that_it_gets(protocol):
    spec = service_spec()
    spec["EndpointSpec"] = {"Ports": [{"TargetPort": 91, "PublishedPort": 9100, **protocol}]}
    (action,) = (
        one for one in planned(desired(wanted(Kind.SERVICE, spec)), actual()).actions if one.kind is Kind.SERVICE
    )
    paths = [change.path for change in action.changes if change.path.startswith("EndpointSpec.Ports")]
    assert paths == [f"EndpointSpec.Ports[91/tcp].{field}" for field in ("Protocol", "PublishedPort", "TargetPort")]


def test_a_name_that_differs_from_another_in_capitals_only_is_blocked_as_swarm_takes_both_for_one():
    """Unless it is a secret's or config's: those may have another name in the cluster."""
    capitals = desired(wanted(Kind.NETWORK, network_spec("web_Default")), wanted(Kind.SERVICE, service_spec("web_API")))
    made = planned(capitals, actual(*running_web()))
    assert made.actions == ()
    assert [(one.id, one.problem.code) for one in made.blocked] == [
        ("network.web_Default", ErrorCode.NAME_CONFLICT),
        ("service.web_API", ErrorCode.NAME_CONFLICT),
    ]
    there = observed(Kind.CONFIG, content_spec("web_app", "1"))
    both = [wanted(Kind.CONFIG, content_spec(name, "2")) for name in ("web_App", "web_APP")]
    names = [action.name.lower() for action in planned(desired(*both), actual(there)).actions]
    assert len({"web_app", *names}) == 3


def with_image(spec):
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.27"


def with_variable(spec):
    spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["A=1"]


def with_port(spec):
    spec["EndpointSpec"]["Ports"] = [{"TargetPort": 80}]


def with_constraint(spec):
    spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.role==worker"]}


def with_five_replicas(spec):
    spec["Mode"]["Replicated"]["Replicas"] = 5


def with_label(spec):
    spec["Labels"]["team"] = "blue"


def with_update_config(spec):
    spec["UpdateConfig"] = {"Parallelism": 2}


@pytest.mark.parametrize(
    ("change", "path", "effect"),
    [
        (with_image, "TaskTemplate.ContainerSpec.Image", TaskEffect.ROLLING),
        (with_variable, "TaskTemplate.ContainerSpec.Env[A]", TaskEffect.ROLLING),
        (with_port, "EndpointSpec.Ports[80/tcp].TargetPort", TaskEffect.ROLLING),
        (with_constraint, "TaskTemplate.Placement.Constraints", TaskEffect.MOVE),
        (with_five_replicas, "Mode.Replicated.Replicas", TaskEffect.SCALE),
        (with_label, 'Labels["team"]', TaskEffect.NONE),
        (with_update_config, "UpdateConfig.Parallelism", TaskEffect.NONE),
    ],
)
def test_a_change_in_git_names_its_field_and_what_happens_to_tasks(change, path, effect):
    spec = service_spec()
    change(spec)
    network, service = running_web()
    cluster = actual(a_node("n1", role="manager"), network, service, tasks=running_tasks(service))
    made = planned(desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, spec)), cluster)
    (action,) = made.actions
    assert action.type is ActionType.UPDATE
    assert path in [one.path for one in action.changes]
    assert action.effect is effect


def test_drift_is_found_in_the_same_words():
    network, service = running_web(Env=["DEBUG=1"])
    made = planned(web_service(), actual(network, service))
    assert paths(made) == {"service.web_api": ["TaskTemplate.ContainerSpec.Env[DEBUG]"]}


def test_a_pinned_digest_and_its_platforms_are_no_difference_and_are_sent_back():
    network, service = running_web()
    service.spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.25@sha256:" + "a" * 64
    service.spec["TaskTemplate"]["Placement"] = {"Platforms": [{"OS": "linux"}]}
    service.spec["TaskTemplate"]["ForceUpdate"] = 4
    assert planned(web_service(), actual(network, service)).is_empty
    (action,) = planned(web_service(replicas=5), actual(network, service)).actions
    template = action.spec["TaskTemplate"]
    assert template["ContainerSpec"]["Image"].endswith("a" * 64)
    assert template["Placement"]["Platforms"] == [{"OS": "linux"}]
    assert template["ForceUpdate"] == 4
    assert [change.path for change in action.changes] == ["Mode.Replicated.Replicas"]


def test_an_image_set_by_hand_is_drift_even_with_a_digest():
    network, service = running_web()
    service.spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.27@sha256:" + "b" * 64
    (action,) = planned(web_service(), actual(network, service)).actions
    assert [change.path for change in action.changes] == ["TaskTemplate.ContainerSpec.Image"]
    assert action.spec["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:1.25"


def test_an_unmodelled_field_passes_through_and_its_loss_is_seen():
    network, service = running_web(NewInSwarm={"Level": 3})
    assert planned(web_service(NewInSwarm={"Level": 3}), actual(network, service)).is_empty
    made = planned(web_service(), actual(network, service))
    assert paths(made) == {"service.web_api": ["TaskTemplate.ContainerSpec.NewInSwarm.Level"]}


def test_another_mode_replaces_the_service():
    spec = service_spec()
    spec["Mode"] = {"Global": {}}
    made = planned(desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, spec)), actual(*running_web()))
    assert [action.type for action in made.actions] == [ActionType.REPLACE]


def test_a_namesake_outside_the_stack_blocks():
    network, service = running_web()
    service.spec["Labels"].pop(labels.STACK_NAMESPACE)
    made = planned(web_service(), actual(network, service))
    assert [one.code for one in made.blocked] == [ErrorCode.NAME_CONFLICT]
    assert made.actions == ()


def test_a_missing_external_network_holds_its_stack_and_those_that_depend_on_it():
    outside = ExternalReference(Kind.NETWORK, "edge", "web", HERE)
    user = service_spec("web_edge")
    user["TaskTemplate"]["Networks"].append({"Target": "edge"})
    others = [service_spec(f"{stack}_app", stack=stack) for stack in ("shop", "solo")]
    for spec in others:
        spec["TaskTemplate"].pop("Networks")
    state = desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SERVICE, service_spec()),
        wanted(Kind.SERVICE, user),
        *[wanted(Kind.SERVICE, spec, stack=spec["Name"].partition("_")[0]) for spec in others],
        externals=(outside,),
        stacks=(Stack("shop", "s", ("web",), HERE), Stack("web", "w", (), HERE), Stack("solo", "o", (), HERE)),
    )
    made = planned(state, actual())
    assert [(one.id, one.code) for one in made.blocked] == [
        ("network.edge", ErrorCode.UNDEFINED_REFERENCE),
        ("stack.shop", ErrorCode.PLAN_BLOCKED),
    ]
    assert list(paths(made)) == ["service.solo_app"]
    there = planned(state, actual(observed(Kind.NETWORK, network_spec("edge", stack=None))))
    assert there.blocked == ()


def test_stacks_come_after_the_stacks_they_depend_on_whatever_the_order_of_the_file():
    stacks = (Stack("web", "w.yaml", ("db",), HERE), Stack("db", "d.yaml", (), HERE))
    database = service_spec("db_main", stack="db")
    database["TaskTemplate"].pop("Networks")
    state = desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SERVICE, service_spec()),
        wanted(Kind.SERVICE, database, stack="db"),
        stacks=stacks,
    )
    actions = {action.id: action for action in planned(state, actual()).actions}
    assert list(actions) == ["network.web_default", "service.db_main", "service.web_api"]
    assert actions["service.web_api"].after == ("network.web_default", "service.db_main")
    assert actions["service.db_main"].after == ()


def test_a_reference_to_a_deleted_secret_is_a_difference():
    reference = {"File": {"Name": "key"}, "SecretName": "web_key"}
    spec = service_spec(Secrets=[reference])
    live = copy.deepcopy(spec)
    live["TaskTemplate"]["ContainerSpec"]["Secrets"] = [{**reference, "SecretID": "gone"}]
    state = desired(wanted(Kind.SECRET, content_spec("web_key", "x")), wanted(Kind.SERVICE, spec))
    secret = observed(Kind.SECRET, content_spec("web_key", "x"), object_id="new")
    made = planned(state, actual(secret, observed(Kind.SERVICE, live)))
    assert "service.web_api" in paths(made)
    live["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretID"] = "new"
    assert planned(state, actual(secret, observed(Kind.SERVICE, live))).is_empty


def test_a_paused_update_goes_on_with_the_next_apply():
    network, service = running_web()
    service.raw["UpdateStatus"] = {"State": "paused", "Message": "update paused due to failure"}
    late = [replace(task, up_to_date=False, raw={}) for task in running_tasks(service)]
    (action,) = planned(web_service(), actual(a_node("n1"), network, service, tasks=tuple(late))).actions
    assert (action.type, action.changes) == (ActionType.UPDATE, ())
    assert action.effect is TaskEffect.ROLLING
    assert "goes on" in action.reason


def plain_service(name, *, needs=(), stack="web"):
    spec = service_spec(name, stack=stack)
    spec["TaskTemplate"].pop("Networks")
    return wanted(Kind.SERVICE, spec, stack=stack, needs=needs)


def test_services_of_a_stack_come_after_those_that_they_need_whatever_the_order_of_the_file():
    state = desired(
        plain_service("web_front", needs=("web_api", "web_cache")),
        plain_service("web_api", needs=("web_db",)),
        plain_service("web_cache"),
        plain_service("web_db"),
    )
    actions = {action.id: action.after for action in planned(state, actual()).actions}
    assert list(actions) == ["service.web_cache", "service.web_db", "service.web_api", "service.web_front"]
    assert actions["service.web_front"] == ("service.web_api", "service.web_cache")
    assert actions["service.web_api"] == ("service.web_db",)
    assert actions["service.web_db"] == ()


def test_a_service_whose_need_is_blocked_waits_with_it():
    state = desired(plain_service("web_front", needs=("web_api",)), plain_service("web_api"), plain_service("web_db"))
    namesake = observed(Kind.SERVICE, {**service_spec("web_api"), "Labels": {}})
    made = planned(state, actual(namesake))
    assert [(one.id, one.code) for one in made.blocked] == [
        ("service.web_api", ErrorCode.NAME_CONFLICT),
        ("service.web_front", ErrorCode.PLAN_BLOCKED),
    ]
    assert [action.id for action in made.actions] == ["service.web_db"]


def test_a_chain_of_needs_may_be_as_long_as_it_likes():
    length = 1500
    links = [plain_service(f"web_{n}", needs=(f"web_{n - 1}",) if n else ()) for n in range(length)]
    made = planned(desired(*reversed(links)), actual())
    assert [action.name for action in made.actions] == [f"web_{n}" for n in range(length)]


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 9), max_size=3), max_size=10))
def test_the_order_of_a_plan_is_an_order_to_carry_it_out(graph):
    """Also with cycles, which the loader refuses: then every service is still there once."""
    needs = {f"web_{n}": tuple(f"web_{m}" for m in sorted(below) if m in graph) for n, below in graph.items()}
    state = desired(*[plain_service(name, needs=below) for name, below in needs.items()])
    made = planned(state, actual())
    done: set[str] = set()
    for action in made.actions:
        assert set(action.after) <= done
        done.add(action.id)
    assert len(done) == len(made.actions) == len(graph)


DIGESTS = {letter: "sha256:" + letter * 64 for letter in "abc"}


def live_with(image, **labels_set):
    network, service = running_web()
    service.spec["TaskTemplate"]["ContainerSpec"]["Image"] = image
    service.spec["Labels"] |= labels_set
    return actual(network, service)


def test_a_registrys_answer_pins_the_image_and_its_platforms():
    answer = ResolvedImage(DIGESTS["b"], ({"Architecture": "x86_64", "OS": "linux"},))
    options = PlanOptions(images={"nginx:1.25": answer})
    (update,) = planned(web_service(), live_with(f"nginx:1.25@{DIGESTS['a']}"), options).actions
    create = planned(web_service(), actual(), options).actions[-1]
    for action in (update, create):
        template = action.spec["TaskTemplate"]
        assert template["ContainerSpec"]["Image"] == f"nginx:1.25@{DIGESTS['b']}"
        assert template["Placement"]["Platforms"] == [{"Architecture": "x86_64", "OS": "linux"}]
    made_so = observed(Kind.SERVICE, update.spec)
    network, _ = running_web()
    assert planned(web_service(), actual(network, made_so), options).is_empty
    assert planned(web_service(), actual(network, made_so)).is_empty, "and without asking again"


def test_a_registry_that_is_down_keeps_the_running_digest_and_is_told_once():
    problem = Problem(ErrorCode.IMAGE_UNRESOLVED, "Image nginx:1.25 could not be looked up.")
    options = PlanOptions(images={"nginx:1.25": problem, "nginx:1.27": problem})
    cluster = live_with(f"nginx:1.25@{DIGESTS['a']}")
    made = planned(web_service(), cluster, options)
    assert made.is_empty
    assert [(note.code, note.severity) for note in made.notes] == [(ErrorCode.IMAGE_UNRESOLVED, Severity.WARNING)]
    (changed,) = planned(web_service(replicas=5), cluster, options).actions
    assert changed.spec["TaskTemplate"]["ContainerSpec"]["Image"].endswith(DIGESTS["a"])
    (moved,) = planned(web_service(Image="nginx:1.27"), cluster, options).actions
    assert moved.spec["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:1.27"
    twins = desired(plain_service("web_one"), plain_service("web_two"))
    assert len(planned(twins, actual(), options).notes) == 1


def test_a_backend_that_runs_no_images_has_nothing_to_say():
    made = planned(web_service(), live_with(f"nginx:1.25@{DIGESTS['a']}"), PlanOptions(images={"nginx:1.25": None}))
    assert made.is_empty
    assert made.notes == ()


def test_a_config_that_holds_a_credential_spec_is_named_in_both_forms():
    reference = {"Runtime": {}, "ConfigName": "web_app"}
    spec = service_spec(Privileges={"CredentialSpec": {"Config": "web_app"}}, Configs=[reference])
    stored = {**reference, "ConfigID": "id-web_app"}
    live = service_spec(Privileges={"CredentialSpec": {"Config": "id-web_app"}}, Configs=[stored])
    for one in (spec, live):
        one["TaskTemplate"].pop("Networks")
    config = content_spec("web_app", "x")
    state = desired(wanted(Kind.CONFIG, config), wanted(Kind.SERVICE, spec))
    cluster = actual(observed(Kind.CONFIG, config), observed(Kind.SERVICE, live))
    assert planned(state, cluster).is_empty
    changed = desired(wanted(Kind.CONFIG, content_spec("web_app", "y")), wanted(Kind.SERVICE, spec))
    create, update = planned(changed, cluster).actions
    assert update.spec["TaskTemplate"]["ContainerSpec"]["Privileges"]["CredentialSpec"]["Config"] == create.name
    assert update.after == (create.id,)


def test_a_service_awaits_those_that_it_needs_and_that_the_plan_leaves_alone():
    """By `depends_on` inside a stack, and by `dependsOn` between two: an earlier apply may have left them failing."""
    db, app = service_spec("web_db"), service_spec("web_app")
    shop = service_spec("shop_api", stack="shop", replicas=1)
    shop["TaskTemplate"].pop("Networks")
    state = desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SERVICE, db),
        wanted(Kind.SERVICE, app, needs=("web_db",)),
        wanted(Kind.SERVICE, shop, stack="shop"),
        stacks=(Stack("web", "w", (), HERE), Stack("shop", "s", ("web",), HERE)),
    )
    first = planned(state, actual()).actions
    assert {one.name: one.after for one in first}["shop_api"] == ("service.web_db", "service.web_app")
    assert {one.awaits for one in first} == {()}, "what is planned comes before by itself"
    there = [observed(one.kind, one.spec) for one in first if one.name in ("web_default", "web_db")]
    later = {one.name: one for one in planned(state, actual(*there)).actions}
    assert {name: one.awaits for name, one in later.items()} == {"web_app": ("web_db",), "shop_api": ("web_db",)}
    assert later["shop_api"].after == ("service.web_app",)
