"""Words that messages share."""


def counted(number: int, what: str) -> str:
    """1 episode, 2 episodes, 3,000 episodes.

    Args:
      what: the word for one; an s makes it several.
    """
    return f"{number:,} {what}{'s' * (number != 1)}"
