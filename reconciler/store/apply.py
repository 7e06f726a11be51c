"""The one door to the tables: what every manager runs, entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.model import commands
from reconciler.model.commands import Applied, Command, Outcome, Rejected
from reconciler.model.errors import ErrorCode
from reconciler.model.tables import Tables
from reconciler.store import cluster, networks, nodes, sealed, services, tasks
from reconciler.store.refusal import Refusal

_HANDLERS: Mapping[type[Command], Callable[[Tables, Any], Applied]] = MappingProxyType(
    {
        commands.InitCluster: cluster.init,
        commands.UpdateCluster: cluster.update,
        commands.RotateJoinToken: cluster.rotate_join_token,
        commands.AddNode: nodes.add,
        commands.UpdateNode: nodes.update,
        commands.SetNodeState: nodes.set_state,
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
        commands.AssignTask: tasks.assign,
        commands.ExplainTask: tasks.explain,
        commands.SetDesiredState: tasks.set_desired_state,
        commands.ReportTask: tasks.report,
        commands.RemoveTask: tasks.remove,
    }
)


def apply(tables: Tables, command: Command) -> Outcome:
    """Carry out one entry of the log on `tables`, in place, and return what came of it.

    Never raises: a refusal is a value, and then nothing but `tables.index` has changed. Every handler decides
    first and writes last. Deterministic: no clock, no chance, no iteration over a set.
    """
    tables.index += 1
    handler = _HANDLERS.get(type(command))
    if handler is None:
        return Rejected(ErrorCode.INTERNAL, f"unknown command {type(command).__name__}")
    try:
        return handler(tables, command)
    except Refusal as refusal:
        return Rejected(refusal.code, refusal.message)
    except (TypeError, AttributeError, KeyError, ValueError, IndexError) as error:
        # A spec of another shape than the Engine API's, such as a list where an object belongs. Its text may
        # hold a value of the spec, possibly a secret's: only the kind of mistake is told.
        return Rejected(ErrorCode.REQUEST_REFUSED, f"invalid JSON: the spec has a wrong shape ({type(error).__name__})")
