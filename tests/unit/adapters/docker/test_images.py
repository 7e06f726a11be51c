"""What is told of an image that could not be looked up."""

from __future__ import annotations

from reconciler.adapters.docker.images import unresolved
from reconciler.model.errors import ErrorCode, SwarmctlError


def test_a_signed_address_that_an_engine_quotes_is_not_shown() -> None:
    why = (
        'The engine says: Get "https://anna:hunter2@blobs.example.com/x?X-Amz-Expires=9&X-Amz-Signature=0123abcd": EOF'
    )
    refused = unresolved("shop/app:1", SwarmctlError(ErrorCode.REQUEST_REFUSED, "The engine refused it.", why=why))
    shown = refused.problems[0].why
    assert refused.code is ErrorCode.IMAGE_UNRESOLVED
    assert "X-Amz-Expires=9" in shown
    assert [word for word in ("hunter2", "0123abcd") if word in shown] == []
