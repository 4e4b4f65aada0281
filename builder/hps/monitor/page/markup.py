"""HTML that cannot be broken out of: text is escaped unless this module made it. Pure."""

import html
from typing import Final

_VOID: Final = frozenset({"link", "meta"})
_UNSEEN: Final = "\N{REPLACEMENT CHARACTER}"


class Markup(str):
    """HTML that `element` has made."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | bool | None) -> Markup:
    """An element.

    Args:
        name: of it, from this program.
        *content: text, which is escaped, and elements.
        **attributes: by name; `_` is `-`, and left out at the end (`class_`). None and False leave
            one out, True gives one without a value.
    """
    shown = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{joined(*content)}</{name}>")


def joined(*content: str) -> Markup:
    """Text and elements, one after the other."""
    return Markup("".join(one if isinstance(one, Markup) else _escaped(one) for one in content))


def _attribute(key: str, value: str | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{_escaped(value)}"'


def _escaped(text: str) -> str:
    """Also without signs that cannot be seen, or that change the direction of writing."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else _UNSEEN for one in text)
    return html.escape(text, quote=True)
