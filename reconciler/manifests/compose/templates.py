"""Go templates in Env, Hostname and Mounts, as far as Swarm's manager refuses them before any task is made.

It parses and expands them with a made-up task, so that an unknown function or field, or a broken action, is an
error of the create request. What only an expansion with real values could show is let through.

Source: measured on docker CLI 28.2 (docs/decisions/0006); the grammar is that of Go's text/template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

_COMPARISONS: Final = frozenset({"and", "eq", "ge", "gt", "le", "lt", "ne", "not", "or"})
_FUNCTIONS: Final = _COMPARISONS | frozenset(
    {"call", "html", "index", "join", "js", "len", "print", "printf", "println", "slice", "urlquery"}
)
_OPENING: Final = frozenset({"if", "range", "with", "define", "block"})
_KEYWORDS: Final = _OPENING | {"else", "end", "template", "break", "continue", "nil", "true", "false"}
ACTIONS_MAX: Final = 1_000
"""Actions of one text that are checked: a hostile file could hold hundreds of thousands."""
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

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)+')
    | (?P<chain>\$[^\W\d]?\w*(?:\.[^\W\d]\w*)*|(?:\.[^\W\d]\w*)+)
    | (?P<number>[+-]?(?:0[xXbBoO])?\.?[0-9][0-9a-zA-Z_.]*)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>:=|[=|,().])""",
    re.VERBOSE,
)


class BadGoTemplate(ValueError):
    """The text is no template that Swarm expands; the message, a sentence without its full stop, says why."""


@dataclass(slots=True)
class _Check:
    """What has been read of a template so far: open blocks, and the variables that are known."""

    open: list[str] = field(default_factory=list)
    variables: set[str] = field(default_factory=lambda: {"$"})

    def action(self, text: str) -> None:
        """Check what stands between `{{` and `}}`."""
        tokens = list(_tokens(text))
        words = [token for token in tokens if token[0] != "space"]
        if not words:
            raise BadGoTemplate("an action `{{}}` is empty")
        self._block(words[0][1])
        for index, (kind, word) in enumerate(tokens):
            after_bracket = index > 0 and tokens[index - 1][1] == ")"
            if kind == "word" and word not in _KEYWORDS and word not in _FUNCTIONS:
                raise BadGoTemplate(f"the function `{word[:_WORD_CHARS_MAX]}` is not defined")
            if kind == "chain" and not after_bracket:
                self._chain(word, declared=any(sign == ":=" for _, sign in words))
        if [sign for _, sign in words].count("(") != [sign for _, sign in words].count(")"):
            raise BadGoTemplate("its brackets do not match")

    def _block(self, word: str) -> None:
        if word in _OPENING:
            self.open.append(word)
        elif word in ("end", "else"):
            if not self.open:
                raise BadGoTemplate(f"`{{{{{word}}}}}` belongs to no block")
            if word == "end":
                self.open.pop()

    def _chain(self, chain: str, *, declared: bool) -> None:
        root, *names = chain.split(".")
        if root and declared:
            self.variables.add(root)
        if root and root not in self.variables:
            raise BadGoTemplate(f"the variable `{root[:_WORD_CHARS_MAX]}` is not defined")
        # In a block the dot may be something else, and the branch may never be expanded.
        if self.open or root not in ("", "$"):
            return
        fields: _Fields | None = _CONTEXT
        for name in names:
            if fields is _ANY:
                return
            if fields is None or name not in fields:
                raise BadGoTemplate(f"there is no field `{name[:_WORD_CHARS_MAX]}`")
            fields = fields[name]


def _tokens(text: str) -> Iterable[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise BadGoTemplate("an action holds a character that does not belong there, or an unclosed quote")
        yield found.lastgroup or "", found[0]
        position = found.end()


def check_template(text: str) -> None:
    """Do nothing for a text that Swarm can expand. Raises BadGoTemplate.

    After ACTIONS_MAX actions the rest is let through.
    """
    check: _Check | None = None
    position = 0
    for _ in range(ACTIONS_MAX):
        start = text.find("{{", position)
        if start < 0:
            break
        check = check or _Check()
        if re.compile(r"\{\{(?:- )?/\*").match(text, start):
            position = _after_comment(text, start)
            continue
        end = _action_end(text, start + 2)
        check.action(_trimmed(text[start + 2 : end]))
        position = end + 2
    if check is not None and check.open and "{{" not in text[position:]:
        raise BadGoTemplate(f"the block `{{{{{check.open[-1]} …}}}}` has no `{{{{end}}}}`")


def _trimmed(action: str) -> str:
    if action.startswith("-") and action[1:2].isspace():
        action = action[1:]
    return action[:-1] if action.endswith("-") and action[-2:-1].isspace() else action


def _after_comment(text: str, start: int) -> int:
    found = re.compile(r"\*/(?: -)?\}\}").search(text, start)
    if found is None:
        raise BadGoTemplate("a comment is not closed")
    return found.end()


_TO_END: Final = re.compile(r"""(?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)+'|(?!\}\})[^"`'])*+""")


def _action_end(text: str, start: int) -> int:
    """Return where the `}}` of the action stands; quoted ones don't count."""
    found = _TO_END.match(text, start)
    end = found.end() if found else start
    if not text.startswith("}}", end):
        raise BadGoTemplate("an action `{{` is not closed")
    return end
