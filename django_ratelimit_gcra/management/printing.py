"""Text from outside on a terminal or in a spreadsheet: shown, and nothing more."""

from collections.abc import Iterator, Sequence

_LONGEST = 80
_FORMULAS = ("=", "+", "-", "@")


def plain(text: str, longest: int | None = _LONGEST) -> str:
    """A text in which nothing moves the cursor, changes a colour or turns the writing round; cut to one line's length.

    Control and format characters, right-to-left marks among them, are escaped: `\\x1b`, `\\u202e`.
    """
    shown = "".join(one if one.isprintable() else _escaped(one) for one in text[:longest])
    return f"{shown}..." if longest is not None and len(text) > longest else shown


def cell(text: str) -> str:
    """The same, in full, for a spreadsheet, which would take some texts for formulas."""
    shown = plain(text, None)
    return f"'{shown}" if shown.startswith(_FORMULAS) else shown


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> Iterator[str]:
    """Rows of equal length with aligned columns; what comes from outside belongs into the last one."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield indent + "  ".join(one.ljust(width) for one, width in zip(row, widths, strict=True)).rstrip()


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode() if character > "\x7f" else f"\\x{ord(character):02x}"
