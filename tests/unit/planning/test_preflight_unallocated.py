"""Pre-flight of what Swarm can't allocate: networks without a subnet, and tasks that stay `new` since."""

from __future__ import annotations

import ipaddress
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.desired import Policy
from reconciler.model.errors import ErrorCode, Severity
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ActionType, Origin
from reconciler.model.tasks import ObservedTask
from reconciler.planning.options import PlanOptions
from reconciler.planning.preflight.pool import AddressPool
from tests.unit.planning.builders import HERE, NOW, actual, desired, network_spec, planned, wanted
from tests.unit.planning.seats import a_task, running, seat, service, warned
from tests.unit.planning.test_preflight_networks import INGRESS, live, overlay

THREE = [seat("n1"), seat("n2"), seat("n3")]

FOUR = {"DefaultAddrPool": ["10.50.0.0/22"], "SubnetSize": 24}
"""A pool of four subnets, of which the ingress network has one."""


def existing(*numbers: int) -> list[ObservedObject]:
    """The ingress network, and others with these pieces of the pool."""
    ingress = live({**INGRESS, "IPAM": {"Config": [{"Subnet": "10.50.0.0/24", "Gateway": "10.50.0.1"}]}})
    return [ingress, *(live(overlay(f"other_{number}", f"10.50.{number}.0/24")) for number in numbers)]


def bare(name: str) -> ObservedObject:
    """A network that the swarm has not allocated, as an engine shows it."""
    return live({**network_spec(name), "Driver": "", "IPAM": {"Driver": "", "Options": None, "Config": None}})


def left_without(
    *specs: JsonObject, networks: list[JsonObject], there: list[ObservedObject], **fields: Any
) -> set[str]:
    """The networks that no subnet is left for."""
    problems = warned(list(specs), THREE, networks=networks, live=there, swarm=fields.pop("swarm", FOUR), **fields)
    return {problem.what.split()[1].rstrip(":") for problem in problems if "no subnet is left" in problem.what}


def test_a_network_beyond_the_pool_is_told_and_what_the_pool_is():
    (problem,) = warned([], THREE, networks=[network_spec("web_new")], live=existing(1, 2, 3), swarm=FOUR)
    assert (problem.code, problem.severity, problem.place) == (ErrorCode.UNSCHEDULABLE, Severity.WARNING, HERE)
    assert problem.what == "Network web_new: no subnet is left for it."
    assert "address pool 10.50.0.0/22 gives out 4 subnets of /24, all in use" in problem.why
    assert "never leave the state `new`" in problem.why
    assert "--default-addr-pool" in problem.hint


def test_a_pool_with_room_for_all_says_nothing():
    both = [network_spec("web_a"), network_spec("web_b")]
    assert left_without(networks=both, there=existing(2)) == set()
    assert left_without(networks=both, there=existing(2, 3)) == {"web_b"}
    assert left_without(networks=both, there=existing(1, 2, 3)) == {"web_a", "web_b"}


def test_a_network_with_a_subnet_of_its_own_needs_none_of_the_pool():
    assert left_without(networks=[overlay("web_a", "10.99.0.0/24")], there=existing(1, 2, 3)) == set()
    assert left_without(networks=[overlay("web_a", "fd00::/64")], there=existing(1, 2, 3)) == set()
    assert left_without(networks=[network_spec(Driver="macvlan")], there=existing(1, 2, 3)) == set()
    elsewhere = network_spec(IPAM={"Driver": "infoblox", "Config": []})
    assert left_without(networks=[elsewhere], there=existing(1, 2, 3)) == set()


def test_a_subnet_of_the_pool_that_a_new_network_asks_for_is_in_use():
    asked = overlay("web_a", "10.50.2.0/25")
    assert left_without(networks=[asked, network_spec("web_b")], there=existing(1, 3)) == {"web_b"}
    assert left_without(networks=[asked, network_spec("web_b")], there=existing(1)) == set()


def test_a_subnet_that_is_asked_for_in_vain_takes_nothing_of_the_pool():
    vain = overlay("web_a", "10.0.0.0/8")
    assert left_without(networks=[vain, network_spec("web_b")], there=existing(1)) == set()


def test_what_the_plan_removes_goes_back_to_the_pool():
    old = [live(overlay(f"web_old{number}", f"10.50.{number}.0/24"), owner="prod") for number in (2, 3)]
    there = [*existing(1), *old]
    policy = Policy(prune=True, max_delete_percent=100)
    assert left_without(networks=[network_spec("web_new")], there=there, policy=policy) == set()
    assert left_without(networks=[network_spec("web_new")], there=there, policy=Policy(prune=False)) == {"web_new"}


@pytest.mark.parametrize("waits", [True, False])
def test_what_is_removed_only_once_tasks_run_comes_back_to_the_pool_too_late_for_their_network(waits: bool):
    old = [live(overlay(f"web_old{number}", f"10.50.{number}.0/24"), owner="prod") for number in (2, 3)]
    objects = [wanted(Kind.NETWORK, network_spec("web_new")), wanted(Kind.SERVICE, service(networks=("web_new",)))]
    state = desired(*objects, policy=Policy(prune=True, max_delete_percent=100))
    cluster = actual(*THREE, *existing(1), *old, swarm_fields=FOUR)
    problems = planned(state, cluster, PlanOptions(waits=waits)).unplaceable
    assert [problem.what for problem in problems] == ["Network web_new: no subnet is left for it."] * waits
    assert all("as long as web_old2, web_old3 are there, which this plan removes last" in one.why for one in problems)
    assert all("commit and apply the removal of web_old2, web_old3 first" in one.hint for one in problems)


def test_networks_that_wait_already_stand_in_the_line_first():
    there = [*existing(1, 2), bare("other_bare")]
    assert left_without(networks=[network_spec("web_new")], there=there) == {"web_new"}
    assert left_without(networks=[network_spec("web_new")], there=[*existing(1), bare("other_bare")]) == set()


def test_one_that_waits_is_told_where_the_plan_puts_tasks_on_it():
    stuck = live({**network_spec(), "Driver": "", "IPAM": {"Config": None}}, owner="prod")
    declared, there = [network_spec()], [*existing(1, 2, 3), stuck]
    assert left_without(service(networks=("web_default",)), networks=declared, there=there) == {"web_default"}
    assert left_without(service(), networks=declared, there=there) == set()
    assert left_without(service(replicas=0, networks=("web_default",)), networks=declared, there=there) == set()
    room = [*existing(1, 2), stuck]
    assert left_without(service(networks=("web_default",)), networks=declared, there=room) == set()


def test_one_that_asked_for_a_subnet_waits_for_that_and_not_for_the_pool():
    clash = live({**network_spec("web_clash"), "Driver": "", "IPAM": {"Config": None}}, owner="prod")
    networks = [overlay("web_clash", "10.50.1.0/24"), network_spec("web_new")]
    assert left_without(networks=networks, there=[*existing(1, 2), clash]) == set()


@pytest.mark.parametrize("swarm", [{}, {"DefaultAddrPool": None, "SubnetSize": 0}, {"DefaultAddrPool": []}])
def test_a_swarm_that_names_no_pool_has_the_usual_one(swarm: JsonObject):
    assert left_without(networks=[network_spec("web_new")], there=existing(1, 2, 3), swarm=swarm) == set()
    full = [*existing(), live(overlay("other_all", "10.0.0.0/8"))]
    assert left_without(networks=[network_spec("web_new")], there=full, swarm=swarm) == {"web_new"}


def test_a_pool_that_can_not_be_read_is_no_pool():
    for pool in (["fd00::/48"], ["nonsense"], ["10.50.0.0/28"]):
        swarm = {"DefaultAddrPool": pool, "SubnetSize": 24}
        assert left_without(networks=[network_spec("web_new")], there=existing(1), swarm=swarm) == set()


subnets = st.builds(
    lambda number, bits: ipaddress.IPv4Network((number << 12 | 10 << 24, bits), strict=False),
    st.integers(0, 31),
    st.integers(14, 26),
)


@given(st.lists(subnets, max_size=6), st.lists(st.integers(0, 7), min_size=1, max_size=3, unique=True))
def test_free_subnets_are_those_that_overlap_none(taken: list[ipaddress.IPv4Network], numbers: list[int]):
    blocks = tuple(ipaddress.IPv4Network((10 << 24 | number << 14, 18)) for number in numbers)
    pool = AddressPool(blocks, 22)
    pieces = [piece for block in blocks for piece in block.subnets(new_prefix=22)]
    assert pool.count == len(pieces)
    assert pool.free(taken) == sum(not any(piece.overlaps(one) for one in taken) for piece in pieces)


def test_a_large_pool_is_not_walked_through():
    pool = AddressPool((ipaddress.IPv4Network("10.0.0.0/8"),), 29)
    begun = time.process_time()
    assert pool.free([ipaddress.IPv4Network("10.0.0.0/9")]) == 1 << 20
    assert time.process_time() - begun < 0.1


def since(seconds: float, state: str = "new") -> JsonObject:
    return {"State": state, "Message": "created", "Timestamp": f"{(NOW - timedelta(seconds=seconds)).isoformat()}"}


def short_of_one(spec: JsonObject, *seconds: float, **fields: Any) -> tuple[ObservedObject, list[ObservedTask]]:
    """The service as it runs: one task on n1, and one that is `new` for each of so many seconds."""
    found, tasks = running(spec, "n1", owner="prod")
    fields = {"DesiredState": "running", **fields}
    new = [a_task(found, "", slot=2 + index, **{"Status": since(one), **fields}) for index, one in enumerate(seconds)]
    return found, [*tasks, *new]


ON_WEB = service(replicas=2, networks=("web_default",))


def web(subnet: str = "10.77.0.0/29") -> dict[str, Any]:
    spec = overlay("web_default", subnet)
    return {"networks": [spec], "live": [live(spec, owner="prod")]}


def test_a_service_left_alone_whose_tasks_stay_new_is_told():
    (problem,) = warned([ON_WEB], THREE, short_of_one(ON_WEB, 31), **web())
    assert (problem.code, problem.severity, problem.place) == (ErrorCode.UNSCHEDULABLE, Severity.WARNING, HERE)
    assert problem.what == "Service web_api: 1 task stays new, and this plan does not change that."
    assert problem.why == "Swarm finds no address for it, or can't allocate a network."
    three = service(replicas=3, networks=("web_default",))
    (problem,) = warned([three], THREE, short_of_one(three, 31, 300), **web())
    assert problem.what.startswith("Service web_api: 2 tasks stay new, and this plan")
    other = service("web_other")
    assert len(warned([ON_WEB, other], THREE, short_of_one(ON_WEB, 31), **web())) == 1


def test_a_network_without_a_subnet_is_named_as_the_cause():
    stuck = live({**network_spec(), "Driver": "", "IPAM": {"Config": None}}, owner="prod")
    (problem,) = warned([ON_WEB], THREE, short_of_one(ON_WEB, 31), networks=[network_spec()], live=[stuck])
    assert problem.why == "Its network web_default has no subnet: Swarm can't allocate it."


@pytest.mark.parametrize(
    "fields",
    [
        {"Status": since(2)},
        {"Status": {"State": "new"}},
        {"Status": {"State": "new", "Timestamp": "2025-12-31T00:00:00"}},
        {"Status": since(31, "pending")},
        {"DesiredState": "shutdown"},
        {"DesiredState": "remove"},
    ],
)
def test_tasks_that_are_new_for_a_moment_or_are_to_end_are_not_told(fields: JsonObject):
    assert warned([ON_WEB], THREE, short_of_one(ON_WEB, 31, **fields), **web()) == []


def test_a_service_that_the_plan_writes_or_does_not_declare_is_not_told_as_left_alone():
    after = service(replicas=2, networks=("web_default",), image="app:2")
    assert warned([after], THREE, short_of_one(ON_WEB, 31), **web()) == []
    theirs = service("other_api", replicas=2)
    assert warned([], THREE, short_of_one(theirs, 31)) == []


def test_a_plan_that_frees_addresses_says_nothing_of_tasks_that_wait_for_them():
    before = short_of_one(ON_WEB, 31)
    hog = running(service("web_hog", replicas=3, networks=("web_default",)), "n1", "n1", "n1", owner="prod")
    same = service("web_hog", replicas=3, networks=("web_default",))
    less = service("web_hog", replicas=2, networks=("web_default",))
    relabelled = {**same, "UpdateConfig": {"Parallelism": 2}}
    told = "Service web_api: 1 task stays new, and this plan does not change that."
    assert [one.what for one in warned([ON_WEB, same], THREE, before, hog, **web("10.77.0.0/28"))] == [told]
    assert [one.what for one in warned([ON_WEB, relabelled], THREE, before, hog, **web("10.77.0.0/28"))] == [told]
    assert warned([ON_WEB, less], THREE, before, hog, **web("10.77.0.0/28")) == []
    policy = Policy(prune=True, max_delete_percent=100)
    assert warned([ON_WEB], THREE, before, hog, policy=policy, **web("10.77.0.0/28")) == []


def test_a_plan_that_frees_a_subnet_says_nothing_of_tasks_whose_network_has_none():
    stuck = live({**network_spec(), "Driver": "", "IPAM": {"Config": None}}, owner="prod")
    old = live(overlay("web_old", "10.50.1.0/24"), owner="prod")
    policy = Policy(prune=True, max_delete_percent=100)
    there: dict[str, Any] = {"networks": [network_spec()], "live": [stuck, old]}
    assert warned([ON_WEB], THREE, short_of_one(ON_WEB, 31), policy=policy, **there) == []
    assert len(warned([ON_WEB], THREE, short_of_one(ON_WEB, 31), policy=Policy(prune=False), **there)) == 1


def unallocated(*asked: str) -> ObservedObject:
    """web_default as an engine shows it while another network has the subnet `asked`, which is on our record."""
    spec = overlay("web_default", *asked)
    action = next(one for one in planned(desired(wanted(Kind.NETWORK, spec)), actual(THREE[0])).actions)
    assert action.spec is not None
    return live({**action.spec, "Driver": "", "Options": None, "IPAM": {"Driver": "", "Options": None, "Config": None}})


def test_a_network_that_is_not_allocated_is_no_drift_and_says_what_is_in_the_way():
    there, other = unallocated("10.78.0.0/25"), live(overlay("other", "10.78.0.0/24"))
    same = [wanted(Kind.NETWORK, overlay("web_default", "10.78.0.0/25")), wanted(Kind.SERVICE, ON_WEB)]
    found, tasks = short_of_one(ON_WEB, 1)
    made = planned(desired(*same), actual(*THREE, found, there, other, tasks=tuple(tasks)))
    assert (made.actions, made.blocked) == ((), ())
    (problem,) = made.unplaceable
    assert problem.what == "Network web_default: its subnet 10.78.0.0/25 overlaps 10.78.0.0/24 of network other."
    assert problem.why.startswith("So Swarm has not allocated it")
    assert problem.hint.startswith("Remove other, and Swarm allocates it at once.")
    alone = planned(desired(*same), actual(*THREE, found, there, tasks=tuple(tasks)))
    assert (alone.actions, alone.blocked, alone.unplaceable) == ((), (), ())


@pytest.mark.parametrize("subnets", [("10.80.0.0/24",), ()])
def test_another_subnet_for_a_network_that_is_not_allocated_is_intent(subnets: tuple[str, ...]):
    there, other = unallocated("10.78.0.0/25"), live(overlay("other", "10.78.0.0/24"))
    made = planned(desired(wanted(Kind.NETWORK, overlay("web_default", *subnets))), actual(THREE[0], there, other))
    (action,) = made.actions
    assert (action.type, action.origin) == (ActionType.REPLACE, Origin.INTENT)
    assert [change.old for change in action.changes] == ["10.78.0.0/25"]
    assert made.unplaceable == ()
