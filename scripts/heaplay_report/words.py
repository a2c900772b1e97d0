"""Words that agree with a number."""


def plural(count, noun):
    """The count and the noun, in the plural unless it is one."""
    shown = f"{count:g}" if isinstance(count, float) else count
    return f"{shown} {noun}" if count == 1 else f"{shown} {noun}s"
