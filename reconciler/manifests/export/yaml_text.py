"""Values as YAML that docker's reader and ours understand in the same way.

PyYAML writes for readers of YAML 1.1; docker's follows other rules (`1e3` is a number to it, `yes` is none). Whatever
its rules would not read back as the same text is therefore put in quotes.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from reconciler.manifests.yaml_scalars import plain_scalar, timestamp
from reconciler.model.json import JsonValue

_STRING: Final = "tag:yaml.org,2002:str"
_LINE_WIDTH: Final = 1_000_000
"""No text is folded over lines: it could not be searched for."""


class FileMode(int):
    """Permission bits, written as people do: 0440."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML calls it; no anchors in what people read
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    plain = text != "" and plain_scalar(text) == text and timestamp(text) is None
    # Readers take more than \n for the end of a line (U+0085, U+2028): what is not printable is escaped.
    simple = all(char.isprintable() or char in "\n\t" for char in text)
    style = '"' if not simple else "|" if "\n" in text else None if plain else '"'
    return dumper.represent_scalar(_STRING, text, style=style)


def _file_mode(dumper: _Dumper, mode: FileMode) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:int", f"0{int(mode):o}")


_Dumper.add_representer(str, _text)
_Dumper.add_representer(FileMode, _file_mode)


def yaml_text(value: JsonValue) -> str:
    """Return `value` as YAML in block style, keys in their order."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_LINE_WIDTH, default_flow_style=False
    )
    return text


def escaped(value: JsonValue) -> JsonValue:
    """Return `value` with each `$` in its texts doubled, so that nothing in it is taken for a variable. Not in keys."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    return value
