"""The one module that reaches into PySyncObj: it fails here, and clearly at a start, when the library is another."""

from __future__ import annotations

import ast
from importlib import metadata
from pathlib import Path

import pytest
from pysyncobj import SyncObj

import reconciler.adapters.raft_pysyncobj as package
from reconciler.adapters.raft_pysyncobj import upstream
from reconciler.adapters.raft_pysyncobj.upstream import METHODS, Upstream
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.unit.adapters.raft_pysyncobj.bench import Bench

SOURCES = sorted(Path(package.__file__).parent.glob("*.py"))


def test_the_library_is_the_one_that_this_was_written_for():
    assert metadata.version("pysyncobj") == upstream.VERSION
    assert {name: upstream.digest(name) for name in METHODS} == dict(METHODS)
    upstream.check()


def test_every_attribute_that_is_reached_for_is_set_by_its_constructor(bench: Bench):
    plain = SyncObj(None, [], conf=bench.core.conf, transport=upstream.Link())
    declared = {name for name in Upstream.__annotations__ if name.startswith("_SyncObj__")}
    assert len(declared) > 15
    assert declared <= set(vars(plain))


def test_every_method_that_is_replaced_or_called_is_under_watch():
    used = {
        node.attr
        for node in ast.walk(ast.parse(Path(upstream.__file__).read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_SyncObj__")
    }
    replaced = {name for name in vars(Upstream) if name.startswith("_SyncObj__")}
    assert replaced | used <= set(METHODS) | set(Upstream.__annotations__)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_other_module_knows_the_library(source: Path):
    text = source.read_text()
    assert ("_SyncObj__" in text or "import pysyncobj" in text or "from pysyncobj" in text) == (
        source.stem == "upstream"
    )
    assert "pickle." not in text


@pytest.mark.parametrize("installed", ["0.3.14", "0.4.0", None])
def test_another_version_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, installed: str | None):
    def version(_: str) -> str:
        if installed is None:
            raise metadata.PackageNotFoundError
        return installed

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(SwarmctlError) as refused:
        upstream.check()
    assert refused.value.code is ErrorCode.RAFT_LIBRARY_VERSION
    assert upstream.VERSION in refused.value.problems[0].hint


def test_a_method_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upstream, "METHODS", {"_SyncObj__renamed": ""})
    with pytest.raises(SwarmctlError) as refused:
        upstream.check()
    assert "_SyncObj__renamed" in refused.value.problems[0].why
