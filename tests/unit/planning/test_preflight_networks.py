"""Pre-flight of networks: addresses, subnets, and ports that the engine refuses."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import labels
from reconciler.model.desired import Policy
from reconciler.model.errors import ErrorCode, Severity
from reconciler.model.objects import Kind, ObservedObject
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import actual, desired, network_spec, observed, planned, wanted
from tests.unit.planning.seats import host_port, running, seat, service, warned

THREE = [seat("n1"), seat("n2"), seat("n3")]
INGRESS = {"Name": "ingress", "Driver": "overlay", "Ingress": True, "Scope": "swarm"}


def overlay(name: str = "web_default", *subnets: str, **block: Any) -> dict[str, Any]:
    config = [{"Subnet": subnet, **block} for subnet in subnets]
    return network_spec(name, IPAM={"Driver": "default", "Config": config})


def live(spec: dict[str, Any], *, owner: str | None = None) -> ObservedObject:
    """The network as the swarm has it."""
    stored = {
        **spec,
        "Scope": "swarm",
        "Labels": {**(spec.get("Labels") or {}), **({labels.OWNER: owner} if owner else {})},
    }
    return observed(Kind.NETWORK, stored)


def on(name: str = "web_api", *, replicas: int, networks: tuple[str, ...] = ("web_default",), **fields: Any) -> Any:
    return service(name, replicas=replicas, networks=networks, **fields)


DNSRR: Any = {"EndpointSpec": {"Mode": "dnsrr"}}


def test_a_network_of_the_usual_size_has_room():
    assert warned([on(replicas=200)], THREE, networks=[network_spec()]) == []


def test_each_task_each_virtual_ip_and_each_node_takes_an_address():
    # 16 - 3 = 13 addresses: 3 for nodes, 1 for the virtual IP, 9 for tasks
    assert warned([on(replicas=9)], THREE, networks=[overlay("web_default", "10.77.0.0/28")]) == []
    (problem,) = warned([on(replicas=10)], THREE, networks=[overlay("web_default", "10.77.0.0/28")])
    assert problem.code is ErrorCode.UNSCHEDULABLE
    assert problem.what == "Network web_default has 13 addresses, and the tasks of web_api make it need 14."
    assert "1 for each of 10 tasks, 1 for virtual IPs of services and 3 for nodes." in problem.why
    assert "At least 1 of the 10 new tasks would" in problem.why
    assert warned([on(replicas=10, **DNSRR)], THREE, networks=[overlay("web_default", "10.77.0.0/28")]) == []


def test_no_more_tasks_are_said_to_stay_new_than_there_are_new_ones():
    (problem,) = warned([on(replicas=6)], THREE, networks=[overlay("web_default", "10.77.0.0/30")])
    assert problem.what == "Network web_default has 1 address, and the tasks of web_api make it need 10."
    assert "At least 6 of the 6 new tasks would never run: they stay `new`" in problem.why


def test_a_task_that_stays_new_spares_its_nodes_address_too():
    # 4 addresses: 3 tasks on 3 nodes need 6, 2 tasks on 2 nodes 4
    block = {"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.64/30"}
    networks = [network_spec(IPAM={"Driver": "default", "Config": [block]})]
    (problem,) = warned([on(replicas=3, **DNSRR)], THREE, networks=networks)
    assert problem.what == "Network web_default has 4 addresses, and the tasks of web_api make it need 6."
    assert "At least 1 of the 3 new tasks" in problem.why


def test_tasks_that_are_there_already_have_their_addresses():
    there = live(overlay("web_default", "10.77.0.0/28", Gateway="10.77.0.1"), owner="prod")
    before = running(on(replicas=5), *(["n1", "n2"] * 3)[:5], owner="prod")
    declared = [overlay("web_default", "10.77.0.0/28")]
    specs = [on(replicas=5), on("web_new", replicas=3)]
    assert warned(specs, THREE, before, networks=declared, live=[there]) == []
    specs = [on(replicas=5), on("web_new", replicas=4)]
    assert "web_new make it need 14" in warned(specs, THREE, before, networks=declared, live=[there])[0].what
    assert warned([on(replicas=5)], THREE, before, networks=declared, live=[there]) == []


def test_a_new_task_goes_to_a_node_that_has_none_and_brings_its_node_an_address():
    there = live(overlay("web_default", "10.77.0.0/29", Gateway="10.77.0.1"), owner="prod")
    before = running(on(replicas=2), "n1", "n2", owner="prod")
    declared = [overlay("web_default", "10.77.0.0/29")]
    (problem,) = warned([on(replicas=3)], THREE, before, networks=declared, live=[there])
    assert problem.what == "Network web_default has 5 addresses, and the tasks of web_api make it need 7."


@pytest.mark.parametrize(
    ("block", "size"),
    [
        ({"Subnet": "10.77.0.0/29"}, 5),
        ({"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.64/30"}, 4),
        ({"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.0/30"}, 2),
        ({"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.64/30", "Gateway": "10.77.0.65"}, 3),
    ],
)
def test_a_range_narrows_the_subnet(block: dict[str, str], size: int):
    networks = [network_spec(IPAM={"Driver": "default", "Config": [block]})]
    fits = [on(replicas=size - 1, **DNSRR)]
    assert warned(fits, [seat("n1")], networks=networks) == []
    (problem,) = warned([on(replicas=size, **DNSRR)], [seat("n1")], networks=networks)
    assert f"has {size} addresses" in problem.what


def start_first(image: str, *, replicas: int | None = 3, **fields: Any) -> Any:
    fields = {"networks": ("web_default",), "UpdateConfig": {"Order": "start-first"}, **fields}
    return service(replicas=replicas, image=image, **fields)


def updated(size_bits: int, nodes: list[ObservedObject], before: Any, *after: Any) -> list[str]:
    """What is said of an update to `after` on an overlay of so many bits."""
    spec = overlay("web_default", f"10.77.0.0/{size_bits}")
    problems = warned(list(after), nodes, before, networks=[spec], live=[live(spec, owner="prod")])
    return [problem.what for problem in problems]


NEVER_BEGUN = "Service web_api: its start-first update can't begin."


def test_a_start_first_update_needs_one_address_more_than_its_tasks_have():
    # 8 - 3 = 5 addresses: 3 for tasks, 1 for the virtual IP, 1 for the node
    one = [seat("n1")]
    before = running(start_first("app:1"), "n1", "n1", "n1", owner="prod")
    spec = overlay("web_default", "10.77.0.0/29")
    there = live(spec, owner="prod")
    (problem,) = warned([start_first("app:2")], one, before, networks=[spec], live=[there])
    assert (problem.code, problem.severity) == (ErrorCode.UNSCHEDULABLE, Severity.WARNING)
    assert problem.what == NEVER_BEGUN
    assert "Network web_default has 5 addresses, all taken: 1 for each of 3 tasks, 1 for virtual IPs" in problem.why
    assert "stop-first" in problem.hint
    stop_first = start_first("app:2", UpdateConfig={"Order": "stop-first"})
    assert updated(29, one, before, stop_first) == []
    assert updated(29, one, before, start_first("app:1", Labels={"note": "new"})) == [], "no task becomes new"
    assert updated(28, one, before, start_first("app:2")) == []


def test_one_free_address_is_enough_for_a_start_first_update():
    before = running(start_first("app:1", replicas=2), "n1", "n1", owner="prod")
    assert updated(29, [seat("n1")], before, start_first("app:2", replicas=2)) == []
    assert updated(29, [seat("n1")], before, start_first("app:2", replicas=3)) == [NEVER_BEGUN]
    larger = running(start_first("app:1"), "n1", "n1", "n1", owner="prod")
    assert updated(29, [seat("n1")], larger, start_first("app:2", replicas=2)) == []
    assert updated(29, [seat("n1")], larger, start_first("app:2", **DNSRR)) == []


def test_a_network_that_is_short_anyway_is_told_once():
    before = running(start_first("app:1"), "n1", "n1", "n1", owner="prod")
    (told,) = updated(29, [seat("n1")], before, start_first("app:2", replicas=4))
    assert told == "Network web_default has 5 addresses, and the tasks of web_api make it need 6."


def test_a_global_start_first_update_needs_one_more_address_too():
    before = running(start_first("app:1", replicas=None), "n1", "n2", owner="prod")
    nodes = [seat("n1"), seat("n2")]
    assert updated(29, nodes, before, start_first("app:2", replicas=None)) == [NEVER_BEGUN]
    assert updated(28, nodes, before, start_first("app:2", replicas=None)) == []


def test_a_paused_node_keeps_its_address_while_its_old_task_stays():
    # 5 addresses: tasks on 2 nodes and the virtual IP. New tasks all go to n1, but not before the old ones stop
    before = running(start_first("app:1", replicas=2), "n1", "n2", owner="prod")
    nodes = [seat("n1"), seat("n2", availability="pause")]
    assert updated(29, nodes, before, start_first("app:2", replicas=2)) == [NEVER_BEGUN]


def test_a_network_that_a_start_first_update_joins_has_none_of_its_old_tasks():
    old, new = overlay("web_old", "10.78.0.0/24"), overlay("web_default", "10.77.0.0/29")
    there = [live(old, owner="prod"), live(new, owner="prod")]
    before = running(start_first("app:1", networks=("web_old",)), "n1", "n1", "n1", owner="prod")
    after = start_first("app:1", networks=("web_old", "web_default"))
    assert warned([after], [seat("n1")], before, networks=[old, new], live=there) == []


def test_the_swarms_own_subnet_size_counts_for_networks_that_ask_for_none():
    assert warned([on(replicas=251)], THREE, networks=[network_spec()]) != []


def test_published_ports_take_addresses_of_the_ingress_network():
    ingress = live({**INGRESS, "IPAM": {"Config": [{"Subnet": "10.0.0.0/28", "Gateway": "10.0.0.1"}]}})
    spec = service(replicas=9, ports=(host_port(80, "ingress"),))
    assert warned([spec], THREE, live=[ingress]) == []
    spec = service(replicas=10, ports=(host_port(80, "ingress"),))
    (problem,) = warned([spec], THREE, live=[ingress])
    assert problem.what.startswith("Network ingress has 13 addresses")


def test_networks_without_swarm_addresses_are_left_alone():
    host = network_spec("web_default", Driver="macvlan", IPAM={"Config": [{"Subnet": "10.77.0.0/30"}]})
    plugins = (("Network", "macvlan"),)
    assert warned([on(replicas=50)], [seat("n1", plugins=plugins)], networks=[host]) == []
    (problem,) = warned([on(replicas=1)], [seat("n1")], networks=[host])
    assert "missing plugin on 1 node" in problem.why


def test_overlapping_subnets_are_told_with_both_names():
    there = live(overlay("other_net", "10.77.0.0/16"))
    (problem,) = warned([], THREE, networks=[overlay("web_default", "10.77.3.0/24")], live=[there])
    assert problem.what == "Network web_default: its subnet 10.77.3.0/24 overlaps 10.77.0.0/16 of network other_net."
    assert problem.severity is Severity.WARNING
    assert warned([], THREE, networks=[overlay("web_default", "10.78.3.0/24")], live=[there]) == []


def test_two_planned_networks_may_overlap_too():
    both = [overlay("web_a", "10.77.0.0/24"), overlay("web_b", "10.77.0.128/25")]
    (problem,) = warned([], THREE, networks=both)
    assert problem.what.startswith("Network web_b: its subnet 10.77.0.128/25 overlaps 10.77.0.0/24 of network web_a")


def test_the_ingress_networks_subnet_is_taken():
    ingress = live({**INGRESS, "IPAM": {"Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]}})
    (problem,) = warned([], THREE, networks=[overlay("web_default", "10.0.0.0/24")], live=[ingress])
    assert "of network ingress" in problem.what


def test_a_port_that_another_service_has_is_refused_by_the_engine():
    other = running(service("other_lb", ports=(host_port(80, "ingress"),)), "n1")
    (problem,) = warned([service(ports=(host_port(80, "ingress"),))], THREE, other)
    assert problem.code is ErrorCode.OBJECT_IN_USE
    assert problem.what == "Service web_api can't be written: its port 80/tcp is taken."
    assert "in use by service other_lb as an ingress port" in problem.why
    assert warned([service(ports=(host_port(81, "ingress"),))], THREE, other) == []


@pytest.mark.parametrize(
    ("there", "asked", "refused"),
    [("ingress", "host", True), ("host", "ingress", True), ("host", "host", False), ("ingress", "ingress", True)],
)
def test_only_two_host_ports_get_on_with_each_other(there: str, asked: str, refused: bool):
    other = running(service("other_lb", ports=(host_port(80, there),)), "n1")
    problems = warned([service(ports=(host_port(80, asked),))], THREE, other)
    assert bool(problems) is refused


def test_a_port_that_swarm_chose_for_a_service_is_taken_as_well():
    other = running(service("other_lb"), "n1", Endpoint={"Ports": [host_port(30000, "ingress")]})
    assert len(warned([service(ports=(host_port(30000, "ingress"),))], THREE, other)) == 1


def test_a_port_that_the_plan_frees_may_be_taken():
    before = running(service("web_old", ports=(host_port(80, "ingress"),)), "n1", owner="prod")
    specs = [service("web_old", ports=(host_port(81, "ingress"),)), service(ports=(host_port(80, "ingress"),))]
    assert warned(specs, THREE, before) == []


def test_a_port_of_a_service_that_is_pruned_is_freed_in_time():
    before = running(service("web_old", ports=(host_port(80, "ingress"),)), "n1", owner="prod")
    policy = Policy(prune=True, max_delete_percent=100)
    assert warned([service("web_new", ports=(host_port(80, "ingress"),))], THREE, before, policy=policy) == []


def test_two_services_of_a_plan_may_ask_for_one_port():
    specs = [service("web_a", ports=(host_port(80, "ingress"),)), service("web_b", ports=(host_port(80, "ingress"),))]
    (problem,) = warned(specs, THREE)
    assert "Service web_b can't be written" in problem.what


@pytest.mark.parametrize(("networks", "told"), [(("web_new",), True), ((), False)], ids=["used", "not used"])
def test_the_subnet_of_a_network_that_is_pruned_is_free_only_after_the_new_tasks_run(
    networks: tuple[str, ...], told: bool
):
    there: dict[str, Any] = {
        "networks": [overlay("web_new", "10.77.0.0/24")],
        "live": [live(overlay("web_old", "10.77.0.0/24"), owner="prod")],
        "policy": Policy(prune=True, max_delete_percent=100),
    }
    problems = warned([on(replicas=1, networks=networks)], THREE, **there)
    assert [one.what for one in problems] == [
        "Network web_new: its subnet 10.77.0.0/24 overlaps 10.77.0.0/24 of network web_old."
    ] * told
    assert all("removes web_old, but only after those tasks run" in one.why for one in problems)


PRUNING = Policy(prune=True, max_delete_percent=100)
SMALL: dict[str, Any] = {"networks": [overlay("web_default", "10.77.0.0/28")], "policy": PRUNING}


def test_a_service_that_is_pruned_gives_its_addresses_back_first_where_its_successor_needs_them():
    """13 addresses: 3 for nodes; 6 tasks and a virtual IP are enough for one of them, 12 and two are not for both."""
    found, tasks = running(on("web_old", replicas=6), *["n1", "n2", "n3"] * 2, owner="prod")
    there = live(overlay("web_default", "10.77.0.0/28", Gateway="10.77.0.1"), owner="prod")
    network = wanted(Kind.NETWORK, overlay("web_default", "10.77.0.0/28"))
    for replicas, order in ((6, ["web_old", "web_new"]), (2, ["web_new", "web_old"]), (20, ["web_new", "web_old"])):
        state = desired(network, wanted(Kind.SERVICE, on("web_new", replicas=replicas)), policy=PRUNING)
        made = planned(state, actual(*THREE, there, found, tasks=tuple(tasks)))
        assert [action.name for action in made.actions] == order
        assert bool(made.unplaceable) is (replicas == 20)


def gives_later(*, waits: bool = True) -> list[str]:
    """What is said where web_old leaves the network, but only once web_new runs there."""
    found, tasks = running(on("web_old", replicas=6), *["n1", "n2", "n3"] * 2, owner="prod")
    there = live(overlay("web_default", "10.77.0.0/28", Gateway="10.77.0.1"), owner="prod")
    state = desired(
        wanted(Kind.NETWORK, overlay("web_default", "10.77.0.0/28")),
        wanted(Kind.SERVICE, on("web_new", replicas=6)),
        wanted(Kind.SERVICE, on("web_old", replicas=1), needs=("web_new",)),
    )
    cluster = actual(*THREE, there, found, tasks=tuple(tasks))
    return [f"{one.what} {one.why}" for one in planned(state, cluster, PlanOptions(waits=waits)).unplaceable]


def test_addresses_that_a_later_step_gives_back_come_too_late_unless_nothing_waits():
    (told,) = gives_later()
    assert told.startswith("Network web_default has 13 addresses, and the tasks of web_new make it need 17.")
    assert "web_old gives some back, but only after those tasks run." in told
    assert gives_later(waits=False) == []
