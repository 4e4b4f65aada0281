"""Text that somebody else wrote."""


def printable(text: str | None, limit: int = 200) -> str:
    """Make it safe for terminals and logs: no escape sequences, no line ends, not endless.

    Characters that move the cursor, change colours or the direction of writing are no printable
    ones (Unicode categories Cc, Cf, Zl, Zp).
    """
    return "".join(each for each in (text or "") if each.isprintable())[:limit]
