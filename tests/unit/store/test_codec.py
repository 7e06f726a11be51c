"""Commands as bytes."""

from __future__ import annotations

from random import Random
from typing import Any, get_type_hints

import pytest

from reconciler.model import commands
from reconciler.model.commands import Command, CreateSecret, PutRecord, RotateJoinToken, UpdateConfig
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole
from reconciler.model.transactions import Transaction
from reconciler.store import apply as door
from reconciler.store.codec import COMMAND_NAMES, decode_command, decode_transaction, encode_transaction
from reconciler.store.machine import State
from tests.fakes.log_entries import NOON, LogMaker


def test_every_command_has_a_name_and_a_handler() -> None:
    known = [kind for kind in vars(commands).values() if isinstance(kind, type) and issubclass(kind, Command)]
    known.remove(Command)
    assert sorted(kind.__name__ for kind in known) == sorted(kind.__name__ for kind in COMMAND_NAMES.values())
    assert sorted(kind.__name__ for kind in known) == sorted(kind.__name__ for kind in door._HANDLERS)


def test_specs_are_only_where_the_codec_looks_for_them() -> None:
    for kind in COMMAND_NAMES.values():
        for name, shape in get_type_hints(kind).items():
            assert (shape == JsonObject) == (name in ("spec", "description")), (kind, name)


def test_every_command_comes_back_as_it_was() -> None:
    maker, seen = LogMaker(Random(5)), dict.fromkeys(COMMAND_NAMES.values(), False)
    for _ in range(3000):
        command = maker.command(State())
        row = decode_transaction(encode_transaction(Transaction("c", 1, (command,))))
        ((name, encoded),) = row.commands
        again = decode_command(name, encoded)
        assert again == command
        assert type(again) is type(command)
        seen[type(command)] = True
    assert all(seen.values()), seen


@pytest.mark.parametrize("value", [2**64, "\ud800", object()])
def test_what_can_not_be_written_down_is_an_error_that_a_user_can_read(value: Any) -> None:
    command = UpdateConfig(at=NOON, id="c", version=1, spec={"Labels": {"a": value}})
    with pytest.raises(SwarmctlError) as caught:
        encode_transaction(Transaction("c", 1, (command,)))
    assert caught.value.code is ErrorCode.REQUEST_REFUSED


@pytest.mark.parametrize(
    "command",
    [
        PutRecord(at=NOON, namespace="n", key="k", value=b"hunter2"),
        CreateSecret(at=NOON, id="s", spec={"Name": "s", "Data": "hunter2"}),
        UpdateConfig(at=NOON, id="c", version=1, spec={"Data": "hunter2"}),
        RotateJoinToken(at=NOON, role=NodeRole.WORKER, token="hunter2"),
    ],
)
def test_the_text_of_a_command_tells_no_secret(command: Command) -> None:
    assert "hunter2" not in f"{command} {command!r} {Transaction('c', 1, (command,))}"
    assert type(command).__name__ in repr(command)
