"""The swarm's own record of what a repository has created, when two applies of it end one after another."""

from __future__ import annotations

from reconciler.controller.record import Books
from reconciler.planning.inventory import recorded_in, swarm_spec_with

READ = frozenset({"service.a", "service.b", "service.gone"})


def test_what_another_apply_has_recorded_since_stays():
    now = swarm_spec_with({"Labels": {"theirs": "1"}}, "prod", {"service.a", "service.gone", "service.new"})
    books = Books("prod", frozenset({"service.a", "service.b", "service.mine"}), read=READ)
    written = books.on(now)
    assert recorded_in(written, "prod") == {"service.a", "service.mine", "service.new"}
    assert written["Labels"]["theirs"] == "1"
    assert recorded_in(books.on(written), "prod") == recorded_in(written, "prod")


def test_what_nobody_else_touched_is_recorded_as_planned():
    names = frozenset({"service.a", "network.web"})
    written = Books("prod", names, read=READ).on(swarm_spec_with({}, "prod", READ))
    assert recorded_in(written, "prod") == names
    assert recorded_in(Books("prod", names).on({}), "prod") == names
