"""What a worker does with a job, in an interpreter that has nothing of the test in it.

    python -P clean_worker.py GRAPH…

unpickles the DoFn of each step of our own from the graphs, which are files of Beam's protocol, runs
each listing step and the step behind it for all that was listed, and prints as JSON how many
elements that were, and which modules were imported meanwhile.
"""

import json
import sys
from pathlib import Path

from apache_beam.internal import pickler
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as api

LISTING = ("List", "Count")


def functions(graph: api.Pipeline) -> dict[str, object]:
    """The unpickled DoFns, by the names of their steps."""
    return {
        step.unique_name: pickler.loads(
            api.ParDoPayload.FromString(step.spec.payload).do_fn.payload
        )[0]
        for step in graph.components.transforms.values()
        if step.spec.urn == common_urns.primitives.PAR_DO.urn
    }


def run(path: str) -> dict[str, int]:
    """Runs the two steps of our own; returns how many elements each gave."""
    found = functions(api.Pipeline.FromString(Path(path).read_bytes()))
    ours = {name: x for name, x in found.items() if not name.startswith("Spread")}
    (listing,) = (x for name, x in ours.items() if name.startswith(LISTING))
    (doing,) = (x for name, x in ours.items() if not name.startswith(LISTING))
    listing.setup()
    elements = list(listing.process(b""))
    doing.setup()
    return {
        "listed": len(elements),
        "done": sum(len(list(doing.process(element))) for element in elements),
    }


if __name__ == "__main__":
    done = [run(path) for path in sys.argv[1:]]
    print(json.dumps({"steps": done, "modules": sorted(sys.modules)}))
