"""`import gato_data` and tokenising stay light: nobody who only tokenises waits for a framework."""

import json
import subprocess
import sys

import pytest

import gato_data

HEAVY = ("tensorflow", "apache_beam", "keras", "jax", "torch", "gymnasium")
SECONDS = 0.5

# Run in a fresh interpreter: imports, tokenises something with each, and reports what that took.
PROBE = """
import json, sys, time
start = time.perf_counter()
import gato_data
names = [getattr(gato_data.tokenizers, name).__name__ for name in gato_data.tokenizers.__all__]
import numpy
gato_data.tokenizers.continuous.encode([0.5])
gato_data.tokenizers.discrete.encode([5])
gato_data.tokenizers.image.patchify(numpy.zeros((1, 16, 16, 3), numpy.uint8))
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules), "tokenizers": names}))
"""


def probe() -> dict:
    output = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True).stdout
    return json.loads(output)


def test_import_is_fast_and_brings_no_framework() -> None:
    seconds = []
    for _ in range(6):  # the best of several: other work on the machine must not fail the test
        found = probe()
        assert not {name.partition(".")[0] for name in found["modules"]}.intersection(HEAVY)
        assert "PIL" not in found["modules"]
        assert len(found["tokenizers"]) == 4
        seconds.append(found["seconds"])
        if seconds[-1] < SECONDS:
            return
    pytest.fail(f"import and first use took {min(seconds):.2f} s at best, over {SECONDS} s")


def test_attributes() -> None:
    assert gato_data.__version__ == "0.1.0"
    assert gato_data.tokenizers.discrete.encode([3]).tolist() == [3]
    assert callable(gato_data.expert_return.expert_return)
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = gato_data.nothing_of_that_name
    with pytest.raises(AttributeError, match="sound"):
        _ = gato_data.tokenizers.sound
