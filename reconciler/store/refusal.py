"""How a rule of this room says no: raised inside, turned into a Rejected at the door (apply)."""

from __future__ import annotations

from collections.abc import Container

from reconciler.model.errors import ErrorCode


class Refusal(Exception):
    """A Command that breaks a rule. Never leaves this room.

    `message` is Swarm's own text. `rpc` is the gRPC status a manager would answer with, which the Engine API shows
    in front of the text; "" for what the daemon checks by itself.
    """

    def __init__(self, code: ErrorCode, message: str, *, rpc: str = "InvalidArgument") -> None:
        text = f"rpc error: code = {rpc} desc = {message}" if rpc else message
        super().__init__(text)
        self.code = code
        self.message = text


def not_found(kind: str, object_id: str) -> Refusal:
    return Refusal(ErrorCode.OBJECT_NOT_FOUND, f"{kind} {object_id} not found", rpc="NotFound")


def check_new(objects: Container[str], object_id: str) -> None:
    """Raise Refusal when an object of that id is there already, which creating it would overwrite."""
    if object_id in objects:
        raise Refusal(ErrorCode.NAME_CONFLICT, "object already exists", rpc="AlreadyExists")


def out_of_sequence() -> Refusal:
    return Refusal(ErrorCode.STALE_VERSION, "update out of sequence", rpc="Unknown")


def invalid(message: str, *, rpc: str = "InvalidArgument") -> Refusal:
    return Refusal(ErrorCode.REQUEST_REFUSED, message, rpc=rpc)
