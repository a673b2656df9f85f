"""Run with several simulated devices, and as one of several processes, by test_jax.py.

Each program writes what the devices of its process hold to a file of arrays.
"""

import json
import sys
from itertools import islice
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import gato_data
from gato_data.errors import UsageError


def rows_sharded() -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))


def write_shards(batches: list[Any], path: str) -> None:
    """Writes each part of each array under batch/name/first row."""
    np.savez(
        path,
        **{
            f"{number}/{name}/{part.index[0].indices(array.shape[0])[0]}": np.asarray(part.data)
            for number, batch in enumerate(batches)
            for name, array in batch.items()
            for part in array.addressable_shards
        },
    )


def one_host(build: str, output: str) -> None:
    """Eight devices of one process; keeps all batches, and resumes in the midst of them."""
    loader = gato_data.load(build, batch_size=16, seed=3, images="packed", data_shards=8)
    batches = list(islice(loader.as_jax(rows_sharded()), 5))
    assert all(array.is_fully_addressable for array in batches[0].values())
    assert len(batches[0]["patches"].sharding.device_set) == 8
    again = gato_data.load(build, batch_size=16, seed=3, images="packed", data_shards=8)
    again.set_state(loader.get_state())
    batches += islice(again.as_jax(rows_sharded()), 2)
    # What the rows of a device count as patches lies with that device.
    summed = jax.jit(lambda x: x["patch_row"].astype("int32").sum(1), out_shardings=rows_sharded())
    print(json.dumps(summed(batches[0]).tolist()))
    write_shards(batches, output)
    rows, columns = rows_sharded(), NamedSharding(rows_sharded().mesh, PartitionSpec(None, "data"))
    for sharding, size, shards in ((rows, 12, 1), (rows, 16, 4), (columns, 16, 8)):
        refused = gato_data.load(build, batch_size=size, images="packed", data_shards=shards)
        try:
            refused.as_jax(sharding)
        except UsageError as error:
            print(error)


def one_of_two(build: str, output: str, address: str, process: str) -> None:
    """Four devices of one of two processes, of which each loads its slice."""
    jax.distributed.initialize(address, num_processes=2, process_id=int(process))
    loader = gato_data.load(build, batch_size=16, seed=3, images="packed", data_shards=8)
    batches = list(islice(loader.as_jax(rows_sharded()), 5))
    assert batches[0]["tokens"].shape[0] == 16
    assert not batches[0]["tokens"].is_fully_addressable
    write_shards(batches, output)
    # The devices in another order: rows would be needed that the other process loads.
    turned = Mesh(np.array(jax.devices()[::-1]), ("data",))
    try:
        loader.as_jax(NamedSharding(turned, PartitionSpec("data")))
    except UsageError as error:
        print(error)


if __name__ == "__main__":
    {"one_host": one_host, "one_of_two": one_of_two}[sys.argv[1]](*sys.argv[2:])
