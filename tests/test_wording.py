"""Words that messages share."""

import pytest

from gato_data.wording import counted


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 shards"), (1, "1 shard"), (2, "2 shards"), (999, "999 shards"), (1000, "1,000 shards")],
)
def test_one_and_several(number: int, text: str) -> None:
    assert counted(number, "shard") == text
