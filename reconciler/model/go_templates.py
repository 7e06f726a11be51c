"""Go templates in Env, Hostname and Mounts, as far as Swarm's manager refuses them before any task is made.

It parses and expands them with a made-up task, so that an unknown function or field, or a broken action, is an
error of the create request. What only an expansion with real values could show is let through.

Source: measured on docker CLI 28.2 (docs/decisions/0006); the grammar is that of Go's text/template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

_COMPARISONS: Final = frozenset({"and", "eq", "ge", "gt", "le", "lt", "ne", "not", "or"})
_FUNCTIONS: Final = _COMPARISONS | frozenset(
    {"call", "html", "index", "join", "js", "len", "print", "printf", "println", "slice", "urlquery"}
)
_OPENING: Final = frozenset({"if", "range", "with", "define", "block"})
_KEYWORDS: Final = _OPENING | {"else", "end", "template", "break", "continue", "nil", "true", "false"}
ACTIONS_MAX: Final = 1_000
"""Actions of one text that are checked: a hostile file could hold hundreds of thousands."""
NEWLINE: Final = "\n"
_WORD_CHARS_MAX: Final = 40
"""Characters of a word that a message repeats."""

_Fields: TypeAlias = Mapping[str, "_Fields | None"]
_ANY: Final[_Fields] = {}
"""What may have any field: the labels."""
_CONTEXT: Final[_Fields] = {
    "Service": {"ID": None, "Name": None, "Labels": _ANY},
    "Node": {"ID": None, "Hostname": None, "Platform": {"Architecture": None, "OS": None}},
    "Task": {"ID": None, "Name": None, "Slot": None},
}

TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)+')
    | (?P<chain>\$[^\W\d]?\w*(?:\.[^\W\d]\w*)*|(?:\.[^\W\d]\w*)+)
    | (?P<number>[+-]?(?:0[xXbBoO])?\.?[0-9][0-9a-zA-Z_.]*)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>:=|[=|,().])""",
    re.VERBOSE,
)


_TYPES: Final[Mapping[tuple[str, ...], str]] = {
    (): "*template.Context",
    ("Service",): "struct { ID string; Name string; Labels map[string]string }",
    ("Node",): "struct { ID string; Hostname string; Platform template.Platform }",
    ("Node", "Platform"): "template.Platform",
    ("Task",): "struct { ID string; Name string; Slot string }",
}
"""What Go calls what has fields; all else is a string."""


class BadGoTemplate(ValueError):
    """The text is no template that Swarm expands; the message, a sentence without its full stop, says why.

    `go` are the words that Swarm's manager has for it.
    """

    def __init__(self, message: str, go: str) -> None:
        super().__init__(message)
        self.go = go


class _Check(msgspec.Struct):
    """What has been read of a template so far: open blocks, and the variables that are known.

    `text` is all of the template, `at` where the action that is read begins.
    """

    text: str
    functions: frozenset[str] = _FUNCTIONS
    at: int = 0
    open: list[str] = msgspec.field(default_factory=list)
    variables: set[str] = msgspec.field(default_factory=lambda: {"$"})

    def bad(self, message: str, go: str) -> BadGoTemplate:
        """Return the error of a template that cannot be parsed."""
        return BadGoTemplate(message, f"template: expansion:{self.text.count(NEWLINE, 0, self.at) + 1}: {go}")

    def action(self, start: int, end: int) -> None:
        """Check what stands between `{{` and `}}`, from `start` to `end`."""
        self.at = start
        tokens = list(self._tokens(start, end))
        words = [token for token in tokens if token[0] != "space"]
        if not words:
            raise self.bad("an action `{{}}` is empty", "missing value for command")
        self._block(words[0][1])
        for index, (kind, word, at) in enumerate(tokens):
            after_bracket = index > 0 and tokens[index - 1][1] == ")"
            if kind == "word" and word not in _KEYWORDS and word not in self.functions:
                shown = word[:_WORD_CHARS_MAX]
                raise self.bad(f"the function `{shown}` is not defined", f'function "{shown}" not defined')
            if kind == "chain" and not after_bracket:
                self._chain(word, at, declared=any(sign == ":=" for _, sign, _ in words))
        signs = [sign for _, sign, _ in words]
        if signs.count("(") != signs.count(")"):
            words_of_go = "unclosed left paren" if signs.count("(") > signs.count(")") else "unexpected right paren"
            raise self.bad("its brackets do not match", words_of_go)

    def _tokens(self, start: int, end: int) -> Iterable[tuple[str, str, int]]:
        position = start
        while position < end:
            found = TOKEN.match(self.text, position, end)
            if found is None:
                sign = self.text[position]
                quoted = sign in "\"'`"
                go = "unterminated quoted string" if quoted else f"unexpected bad character U+{ord(sign):04X} {sign!r}"
                raise self.bad("an action holds a character that does not belong there, or an unclosed quote", go)
            yield found.lastgroup or "", found[0], position
            position = found.end()

    def _block(self, word: str) -> None:
        if word in _OPENING:
            self.open.append(word)
        elif word in ("end", "else"):
            if not self.open:
                raise self.bad(f"`{{{{{word}}}}}` belongs to no block", f"unexpected {{{{{word}}}}}")
            if word == "end":
                self.open.pop()

    def _chain(self, chain: str, at: int, *, declared: bool) -> None:
        root, *names = chain.split(".")
        if root and declared:
            self.variables.add(root)
        if root and root not in self.variables:
            shown = root[:_WORD_CHARS_MAX]
            raise self.bad(f"the variable `{shown}` is not defined", f'undefined variable "{shown}"')
        # In a block the dot may be something else, and the branch may never be expanded.
        if self.open or root not in ("", "$"):
            return
        fields: _Fields | None = _CONTEXT
        for depth, name in enumerate(names):
            if fields is _ANY:
                return
            if fields is None or name not in fields:
                raise self._no_field(chain, at, tuple(names[:depth]), name)
            fields = fields[name]

    def _no_field(self, chain: str, at: int, path: tuple[str, ...], name: str) -> BadGoTemplate:
        # Go places a chain of fields at its second one.
        second = chain.find(".", 1)
        at += second if second > 0 else 0
        line = self.text.count(NEWLINE, 0, at) + 1
        column = len(self.text[self.text.rfind(NEWLINE, 0, at) + 1 : at].encode())
        place = f'template: expansion:{line}:{column}: executing "expansion" at <{chain}>'
        go = f"{place}: can't evaluate field {name} in type {_TYPES.get(path, 'string')}"
        return BadGoTemplate(f"there is no field `{name[:_WORD_CHARS_MAX]}`", go)


def check_template(text: str, functions: frozenset[str] = _FUNCTIONS) -> None:
    """Do nothing for a text that Swarm can expand, which may call `functions`. Raises BadGoTemplate.

    After ACTIONS_MAX actions the rest is let through.
    """
    check = _Check(text, functions | _FUNCTIONS)
    position = 0
    for _ in range(ACTIONS_MAX):
        start = check.at = text.find("{{", position)
        if start < 0:
            break
        if _COMMENT.match(text, start):
            position = _after_comment(check)
            continue
        end = _action_end(check, start + 2)
        check.action(*_trimmed(text, start + 2, end))
        position = end + 2
    if check.open and "{{" not in text[position:]:
        check.at = len(text)
        raise check.bad(f"the block `{{{{{check.open[-1]} …}}}}` has no `{{{{end}}}}`", "unexpected EOF")


_COMMENT: Final = re.compile(r"\{\{(?:- )?/\*")
_COMMENT_END: Final = re.compile(r"\*/(?: -)?\}\}")
# Nothing follows the repeat, so it is never gone back into. It is not possessive: those of groups match wrongly in
# Python up to 3.11.4, Debian 12's 3.11.2 among them (gh-106052).
_TO_END: Final = re.compile(r"""(?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)+'|[^"`'}]+|\}(?!\}))*""")


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return an action's span without the marks that trim the space around it."""
    if text[start : start + 1] == "-" and text[start + 1 : start + 2].isspace():
        start += 1
    if end - start >= 2 and text[end - 1] == "-" and text[end - 2].isspace():
        end -= 1
    return start, end


def _after_comment(check: _Check) -> int:
    found = _COMMENT_END.search(check.text, check.at)
    if found is None:
        raise check.bad("a comment is not closed", "unclosed comment")
    return found.end()


def _action_end(check: _Check, start: int) -> int:
    """Return where the `}}` of the action stands; quoted ones don't count."""
    found = _TO_END.match(check.text, start)
    end = found.end() if found else start
    if not check.text.startswith("}}", end):
        raise check.bad("an action `{{` is not closed", "unclosed action")
    return end
