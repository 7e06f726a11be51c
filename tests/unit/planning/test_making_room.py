"""Services that are removed before others because these need the room that they hold."""

from __future__ import annotations

from reconciler.model.desired import Policy
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import Plan
from reconciler.planning.plan import plan
from tests.unit.planning.builders import actual, desired, wanted
from tests.unit.planning.seats import host_port, running, seat, service

EVERYTHING = Policy(prune=True, max_delete_percent=100)


def everywhere(name: str) -> JsonObject:
    return service(name, replicas=None, ports=(host_port(80),))


def renamed(old: JsonObject, new: JsonObject, *hostnames: str, seats: int = 3) -> Plan:
    found, tasks = running(old, *hostnames, owner="prod")
    nodes = [seat(f"node-{number}") for number in range(1, seats + 1)]
    return plan(desired(wanted(Kind.SERVICE, new), policy=EVERYTHING), actual(found, *nodes, tasks=tuple(tasks)))


def order(made: Plan) -> list[str]:
    return [action.id for action in made.actions]


def test_a_renamed_service_with_a_port_of_each_node_starts_once_its_former_self_is_gone():
    made = renamed(everywhere("web_app"), everywhere("web_site"), "node-1", "node-2", "node-3")
    assert order(made) == ["service.web_app", "service.web_site"]
    assert made.actions[0].reason.endswith("; web_site needs its room")
    assert (made.actions[0].after, made.actions[1].after) == ((), ("service.web_app",))


def test_a_renamed_service_whose_reservation_fills_the_nodes_starts_once_its_former_self_is_gone():
    old, new = service("web_app", replicas=3, gib=5), service("web_site", replicas=3, gib=5)
    assert order(renamed(old, new, "node-1", "node-2", "node-3")) == ["service.web_app", "service.web_site"]


def test_what_is_pruned_goes_last_where_the_nodes_hold_both():
    old, new = (service(name, replicas=2, ports=(host_port(80),)) for name in ("web_app", "web_site"))
    assert order(renamed(old, new, "node-1", "node-2", seats=4)) == ["service.web_site", "service.web_app"]


def test_what_runs_is_not_removed_first_for_tasks_that_find_no_node_either_way():
    new = service("web_site", replicas=4, ports=(host_port(80),))
    made = renamed(everywhere("web_app"), new, "node-1", "node-2", "node-3")
    assert order(made) == ["service.web_site", "service.web_app"]
    assert made.unplaceable


def test_only_what_holds_something_that_is_needed_goes_first():
    found, tasks = running(everywhere("web_app"), "node-1", "node-2", owner="prod")
    other, others = running(service("web_cron", replicas=2, gib=1), "node-1", "node-2", owner="prod")
    cluster = actual(found, other, seat("node-1"), seat("node-2"), tasks=(*tasks, *others))
    made = plan(desired(wanted(Kind.SERVICE, everywhere("web_site")), policy=EVERYTHING), cluster)
    assert order(made) == ["service.web_app", "service.web_site", "service.web_cron"]
