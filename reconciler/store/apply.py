"""Which handler carries out which Command, and how one that fails becomes a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.model import commands
from reconciler.model.changes import Change
from reconciler.model.commands import Applied, Command, Outcome, Rejected
from reconciler.model.errors import ErrorCode
from reconciler.model.tables import Tables
from reconciler.store import cluster, networks, nodes, records, sealed, services, tasks
from reconciler.store.addresses import ATTACHING, attach_nodes
from reconciler.store.draft import DirectRecords, Draft
from reconciler.store.refusal import Refusal

_HANDLERS: Mapping[type[Command], Callable[[Any, Any], Applied]] = MappingProxyType(
    {
        commands.InitCluster: cluster.init,
        commands.UpdateCluster: cluster.update,
        commands.RotateJoinToken: cluster.rotate_join_token,
        commands.AddNode: nodes.add,
        commands.UpdateNode: nodes.update,
        commands.SetNodeState: nodes.set_state,
        commands.DescribeNode: nodes.describe,
        commands.RemoveNode: nodes.remove,
        commands.CreateNetwork: networks.create,
        commands.RemoveNetwork: networks.remove,
        commands.CreateSecret: sealed.create_secret,
        commands.UpdateSecret: sealed.update_secret,
        commands.RemoveSecret: sealed.remove_secret,
        commands.CreateConfig: sealed.create_config,
        commands.UpdateConfig: sealed.update_config,
        commands.RemoveConfig: sealed.remove_config,
        commands.CreateService: services.create,
        commands.UpdateService: services.update,
        commands.RollBackService: services.roll_back,
        commands.SetUpdateStatus: services.set_update_status,
        commands.RemoveService: services.remove,
        commands.CreateTask: tasks.create,
        commands.CreateTasks: tasks.create_many,
        commands.AllocateTasks: tasks.allocate_many,
        commands.AssignTask: tasks.assign,
        commands.AssignTasks: tasks.assign_many,
        commands.ExplainTask: tasks.explain,
        commands.ExplainTasks: tasks.explain_many,
        commands.SetDesiredState: tasks.set_desired_state,
        commands.SetDesiredStates: tasks.set_desired_states,
        commands.ReportTask: tasks.report,
        commands.RemoveTask: tasks.remove,
        commands.RemoveTasks: tasks.remove_many,
        commands.PutRecord: records.put,
        commands.DeleteRecord: records.delete,
        commands.Claim: records.claim,
    }
)


MESSAGE_LENGTH_MAX = 1024
"""Characters of a refusal's text. It may quote the spec, and is kept for repetitions."""


def apply(tables: Tables, command: Command) -> Outcome:
    """Carry out one Command as an entry of its own, in place, and return what came of it.

    Never raises: a refusal is a value, and then nothing but `tables.index` has changed. What the log holds goes through
    `reconciler.store.machine` instead; this is its inner step, for tests that need no log.
    """
    return apply_noting(tables, command)[0]


def apply_noting(tables: Tables, command: Command) -> tuple[Outcome, list[Change]]:
    """Do as `apply` does, and return what has changed as well."""
    tables.index += 1
    draft = Draft(tables)
    outcome = carry_out(draft, command)
    changes: list[Change] = []
    if isinstance(outcome, Applied):
        commit(draft, changes)
    return outcome, changes


def commit(draft: Draft, changes: list[Change]) -> None:
    """Put what commands have written into the tables, with what follows from it; add what changed."""
    for table in draft.touched:
        if table.kind in ATTACHING:
            attach_nodes(draft)
            break
    draft.commit(changes)


def carry_out(draft: Draft | DirectRecords, command: Command) -> Outcome:
    """Write what `command` asks for into `draft`. After a refusal the draft may be half written: drop it."""
    handler = _HANDLERS.get(type(command))
    if handler is None:
        return Rejected(ErrorCode.INTERNAL, f"unknown command {type(command).__name__}")
    try:
        return handler(draft, command)
    except Refusal as refusal:
        return Rejected(refusal.code, refusal.message[:MESSAGE_LENGTH_MAX])
    except (MemoryError, RecursionError):
        raise  # this machine's fault: the codec lets nothing in that needs much of either. Others may well have applied
        # the entry, so this manager has to stop rather than to refuse what they hold.
    except Exception as error:  # noqa: BLE001 - any other is the entry's fault, and the same on every manager
        # A spec of another shape than the Engine API's, such as a list where an object belongs. Its text may
        # hold a value of the spec, possibly a secret's: only the kind of mistake is told.
        return Rejected(ErrorCode.REQUEST_REFUSED, f"invalid JSON: the spec has a wrong shape ({type(error).__name__})")
