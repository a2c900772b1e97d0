"""Words that agree with a number."""


def plural(count, noun):
    """The count and the noun, in the plural unless it is one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
