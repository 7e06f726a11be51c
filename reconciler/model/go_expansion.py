"""Go templates expanded with the values of a task, as a node does before it starts one. Pure.

Actions, pipelines, variables, if, with, range and the functions of Go's text/template that texts of a service have use
for. Source: the grammar and the words of errors are text/template's; `join`, and that a missing key is an error,
swarmkit's (template/template.go).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeAlias

import msgspec

from reconciler.model.go_templates import TOKEN, BadGoTemplate, check_template

Functions: TypeAlias = Mapping[str, Callable[..., Any]]

_ACTION: Final = re.compile(
    r"""\{\{(?P<left>-(?=\s))?
    (?P<action>/\*.*?\*/|(?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)+'|(?!\}\})[^"`'])*?)
    \s*(?P<right>(?<=\s)-)?\}\}""",
    re.VERBOSE | re.DOTALL,
)
_LENGTH_MAX: Final = 1_000_000
"""Characters that a template may become."""


class Struct(dict[str, Any]):
    """Values with names of their own, which Go prints without them; other dicts are maps."""


class _Block(msgspec.Struct):
    """An action that holds others: `body` where its pipeline has a value, `other` where it has none."""

    keyword: str
    tokens: list[str]
    body: list[_Node] = msgspec.field(default_factory=list)
    other: list[_Node] = msgspec.field(default_factory=list)


_Node: TypeAlias = str | list[str] | _Block
"""Text, the tokens of an action, or a block."""


def expanded(text: str, values: Mapping[str, Any], functions: Functions | None = None) -> str:
    """Return `text` with its actions carried out; the dot is `values`. Raises BadGoTemplate, which tells no value.

    `functions` are there beside Go's own; what they are given and return are texts.
    """
    if "{{" not in text:
        return text
    known = {**_FUNCTIONS, **(functions or {})}
    check_template(text, frozenset(known))
    expansion = _Expansion(known, {"$": values})
    expansion.carry_out(_tree(text), values)
    return "".join(expansion.written)


def _bad(why: str) -> BadGoTemplate:
    return BadGoTemplate(why, f"template: expansion:1: {why}")


def _tree(text: str) -> list[_Node]:
    root = _Block("", [])
    open_blocks, into = [root], root.body
    for piece in _pieces(text):
        if isinstance(piece, str):
            into.append(piece)
            continue
        keyword = piece[0] if piece else ""
        if keyword in ("if", "with", "range"):
            block = _Block(keyword, piece[1:])
            into.append(block)
            open_blocks.append(block)
            into = block.body
        elif keyword == "else":
            into = open_blocks[-1].other
            if len(piece) > 1:  # "else if": a block in the other's place, which the same end closes
                block = _Block(piece[1], piece[2:])
                into.append(block)
                open_blocks[-1] = block
                into = block.body
        elif keyword == "end":
            open_blocks.pop()
            into = open_blocks[-1].other or open_blocks[-1].body
        elif keyword in ("define", "block", "template", "break", "continue"):
            raise _bad(f"{keyword} is not supported")
        else:
            into.append(piece)
    return root.body


def _pieces(text: str) -> Iterator[str | list[str]]:
    """Yield texts, and of each action its tokens."""
    position, trims = 0, False
    for found in _ACTION.finditer(text):
        before = text[position : found.start()]
        before = before.lstrip() if trims else before
        yield before.rstrip() if found["left"] else before
        position, trims = found.end(), bool(found["right"])
        action = found["action"].strip()
        if not action.startswith("/*"):
            yield _tokens(action)
    rest = text[position:]
    yield rest.lstrip() if trims else rest


def _tokens(action: str) -> list[str]:
    """Return an action's tokens; a field that stands right behind a bracket, and is what it holds', begins with it."""
    found = [one[0] for one in TOKEN.finditer(action)]
    joined = [f"){token}" if last == ")" and token[0] == "." else token for last, token in pairwise(["", *found])]
    return [token for token in joined if not token.isspace()]


class _Expansion(msgspec.Struct):
    """One expansion: what has been written, and the variables' values."""

    functions: Functions
    variables: dict[str, Any]
    written: list[str] = msgspec.field(default_factory=list)
    length: int = 0

    def write(self, text: str) -> None:
        self.length += len(text)
        if self.length > _LENGTH_MAX:
            raise _bad("the text becomes too long")
        self.written.append(text)

    def carry_out(self, nodes: Sequence[_Node], dot: Any) -> None:
        for node in nodes:
            if isinstance(node, str):
                self.write(node)
            elif isinstance(node, _Block):
                self._block(node, dot)
            else:
                declares = len(node) > 1 and node[1] in (":=", "=")
                value = self._pipeline(node, dot)
                if not declares:
                    self.write(printed(value))

    def _block(self, block: _Block, dot: Any) -> None:
        if block.keyword == "range":
            self._range(block, dot)
            return
        value = self._pipeline(block.tokens, dot)
        if _is_true(value):
            self.carry_out(block.body, value if block.keyword == "with" else dot)
        else:
            self.carry_out(block.other, dot)

    def _range(self, block: _Block, dot: Any) -> None:
        names, tokens = _declared(block.tokens)
        value = self._pipeline(tokens, dot)
        if isinstance(value, Mapping):
            items: list[tuple[Any, Any]] = sorted(value.items())
        elif isinstance(value, int) and not isinstance(value, bool):
            items = [(number, number) for number in range(min(value, _LENGTH_MAX))]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            items = list(enumerate(value))
        else:
            raise _bad("range can't iterate over that")
        if not items:
            self.carry_out(block.other, dot)
        for key, one in items:
            self.variables |= dict(zip(names, (key, one)[-len(names) :] if names else (), strict=False))
            self.carry_out(block.body, one)

    def _pipeline(self, tokens: Sequence[str], dot: Any) -> Any:
        names, tokens = _declared(tokens)
        piped: list[Any] = []
        for command in _split(tokens, "|"):
            piped = [self._command(command, dot, piped)]
        value = piped[0] if piped else None
        for name in names:
            self.variables[name] = value
        return value

    def _command(self, tokens: Sequence[str], dot: Any, piped: list[Any]) -> Any:
        if not tokens:
            raise _bad("missing value for command")
        function = self.functions.get(tokens[0])
        operands = self._operands(tokens[1:] if function else tokens, dot)
        if function is None:
            if len(operands) + len(piped) != 1:
                raise _bad(f"can't give argument to non-function {tokens[0]}")
            return operands[0]
        try:
            return function(*operands, *piped)
        except BadGoTemplate:
            raise
        except (TypeError, KeyError, IndexError, ValueError):
            raise _bad(f"error calling {tokens[0]}") from None  # without the values, which may be secret

    def _operands(self, tokens: Sequence[str], dot: Any) -> list[Any]:
        found: list[Any] = []
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if token == "(":
                end = _closing(tokens, position)
                found.append(self._pipeline(tokens[position + 1 : end], dot))
                position = end
            elif token.startswith(")"):
                found[-1] = _field_of(found[-1], token[1:])
            else:
                found.append(self._operand(token, dot))
            position += 1
        return found

    def _operand(self, token: str, dot: Any) -> Any:
        if token == ".":
            return dot
        if token.startswith("."):
            return _field_of(dot, token)
        if token.startswith("$"):
            name, _, path = token.partition(".")
            return _field_of(self.variables.get(name), f".{path}") if path else self.variables.get(name)
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if token in self.functions:
            return self.functions[token]()
        return _literal(token)


_CONSTANTS: Final[Mapping[str, Any]] = {"true": True, "false": False, "nil": None}


def _declared(tokens: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """Return the variables that a pipeline gives values to, and the rest of it."""
    for sign in (":=", "="):
        if sign in tokens:
            at = tokens.index(sign)
            return [name for name in tokens[:at] if name.startswith("$")], tokens[at + 1 :]
    return [], tokens


def _split(tokens: Sequence[str], sign: str) -> list[list[str]]:
    """Return what stands between signs that are in no brackets."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == sign and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _closing(tokens: Sequence[str], opening: int) -> int:
    depth = 0
    for position in range(opening, len(tokens)):
        depth += (tokens[position] == "(") - (tokens[position] == ")")
        if not depth:
            return position
    raise _bad("unclosed left paren")


def _field_of(value: Any, chain: str) -> Any:
    for name in chain.split(".")[1:]:
        if not isinstance(value, Mapping):
            raise _bad(f'executing "expansion" at <{chain}>: can\'t evaluate field {name} in type string')
        if name not in value:
            raise _bad(f'executing "expansion" at <{chain}>: map has no entry for key "{name}"')
        value = value[name]
    return value


def _literal(token: str) -> Any:
    if token.startswith("`"):
        return token[1:-1]
    if token.startswith('"'):
        try:
            return json.loads(token)
        except ValueError:
            raise _bad(f"{token} is no text") from None
    if token.startswith("'"):
        return ord(token[1:-1]) if len(token) == 3 else 0
    try:
        return int(token.replace("_", ""), 0)
    except ValueError:
        return float(token)


def printed(value: Any) -> str:
    """Return a value as Go's %v has it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Struct):
        return f"{{{' '.join(printed(one) for one in value.values())}}}"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{printed(one)}' for key, one in sorted(value.items()))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(printed(one) for one in value)}]"
    return str(value)


def _is_true(value: Any) -> bool:
    return isinstance(value, Struct) or bool(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        # A map of texts has an empty one where it has none.
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]
    return value


def _first(values: Sequence[Any], *, true: bool) -> Any:
    return next((value for value in values if _is_true(value) is true), values[-1])


def _as_words(*values: Any) -> str:
    """Return values as Go's Sprint joins them: with a space between two that are no texts."""
    words = ""
    for position, value in enumerate(values):
        between = position and not isinstance(value, str) and not isinstance(values[position - 1], str)
        words += f"{' ' if between else ''}{printed(value)}"
    return words


def _escaped(text: str) -> str:
    """Return a text as a URL's query has it."""
    return re.sub(r"[^A-Za-z0-9_.~-]", _percent, text)


def _percent(found: re.Match[str]) -> str:
    return "+" if found[0] == " " else "".join(f"%{octet:02X}" for octet in found[0].encode("utf-8", "replace"))


def _formatted(text: str, *values: Any) -> str:
    rest = list(values)

    def one(found: re.Match[str]) -> str:
        if found["verb"] == "%":
            return "%"
        if not rest:
            return f"%!{found['verb']}(MISSING)"
        value = rest.pop(0)
        if found["verb"] == "q":
            return json.dumps(printed(value), ensure_ascii=False)
        if found["verb"] in "dxXofeg" and not isinstance(value, str | Mapping):
            return str(f"%{found['flags']}{found['verb']}" % value)
        return f"%{found['flags']}s" % printed(value)

    return re.sub(r"%(?P<flags>[-+ 0#]*\d{0,3}(?:\.\d{1,3})?)(?P<verb>[a-zA-Z%])", one, text)


_FUNCTIONS: Final[Functions] = {
    "and": lambda *values: _first(values, true=False),
    "or": lambda *values: _first(values, true=True),
    "not": lambda value: not _is_true(value),
    "eq": lambda value, *others: any(value == other for other in others),
    "ne": lambda value, other: value != other,
    "lt": lambda value, other: value < other,
    "le": lambda value, other: value <= other,
    "gt": lambda value, other: value > other,
    "ge": lambda value, other: value >= other,
    "index": _index,
    "len": len,
    "slice": lambda value, begin=0, end=None: value[begin:end],
    "print": _as_words,
    "println": lambda *values: " ".join(map(printed, values)) + "\n",
    "printf": _formatted,
    "html": lambda *values: html.escape(_as_words(*values)),
    "js": lambda *values: json.dumps(_as_words(*values))[1:-1],
    "urlquery": lambda *values: _escaped(_as_words(*values)),
    "join": lambda sign, *words: sign.join(words),
}
