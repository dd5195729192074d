"""Foreign text made fit to be shown: bounded, and without characters that would act rather than be read."""

import unicodedata

_ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_KEPT = 80


def legible(text: object, most: int = 500) -> str:
    """At most so many characters; controls and direction marks as their code, so that nobody is fooled by them.

    An identity can be spelled by whoever sends a request; it must not turn round the text beside it, hide, or fill the
    page. Escaping for HTML is somebody else's business.
    """
    whole = str(text)
    shown = whole[: most + 1]
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(map(_shown, shown))
    return shown if len(shown) <= most else f"{shown[: most - 1]}\u2026"


def brief(text: object) -> str:
    """`legible`, short enough for a table."""
    return legible(text, _KEPT)


def _shown(character: str) -> str:
    return f"\\u{{{ord(character):x}}}" if unicodedata.category(character) in _ACTING else character
