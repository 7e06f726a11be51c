"""Two repositories that call their cluster the same: each would remove what the other declares."""

from __future__ import annotations

from pathlib import Path

from reconciler.controller.loop.owners import Owners
from reconciler.model.desired import Policy
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.lab.git_servers import Repository
from tests.unit.controller.loop.shell import Shell, stack, swarm, until
from tests.unit.planning.builders import desired, service_spec, wanted


async def test_a_repository_that_speaks_for_the_cluster_of_another_is_not_taken_and_nothing_is_removed(tmp_path: Path):
    first, second = Repository.make(tmp_path, "first"), Repository.make(tmp_path, "second")
    first.commit("1", swarm_DOT_yaml=swarm("prod"), stacks__web_DOT_yaml=stack(0))
    second.commit("1", swarm_DOT_yaml=swarm("other"), stacks__db_DOT_yaml=stack(0))
    shell = Shell(tmp_path / "data", await a_quiet_swarm(), {"first": first, "second": second})

    async def names() -> set[str]:
        return set((await shell.cluster.observe()).by_name(Kind.SERVICE))

    def fault() -> str:
        return shell.state("second").source.fault.code if shell.state("second").source.fault else ""

    def are_applied() -> bool:
        states = [(shell.state("first"), "web"), (shell.state("second"), "db")]
        return all(state.scope(scope).applied for state, scope in states)

    async with shell.leading():
        await until(are_applied, "both are applied")
        refused = second.commit("2", swarm_DOT_yaml=swarm("prod"))
        shell.leader.wake("webhook")
        await until(lambda: fault() == ErrorCode.DUPLICATE_OBJECT, "the second one is refused")
        assert shell.state("second").source.fault.commit == refused
        assert await names() == {"web_api", "db_api"}
    async with shell.leading():
        before = shell.leader.last_pass
        await until(lambda: shell.has_passed_since(before), "a new process looks again")
        shell.leader.wake("webhook")
        first.commit("2", stacks__web_DOT_yaml=stack(0, "nginx:2"))
        commit = second.commit("3", swarm_DOT_yaml=swarm("third"))
        shell.leader.wake("webhook")
        await until(lambda: shell.state("second").source.in_force.commit == commit, "another name is taken")
        assert (fault(), shell.state("first").source.fault) == ("", None)
        assert await names() == {"web_api", "db_api"}


async def test_an_object_that_two_repositories_declare_stays_with_one_until_that_one_lets_it_go(tmp_path: Path):
    first, second = Repository.make(tmp_path, "first"), Repository.make(tmp_path, "second")
    first.commit("1", swarm_DOT_yaml=swarm("prod"), stacks__web_DOT_yaml=stack(0), stacks__own_DOT_yaml=stack(0))
    second.commit("1", swarm_DOT_yaml=swarm("other"), stacks__db_DOT_yaml=stack(0))
    shell = Shell(tmp_path / "data", await a_quiet_swarm(), {"first": first, "second": second})

    async def has_it() -> tuple[str | None, str] | None:
        """Return who has the service, and its image; None while nobody has."""
        service = (await shell.cluster.observe()).by_name(Kind.SERVICE).get("web_api")
        return (service.owner, service.spec["TaskTemplate"]["ContainerSpec"]["Image"]) if service is not None else None

    def standing() -> str:
        return " ".join(f"{one.reason}: {one.message}" for one in shell.state("second").scope("web").conditions)

    def taken_over() -> str:
        found = shell.state("second").scope("web").applied
        return found.commit if found else ""

    async with shell.leading():
        await until(lambda: shell.state("first").scope("web").applied, "the first one has it")
        had = await has_it()
        commit = second.commit("2", stacks__web_DOT_yaml=stack(0, "nginx:2"), stacks__more_DOT_yaml=stack(0))
        shell.leader.wake("webhook")
        await until(lambda: "Repository prod declares" in standing(), "the second one says why it waits")
        await until(lambda: shell.state("second").scope("more").applied, "its other stacks go on")
        assert await has_it() == had
        left = first.commit("2", stacks__web_DOT_yaml=None)
        shell.leader.wake("webhook")
        await until(lambda: shell.state("first").source.in_force.commit == left, "the first one lets it go")
        shell.leader.wake("webhook")
        await until(lambda: taken_over() == commit, "the second one takes it over")
        assert await has_it() == ("other", "nginx:2")


async def test_what_a_repository_is_to_remove_is_nobody_elses_before_it_is_gone():
    """Else the other one would take over what is just being removed, and be left without it."""
    api, stays = wanted(Kind.SERVICE, service_spec()), wanted(Kind.SERVICE, service_spec("web_stays"), prune=False)
    owners = Owners()
    await owners.claim("first", desired(api, stays))
    await owners.claim("second", desired(api, stays, cluster="other"))
    await owners.claim("first", desired())
    assert owners.elsewhere("second") == {(Kind.SERVICE, "web_api"): "prod"}
    await owners.claim("first", desired(policy=Policy(prune=False)))
    assert owners.elsewhere("second") == {}
    assert owners.elsewhere("first") == {(one.kind, one.name): "other" for one in (api, stays)}
