"""Names for services that were given none, as the engine gives them: an adjective and a noun."""

from __future__ import annotations

import secrets
from collections.abc import Collection

_ADJECTIVES = """
able amber bold brave brisk calm clever crisp eager early fair fine fond frank fresh gentle glad golden grand
happy honest jolly keen kind lively loyal lucid lucky mellow merry mild modest neat nimble noble open patient
plain polite prompt proud quick quiet rapid ready sharp silent smart snug solid sound spry steady sunny swift
tidy tranquil trusty upbeat vivid warm wise witty
"""
_NOUNS = """
acorn anchor arbor aspen badger beacon birch brook canyon cedar clover comet coral crane delta dune eagle elm
ember falcon fern fjord forest garnet glacier granite grove harbor hazel heron island jasper juniper lagoon
lark linden lotus maple marsh meadow mesa moss oak opal orchid otter pebble pine plover poplar prairie quartz
raven reef ridge river robin sparrow spruce summit tern thicket thistle tundra valley willow wren
"""


TRIES = 20


def a_name(taken: Collection[str]) -> str:
    """Return a name by chance that is not `taken`; it has a number where most names are."""
    for _ in range(TRIES):
        name = f"{secrets.choice(_ADJECTIVES.split())}_{secrets.choice(_NOUNS.split())}"
        if name not in taken:
            return name
    return f"{name}{secrets.randbelow(1_000_000)}"
