"""One YAML file as plain values, with the place of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from reconciler.manifests.problems import KeyPath, ProblemList, key_path_text, shown
from reconciler.manifests.yaml_scalars import STANDARD_TAG, Scalar, UnreadableScalar, plain_scalar, tagged_scalar
from reconciler.manifests.yaml_tree import Node, NodeKind, YamlProblem, parse
from reconciler.manifests.yaml_values import MARKED_DEPTH, plain_values
from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.json import JsonValue
from reconciler.model.revision import FILE_BYTES_MAX

_Entries: TypeAlias = dict[str, tuple[Node, Node]]


@dataclass(slots=True)
class Document:
    """The first document of a YAML file. `file` is how messages name it; `value` is JSON-shaped, keys are texts.

    Values reached by aliases are shared: read them, never change them. The tree that knows the places is built
    when a place is first asked for that `_marks`, (line, column) of the outermost keys, does not have. `next_place`
    is where a further document starts, which nobody reads.
    """

    file: str
    value: JsonValue = None
    next_place: Place | None = None
    _text: str = field(default="", repr=False)
    _root: Node | None = None
    _entries: dict[int, _Entries] = field(default_factory=dict)
    _marks: Mapping[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)
    _is_read: bool = False
    _lines: int = 0

    def place(self, path: KeyPath) -> Place:
        """Return where the value at `path` is written, or the nearest value around it that is."""
        node = self._walk(path)[1]
        return self._place(node, path)

    def key_place(self, path: KeyPath) -> Place:
        """Return where the key of the value at `path` is written; for a list item, where the item is."""
        mark = self._key_mark(path)
        if mark is not None:
            return Place(self.file, *mark, key_path_text(path))
        key, value = self._walk(path)
        return self._place(key or value, path)

    def _key_mark(self, path: KeyPath) -> tuple[int, int] | None:
        """Return where the key at `path` stands, or the nearest around it that exists, as far as marks can tell."""
        if not self._marks:
            return None
        length = len(path)
        while path[:length] not in self._marks:
            length -= 1
        if length < len(path) and (length >= MARKED_DEPTH or isinstance(path[length], int)):
            return None
        return self._marks[path[:length]]  # type: ignore[index]

    def source(self, path: KeyPath) -> str | None:
        """Return the scalar at `path` as the file writes it, without quotes; None where there is no scalar."""
        node = self._walk(path)[1]
        inner = node.resolved() if node else None
        return inner.text if inner is not None and inner.kind is NodeKind.SCALAR else None

    def origin(self, path: KeyPath) -> tuple[Document, KeyPath]:
        """Return the document itself: it is merged from nothing."""
        return self, path

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        # The tree is found by the identities of its nodes, which no copy has: a copy builds its own from the text.
        tree: dict[str, object] = {"_root": None, "_entries": {}, "_is_read": False}
        return None, {slot: getattr(self, slot) for slot in self.__slots__} | tree

    def tag(self, path: KeyPath) -> str:
        """Return the tag that makes a text of the scalar at `path`, as YAML writes it; "" where none does."""
        node = self._walk(path)[1]
        inner = node.resolved() if node else None
        if inner is None or inner.kind is not NodeKind.SCALAR or inner.tag in ("", "!"):
            return ""
        return shown(inner.tag.replace(STANDARD_TAG, "!!"))[1:-1]

    def may_hold(self, text: str) -> bool:
        """Return whether `text` may be in some value: for a character that needs no escape sequence."""
        return text in self._text or "\\" in self._text

    def _place(self, node: Node | None, path: KeyPath) -> Place:
        line, column = (node.line, node.column) if node else (1, 1)
        # An empty value at the end of the text has its place after the last line.
        self._lines = self._lines or _line_count(self._text)
        if line > self._lines:
            line, column = self._lines, 1
        return Place(self.file, line, column, key_path_text(path))

    def _walk(self, path: KeyPath) -> tuple[Node | None, Node | None]:
        self._build_tree()
        key: Node | None = None
        node = self._root
        for step in path:
            if node is None:
                break
            inner = node.resolved()
            if isinstance(step, int):
                if inner.kind is not NodeKind.SEQUENCE or step >= len(inner.items):
                    break
                key, node = None, inner.items[step]
            else:
                found = self._entries_of(inner).get(step)
                if found is None:
                    break
                key, node = found
        return key, node

    def _entries_of(self, node: Node) -> _Entries:
        """Return the entries of a mapping, put together when they are first asked for; none of another node."""
        if node.kind is not NodeKind.MAPPING:
            return {}
        known = self._entries.get(id(node))
        return known if known is not None else _Reader(self, ProblemList()).entries(node, ())

    def _build_tree(self) -> None:
        if not self._is_read:
            self._is_read = True
            self._root = parse(self._text).root


def read_document(content: bytes, file: str, problems: ProblemList) -> Document | None:
    """Return the document in `content`, or None when there is none to use; what is wrong goes to `problems`.

    Codes: file-too-large, not-utf8, yaml-syntax, yaml-too-complex, yaml-duplicate-key, wrong-type (keys that
    are no texts), invalid-value (infinities). An empty file gives a Document whose value is None.
    """
    if len(content) > FILE_BYTES_MAX:
        why = f"It has {len(content)} bytes; the limit is {FILE_BYTES_MAX}."
        hint = "Split the file."
        problems.add(Problem(ErrorCode.FILE_TOO_LARGE, f"{file} is too large.", why, hint, Place(file)))
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Place(file, before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        why = f"Byte {error.start} (0x{content[error.start]:02x}) starts no UTF-8 character."
        hint = "Save the file as UTF-8."
        problems.add(Problem(ErrorCode.NOT_UTF8, f"{file} is not UTF-8 text.", why, hint, place))
        return None
    plain = plain_values(text)
    if plain is not None:
        return Document(file, plain.value, _next_place(file, plain.next_mark), text, _marks=plain.key_marks)
    try:
        tree = parse(text)
    except YamlProblem as error:
        place = Place(file, min(error.line, _line_count(text)), error.column)
        problems.add(Problem(error.code, error.what, error.why, error.hint, place))
        return None
    next_place = _next_place(file, tree.next_mark)
    if next_place is not None:  # broken YAML may be told of after the last line
        next_place = replace(next_place, line=min(next_place.line, _line_count(text)))
    document = Document(file, None, next_place, text, tree.root, _is_read=True)
    if tree.root is not None:
        document.value = _Reader(document, problems).value(tree.root, ())
    return document


def _next_place(file: str, mark: tuple[int, int] | None) -> Place | None:
    return None if mark is None else Place(file, *mark)


def further_document(document: Document, severity: Severity) -> Problem | None:
    """Return what to tell of a file with more than one document, or None: only the first one is read."""
    if document.next_place is None:
        return None
    what = f"{document.file} holds more than one YAML document."
    why = "Only the first is read: what starts here has no effect."
    hint = "Remove the line `---` or `...` between them to join them, or move the rest into a file of its own."
    return Problem(ErrorCode.INVALID_VALUE, what, why, hint, document.next_place, severity)


def _line_count(text: str) -> int:
    return max(1, len(text.splitlines()))


class _Reader(msgspec.Struct):
    """Turns nodes into values. Recursion is bounded by the tree's DEPTH_MAX."""

    document: Document
    problems: ProblemList
    _values: dict[int, JsonValue] = msgspec.field(default_factory=dict)

    def value(self, node: Node, path: KeyPath) -> JsonValue:
        inner = node.resolved()
        if id(inner) in self._values:
            return self._values[id(inner)]
        result: JsonValue
        if inner.kind is NodeKind.SCALAR:
            result = self._scalar(inner, path)
        elif inner.kind is NodeKind.SEQUENCE:
            result = [self.value(item, (*path, index)) for index, item in enumerate(inner.items)]
        else:
            entries = self.entries(inner, path)
            result = {name: self.value(value, (*path, name)) for name, (_, value) in entries.items()}
        self._values[id(inner)] = result
        return result

    def _scalar(self, node: Node, path: KeyPath) -> Scalar:
        try:
            value = _scalar_value(node)
        except UnreadableScalar as error:
            self._problem(
                ErrorCode.WRONG_TYPE, "A value contradicts its tag.", f"{error}.", "Remove the tag.", (node, path)
            )
            return None
        if isinstance(value, float) and not math.isfinite(value):
            why, hint = "YAML reads it as an infinity or as no number.", "Put it in quotes if it is a text."
            self._problem(
                ErrorCode.INVALID_VALUE, f"{node.text} is no number that docker takes.", why, hint, (node, path)
            )
            return None
        return value

    def entries(self, node: Node, path: KeyPath) -> _Entries:
        """Return {key: (key's node, value's node)} of a mapping, with what its merge keys bring along."""
        known = self.document._entries.get(id(node))
        if known is not None:
            return known
        entries: _Entries = {}
        merges: list[tuple[Node, Node]] = []
        written: dict[str, Node] = {}
        for key, value in zip(node.items[::2], node.items[1::2], strict=True):
            name = key.resolved()
            if name.kind is not NodeKind.SCALAR:
                self._bad_key(key, path, "a mapping or list")
                continue
            first = written.setdefault(name.text, key)
            if first is not key:
                self._duplicate(first, key, name.text, path)
            if name.text == "<<" and (name.plain or name.tag == STANDARD_TAG + "merge"):
                merges.append((key, value))
            elif first is not key:
                continue
            elif self._is_text(name, path):
                entries[name.text] = (key, value)
        for key, value in merges:
            self._merge(entries, key, value, path)
        self.document._entries[id(node)] = entries
        return entries

    def _merge(self, entries: _Entries, key: Node, value: Node, path: KeyPath) -> None:
        inner = value.resolved()
        parts = inner.items if inner.kind is NodeKind.SEQUENCE and value.target is None else [value]
        for part in parts:
            source = part.resolved()
            if source.kind is not NodeKind.MAPPING:
                what = "`<<` takes a mapping, or a list of mappings."
                why = f"Here it is {'a list' if source.kind is NodeKind.SEQUENCE else 'a single value'}."
                self._problem(ErrorCode.WRONG_TYPE, what, why, "Name an anchor of a mapping: `<<: *name`.", (key, path))
                continue
            for name, entry in self.entries(source, path).items():
                entries.setdefault(name, entry)

    def _is_text(self, key: Node, path: KeyPath) -> bool:
        try:
            value = _scalar_value(key)
        except UnreadableScalar:
            value = None
        # A date resolves to another text; docker refuses it as a key all the same.
        if isinstance(value, str) and (value == key.text or not key.plain):
            return True
        self._bad_key(key, path, f"the key `{key.text[:40]}`" if key.text else "an empty key")
        return False

    def _bad_key(self, key: Node, path: KeyPath, described: str) -> None:
        why = f"Here it is {described}, which YAML does not read as a text."
        self._problem(ErrorCode.WRONG_TYPE, "A key must be a text.", why, "Put the key in quotes.", (key, path))

    def _duplicate(self, first: Node, second: Node, name: str, path: KeyPath) -> None:
        what = f"The key `{name[:60]}` is written twice: on line {first.line} and on line {second.line}."
        hint = "Keep one of them." if name != "<<" else "Merge several mappings by one list: `<<: [*a, *b]`."
        why = "Only one of the values could count."
        self._problem(ErrorCode.YAML_DUPLICATE_KEY, what, why, hint, (second, (*path, name)))

    def _problem(self, code: ErrorCode, what: str, why: str, hint: str, spot: tuple[Node, KeyPath]) -> None:
        node, path = spot
        self.problems.add(Problem(code, what, why, hint, self.document._place(node, path)))


def _scalar_value(node: Node) -> Scalar:
    if node.plain:
        return plain_scalar(node.text)
    if node.tag in ("", "!", STANDARD_TAG + "str"):
        return node.text
    return tagged_scalar(node.text, node.tag)
