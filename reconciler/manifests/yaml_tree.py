"""YAML text in, a light tree of nodes with their lines out. Built from parser events, never by recursion.

PyYAML's own composer recurses in C or Python, so that a file of a few kilobytes could end the process. Events
come one at a time; the stack here is a list, and its limits have names.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import yaml

from reconciler.manifests.problems import did_you_mean
from reconciler.model.errors import ErrorCode

DEPTH_MAX: Final = 100
"""How deep collections may nest, aliases followed. Stack files reach 10."""
NODES_MAX: Final = 200_000
"""How many nodes a document may have, each alias counted as all that it stands for (the "billion laughs")."""
EMPTY_DOCUMENTS_MAX: Final = 100
"""Empty documents that are passed over in search of one that is not; that many are a mistake themselves."""

TABS: Final = "Indent with spaces: YAML takes no tabs there."
LOOK_AROUND: Final = "Check the indentation, quotes and brackets at and before this line."

_Loader: Final = getattr(yaml, "CLoader", yaml.Loader)


class NodeKind(enum.Enum):
    SCALAR = "scalar"
    SEQUENCE = "sequence"
    MAPPING = "mapping"
    ALIAS = "alias"


class Node(msgspec.Struct, eq=False):
    """One value as written. `line` and `column` count from 1.

    `items` are a sequence's items, or a mapping's keys and values by turns. `target` is what an alias stands
    for. `size` counts nodes and `height` nested collections, aliases followed.
    """

    kind: NodeKind
    line: int
    column: int
    tag: str = ""
    text: str = ""
    plain: bool = False
    items: list[Node] = msgspec.field(default_factory=list)
    target: Node | None = None
    size: int = 1
    height: int = 0

    def resolved(self) -> Node:
        """Return the node itself, or what an alias stands for."""
        return self.target if self.target is not None else self


class YamlProblem(Exception):
    """The text is no YAML that we read. `line` and `column` count from 1."""

    def __init__(self, code: ErrorCode, what: str, why: str, line: int, column: int, hint: str = LOOK_AROUND) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = why
        self.hint = hint
        self.line = line
        self.column = column


class _Builder(msgspec.Struct):
    root: Node | None = None
    open: list[Node] = msgspec.field(default_factory=list)
    open_ids: set[int] = msgspec.field(default_factory=set)
    anchors: dict[str, Node] = msgspec.field(default_factory=dict)
    seen: int = 0

    def scalar(self, event: Any) -> None:
        node = _node(NodeKind.SCALAR, event)
        node.text = event.value
        node.plain = not event.style and node.tag in ("", "!") and event.implicit[0]
        self._attach(node, event.anchor)

    def collection(self, kind: NodeKind, event: Any) -> None:
        node = _node(kind, event)
        node.height = 1
        if len(self.open) >= DEPTH_MAX:
            raise _too_deep(node)
        if event.anchor:
            self.anchors[event.anchor] = node
        self.open.append(node)
        self.open_ids.add(id(node))

    def end(self) -> None:
        node = self.open.pop()
        self.open_ids.discard(id(node))
        self._attach(node, None)

    def alias(self, event: Any) -> None:
        node = _node(NodeKind.ALIAS, event)
        target = self.anchors.get(event.anchor)
        if target is None:
            why = f"No anchor `&{event.anchor[:40]}` comes before the alias `*{event.anchor[:40]}`."
            hint = did_you_mean(event.anchor, self.anchors, noun="anchors before it")
            raise YamlProblem(ErrorCode.YAML_SYNTAX, "Unknown anchor.", why, node.line, node.column, hint)
        if id(target) in self.open_ids:
            why = f"The alias `*{event.anchor[:40]}` stands inside the value that it names."
            raise YamlProblem(
                ErrorCode.YAML_SYNTAX,
                "An anchor's value contains itself.",
                why,
                node.line,
                node.column,
                "Remove the alias, or anchor a value that does not hold it.",
            )
        node.target, node.size, node.height = target, target.size, target.height
        self._attach(node, None)

    def _attach(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = node
        self.seen += 1
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        parent.items.append(node)
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if self.seen > NODES_MAX or parent.size > NODES_MAX:
            why = f"With its aliases followed the document has more than {NODES_MAX} values."
            raise YamlProblem(
                ErrorCode.YAML_TOO_COMPLEX,
                "The file stands for too many values.",
                why,
                node.line,
                node.column,
                "Use fewer aliases, or split the file.",
            )
        if len(self.open) + node.height > DEPTH_MAX:
            raise _too_deep(node)


def _node(kind: NodeKind, event: Any) -> Node:
    mark = event.start_mark
    return Node(kind, mark.line + 1, mark.column + 1, getattr(event, "tag", None) or "")


def _too_deep(node: Node) -> YamlProblem:
    why = f"Its values nest more than {DEPTH_MAX} deep."
    hint = "Nest the values less; no key of ours is that deep."
    return YamlProblem(ErrorCode.YAML_TOO_COMPLEX, "The file nests too deeply.", why, node.line, node.column, hint)


class Tree(msgspec.Struct, frozen=True):
    """The first document of a text. `root` is None when there is none; `next_mark` is that of `next_document`."""

    root: Node | None
    next_mark: tuple[int, int] | None


def parse(text: str) -> Tree:
    """Return the tree of the first document of `text`.

    Later documents are not read, as with docker. Raises YamlProblem: yaml-syntax, yaml-too-complex.
    """
    builder = _Builder()
    events = _events(text)
    for event in events:
        if isinstance(event, yaml.DocumentEndEvent):
            break
        if isinstance(event, yaml.ScalarEvent):
            builder.scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            builder.alias(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            builder.collection(NodeKind.SEQUENCE, event)
        elif isinstance(event, yaml.MappingStartEvent):
            builder.collection(NodeKind.MAPPING, event)
        elif isinstance(event, yaml.CollectionEndEvent):
            builder.end()
    try:
        return Tree(builder.root, next_document(lambda: next(events, None)))
    except YamlProblem as error:
        return Tree(builder.root, (error.line, error.column))


def next_document(next_event: Callable[[], Any]) -> tuple[int, int] | None:
    """Return where the next document that is not empty starts, (line, column) from 1, or None.

    `next_event` gives the events after the end of a document. It may raise the parser's errors: what comes after
    the first document need not be YAML.
    """
    for _ in range(EMPTY_DOCUMENTS_MAX):
        start = next_event()
        if not isinstance(start, yaml.DocumentStartEvent):
            return None
        content = next_event()
        if not isinstance(content, yaml.ScalarEvent) or content.value or content.style:
            break
        next_event()
    return start.start_mark.line + 1, start.start_mark.column + 1


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        why = " ".join(part for part in (_context(error), error.problem) if part)
        hint = TABS if mark and _is_tab(text, mark) else LOOK_AROUND
        what = "The file is not valid YAML."
        raise YamlProblem(ErrorCode.YAML_SYNTAX, what, _sentence(why), line, column, hint) from error
    except yaml.YAMLError as error:
        line, column = _spot(text, getattr(error, "position", 0))
        why = "It holds a character that YAML does not allow, such as a control character."
        what, hint = "The file is not valid YAML.", "Remove the character, or write it as an escape in double quotes."
        raise YamlProblem(ErrorCode.YAML_SYNTAX, what, why, line, column, hint) from error


def _context(error: yaml.MarkedYAMLError) -> str:
    """Return what the parser was about, and where that begins: a bracket that nobody closes may be far above."""
    begin, end = error.context_mark, error.problem_mark
    if not error.context or not begin or not end or begin.line == end.line:
        return error.context or ""
    return f"{error.context} that starts at {begin.line + 1}:{begin.column + 1},"


def _is_tab(text: str, mark: Any) -> bool:
    line = text.splitlines()[mark.line : mark.line + 1]
    return bool(line) and line[0][mark.column : mark.column + 1] == "\t"


def _spot(text: str, position: int) -> tuple[int, int]:
    before = text[: max(position, 0)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
