"""The log drivers of an embedded swarm whose tasks are processes: what its nodes have not, no task is given."""

from __future__ import annotations

from tests.simulation.live import Live, script, spec

MISSING = "no suitable node (missing plugin on 3 nodes)"


async def test_a_driver_that_no_node_has_leaves_a_task_pending_until_it_asks_for_another(live: Live) -> None:
    """As on an engine, whose nodes tell what drivers they have."""
    web = await live.create(spec("web", "sleep", "1000", task={"LogDriver": {"Name": "nosuch"}}))
    await live.until("it waits", lambda actual: [task.error for task in actual.tasks] == [MISSING])
    await live.update(web, spec("web", "sleep", "1000"))
    await live.running(web, 1)


async def test_a_task_without_a_log_runs_beside_one_that_has_one(live: Live) -> None:
    mute = await live.create(script("mute", "echo unheard; sleep 1000", task={"LogDriver": {"Name": "none"}}))
    talks = await live.create(script("talks", "echo heard; sleep 1000", task={"LogDriver": {"Name": "local"}}))
    (silent,), (heard,) = await live.running(mute, 1), await live.running(talks, 1)
    assert await live.log_with(heard, "heard") == ("heard",)
    assert await live.cluster.task_log(silent.id, tail_lines=100) == ()
    assert not list(live.folder.glob(f"nodes/*/output/{silent.id}*"))
