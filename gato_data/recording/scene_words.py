"""The grammar that captions, questions and answers need: numbers, articles, plurals, lists."""

from collections.abc import Sequence

# fmt: off
_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)
# fmt: on


def number(count: int) -> str:
    """A count as a word, and as digits above twenty."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def with_article(phrase: str) -> str:
    """A phrase for one of its kind: a red ball, an open door.

    The words that can stand first here are colours, states of doors and nouns; of these, a vowel
    is spoken where one is written.
    """
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def plural(phrase: str) -> str:
    """A phrase for several of its kind: red balls, green boxes."""
    return f"{phrase}{'es' if phrase.endswith('x') else 's'}"


def counted(count: int, phrase: str) -> str:
    """A phrase with how many there are, at least one: a grey key, two grey keys."""
    return with_article(phrase) if count == 1 else f"{number(count)} {plural(phrase)}"


def listed(phrases: Sequence[str], last: str = "and") -> str:
    """Phrases in a row, at least one: a; a and b; a, b and c."""
    *first, final = phrases
    return f"{', '.join(first)} {last} {final}" if first else final
