"""`load`: batches of built data sets, in a seeded order that is resumed anywhere."""

import importlib
import math
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.ahead import check_cache
from gato_data.loading.batches import Batch, BatchShape
from gato_data.loading.cache import DEFAULT_BYTES, Cache
from gato_data.loading.hosts import find_host
from gato_data.loading.order import Order
from gato_data.loading.parts import make_parts
from gato_data.loading.patch_positions import PatchPositions
from gato_data.loading.planning import Epochs, Position, Room, check_room, default_budget
from gato_data.loading.running import Running
from gato_data.loading.shards import Located, Shards
from gato_data.loading.sources import Source, Wanted, read_sources
from gato_data.loading.stream import Stream, identity_of
from gato_data.loading.targets import Roles
from gato_data.storage import files

_LAYOUTS = ("dense", "packed", "none")


class Loader(Iterator[Batch]):
    """Batches of built data sets: an iterator that is stopped and resumed anywhere.

    `load` makes it, and describes the batches.

    Attributes:
      stream: the batches as they were asked for.
      position: where the stream stands after the last batch. What takes batches by `run` sets it.
    """

    def __init__(self, stream: Stream, workers: int, prefetch: int) -> None:
        self.stream = stream
        self.position = Position()
        self._workers, self._prefetch = workers, prefetch
        self._running: Running | None = None
        # The last position that `state_after` found: the next one is not far from it.
        self._mark = self.position
        # The framework whose data set takes batches without saying how many.
        self._taken_by: str | None = None

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> Batch:
        if self._running is None:
            self._running = self.run()
        try:
            batch, self.position = next(self._running)
        except StopIteration:
            raise
        except BaseException:
            # What runs has passed the batch, as also when Ctrl-C stops it: who goes on begins with
            # it again.
            self.close()
            raise
        return batch

    def __getstate__(self) -> dict[str, Any]:
        # What works ahead stays in its process.
        return vars(self) | {"_running": None}

    def run(self) -> Running:
        """The batches from here on, for who hands them to a framework; the loader stays here."""
        return Running(self.stream, self.position, self._workers, self._prefetch)

    @property
    def element_spec(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """The shape and the dtype of each array of a batch of this host."""
        return self.stream.shape.spec()

    def get_state(self) -> dict[str, Any]:
        """Where the stream stands after the last batch: plain JSON, less than a kilobyte.

        The same on all hosts, so that it is saved once.

        Raises:
          UsageError: a data set of TensorFlow or PyTorch takes the batches.
        """
        if self._taken_by is not None:
            raise UsageError(
                f"The data set of {self._taken_by} reads ahead, so the loader cannot know which "
                "batches have been used. Ask for state_after(n), n being the batches used since "
                "the stream began."
            )
        return self.stream.to_state(self.position)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on after the batch after which `get_state` or `state_after` gave this.

        Raises:
          UsageError: it is no state, or the state of another stream.
        """
        position = self.stream.from_state(state)
        self.close()
        self.position = position

    def state_after(self, batches: int) -> dict[str, Any]:
        """The state after so many batches, whoever takes them; the loader stays where it is.

        Args:
          batches: since the stream began, those before a resume too; `batches` of a state.

        Raises:
          UsageError: the stream ends before.
        """
        known = (Position(), self.position, self._mark)
        near = [one for one in known if one.batches <= batches]
        if not near:
            raise UsageError(f"There is no state after {batches} batches: give 0 or more.")
        planner = self.stream.planner(max(near, key=lambda one: one.batches))
        planner.skip(batches - planner.position.batches)
        if planner.position.batches < batches:
            raise UsageError(
                f"There is no state after {batches} batches: the stream has only "
                f"{planner.position.batches}."
            )
        self._mark = planner.position
        return self.stream.to_state(self._mark)

    def skip(self, batches: int) -> None:
        """Passes over batches without reading them.

        Raises:
          UsageError: it is less than none.
        """
        if batches < 0:
            raise UsageError(f"{batches} batches cannot be skipped: set_state goes back.")
        planner = self.stream.planner(self.position)
        planner.skip(batches)
        self.close()
        self.position = planner.position

    def close(self) -> None:
        """Stops what works ahead. The next batch starts it again."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def as_tf_dataset(self) -> Any:
        """A `tf.data.Dataset` of the batches.

        Each iteration of it begins where the loader stands, and leaves the loader there, as nothing
        says which of the batches that TensorFlow read ahead have been used. `state_after` gives the
        state to save; `set_state` decides where the next iteration begins.

        Raises:
          GatoDataError: TensorFlow is not installed.
        """
        found = _adapter("tensorflow", "TensorFlow").as_dataset(self)
        self._taken_by = "TensorFlow"
        return found

    def as_jax(self, sharding: Any) -> Iterator[dict[str, Any]]:
        """The batches from here on as global JAX arrays, the next one on its way to the devices.

        The loader moves along: `get_state` tells of the batch that was handed out last.

        Args:
          sharding: a `jax.sharding.Sharding` of the first axis of all arrays, such as
            `NamedSharding(mesh, PartitionSpec("data"))`.

        Raises:
          UsageError: it does not divide the batch, or asks this process for rows of another one; or
            the batches have texts.
          GatoDataError: JAX is not installed.
        """
        found: Iterator[dict[str, Any]] = _adapter("jax", "JAX").global_batches(self, sharding)
        return found

    def as_torch(self) -> Any:
        """A `torch.utils.data.IterableDataset` of the batches, for DataLoader(batch_size=None).

        Worker processes take batches in turn, so that they come in the order of the stream. Each
        iteration begins where the loader stands, and leaves the loader there, as nothing says which
        of the batches that workers made ahead have been used. `state_after` gives the state to
        save; `set_state` decides where the next iteration begins.

        Raises:
          GatoDataError: PyTorch is not installed.
        """
        found = _adapter("torch", "PyTorch").as_dataset(self)
        self._taken_by = "PyTorch"
        return found


def _adapter(package: str, name: str) -> Any:
    """The module that hands batches to a framework. Raises GatoDataError: it is missing."""
    try:
        return importlib.import_module(f"gato_data.loading.{package}")
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise GatoDataError(
            f"{name} is not installed: pip install {package}. The loader itself needs it not: it "
            "yields numpy arrays."
        ) from None


def load(
    source: Wanted,
    *,
    batch_size: int,
    seed: int = 0,
    split: str = "train",
    datasets: Sequence[str] | None = None,
    weights: Mapping[str, float] | None = None,
    within: str = "sequences",
    epochs: int | None = None,
    drop_last: bool = False,
    images: str = "dense",
    patch_budget: int | None = None,
    data_shards: int | None = None,
    training: bool | None = None,
    loss: Mapping[str, int] | None = None,
    provenance: bool = False,
    process_index: int | None = None,
    process_count: int | None = None,
    workers: int = 1,
    prefetch: int = 2,
    verify: bool = False,
    cache: str | os.PathLike[str] | None = None,
    cache_bytes: int = DEFAULT_BYTES,
) -> Loader:
    """Batches of built data sets: numpy arrays of static shapes, in a seeded order.

    Each sequence of a batch comes from a data set with the probability of its weight, independently
    of the others. Inside a data set the order goes through all sequences of the first pass, then of
    the second, and so on, each shuffled; then again, shuffled anew. The order is a function of the
    seed, the weights and the list of shards alone.

    B = `batch_size` over the number of processes, L = the sequence length of the build, S and P =
    `data_shards` of this process and `patch_budget`.

    | field | type | meaning |
    | --- | --- | --- |
    | `tokens` | int32 [B, L] | ids, see `vocabulary` in the manifest |
    | `targets` | int32 [B, L] | the token after each: `tokens[:, 1:]`; 0 in the last place |
    | `modality` | uint8 [B, L] | padding, text, image, discrete, continuous, separator: 0 to 5 |
    | `loss_mask` | uint8 [B, L] | 1 where `targets` counts; 0 at the end and between documents |
    | `local_position` | int16 [B, L] | 0 to 511 in an observation, 512 actions, -1 none |
    | `timestep` | int32 [B, L] | step in its episode, -1 none |
    | `segment` | int16 [B, L] | number of the packed document, -1 padding |
    | `prompt_length` | int32 [B] | leading tokens that are prompt |
    | `valid` | bool [B] | False for rows without a sequence |
    | `patches` | uint8 [B, L, 768] or [S, P, 768] | pixels, 16 x 16 x 3, row-major |
    | `patch_row`, `patch_column` | uint8 [B, L] or [S, P] | positions of the patches, 0 to 127 |
    | `patch_index` | int32 [B, L] | packed: place in the block of its shard, -1 no patch |

    Patches are there when a data set has images. `images="dense"` puts each in the place of its
    token, with zeros elsewhere. `images="packed"` puts those of the rows of a data shard side by
    side into its block: the rows of shard s are [s * B / S, (s + 1) * B / S). Rows without a
    sequence are padding throughout, with no loss. The arrays belong to the caller.

    Args:
      source: the directory of a finished build; several of them; a mapping of directories to
        weights, or to {"weight": w, "datasets": {name: w}}; or a YAML file of such a mapping.
        Weights of several directories that are only listed are those of their data sets.
      batch_size: sequences of a batch, all processes together.
      seed: of the order and of the positions of patches.
      split: "train" or "validation".
      datasets: names of data sets; None: all.
      weights: of data sets by name, which leaves out those that are not named; None: those of the
        manifests.
      within: "sequences": uniform over the sequences of a data set; "tasks": uniform over its
        tasks, then over the sequences of the task.
      epochs: how often to go through all sequences of all data sets, each as likely as any other,
        whatever the weights, and no batch has sequences of two; None: a mixture by weights, without
        end.
      drop_last: whether to leave out the last batch of an epoch where it has empty rows.
      images: "dense", "packed" or "none", see above.
      patch_budget: P, packed patches of a data shard, at least L. A sequence that does not fit is
        the first of the next batch. None: so many
        that a batch without carry-over rarely exceeds it.
      data_shards: of all processes together; None: one for each process.
      training: whether positions of patches are drawn, rather than the rounded means of their
        intervals; None: if the split is "train".
      loss: which roles count, {"text": 1, "action": 1, "prompt": 1} or some of them; what is not
        named counts as in the build.
      provenance: whether to add `sequence_id`, `dataset`, `task`, `agent`, `episode_id` and
        `prompt_episode_id`, each [B] of str.
      process_index, process_count: of this process; None: as JAX, PyTorch or TensorFlow have them,
        or one.
      workers: threads that make batches ahead; 0: each batch is made when it is asked for.
      prefetch: batches made ahead, by each thread.
      verify: whether to compare the checksums of all shards first.
      cache: folder of this machine for copies of shards of remote directories, which several
        processes may share; None: `gato-data` in the user's folder for caches.
      cache_bytes: bytes of all copies together, at most.

    Raises:
      UsageError: there is no such build, split or data set; a shard is missing or not as it was
        written; a weight is no positive number; or the numbers make no batch.
      GatoDataError, OSError: when a batch is made, a shard cannot be read.
    """
    seed, batch_size = _integer("seed", seed), _integer("batch_size", batch_size)
    epochs = None if epochs is None else _integer("epochs", epochs)
    if epochs is not None and epochs < 1:
        raise UsageError(f"epochs is {epochs}: give at least 1, or None to go on without end.")
    if epochs is not None and weights is not None:
        raise UsageError(
            "epochs goes through all sequences, and weights draws from them: give one of the two."
        )
    if images not in _LAYOUTS:
        raise UsageError(f"images is {images!r}: choose one of {', '.join(_LAYOUTS)}.")
    for name, value, least in (("workers", workers, 0), ("prefetch", prefetch, 1)):
        if value < least:
            raise UsageError(f"{name} is {value}, but must be at least {least}.")
    host = find_host(process_index, process_count)
    sources = read_sources(source, split, datasets, weights)
    first = sources[0].build
    has_images = images != "none" and any(one.build.has_images([one.dataset]) for one in sources)
    shards_count = host.count
    if images == "packed" and data_shards is not None:
        shards_count = data_shards
    room = Room(batch_size, shards_count)
    check_room(room, host.count, first.length)
    if has_images and images == "packed":
        if patch_budget is None:
            images_of_sequences = _image_moments(sources, epochs is not None)
            patch_budget = default_budget(
                *images_of_sequences, batch_size // shards_count, first.length
            )
        room = Room(batch_size, shards_count, patch_budget)
        check_room(room, host.count, first.length)
    blocks = any(files.is_remote(one.build.directory) for one in sources)
    parts = make_parts(sources, seed, within=within, by_size=epochs is not None, blocks=blocks)
    rounds = None if epochs is None else Epochs(epochs, len(Order(parts, seed)))
    if rounds is not None and drop_last and rounds.length < batch_size:
        raise UsageError(
            f"{sources[0].build.directory}: {rounds.length} sequences make no batch of "
            f"{batch_size} with drop_last. Choose a smaller batch_size or other data sets."
        )
    located = [Located(one.build, entry) for one in sources for entry in one.entries]
    shards = Shards(located, Cache(cache, cache_bytes) if blocks else None)
    if blocks:
        check_cache(parts, shards, cache_bytes)
    if verify:
        shards.verify()
    shape = BatchShape(
        size=batch_size // host.count,
        length=first.length,
        padding=int(first.manifest["vocabulary"]["padding"]),
        images=images if has_images else "none",
        shards=shards_count // host.count,
        patches=room.patches or 0,
        provenance=provenance,
    )
    is_drawn = split == "train" if training is None else training
    stream = Stream(
        sources=sources,
        parts=tuple(parts),
        seed=seed,
        epochs=rounds,
        room=room,
        drop_last=drop_last,
        host=host,
        shards=shards,
        shape=shape,
        roles=Roles.of(loss),
        positions=PatchPositions(seed if is_drawn else None),
        identity=identity_of(sources, seed, split, within, epochs is not None, blocks),
    )
    return Loader(stream, workers, prefetch)


def _integer(name: str, given: Any) -> int:
    """Also of numpy's integers, which the names of draws are not made of."""
    try:
        return operator.index(given)
    except TypeError:
        raise UsageError(f"{name} is {given!r}, but must be an integer.") from None


def _image_moments(sources: Sequence[Source], by_size: bool) -> tuple[float, float]:
    """Mean and standard deviation of the image tokens of a sequence of the stream."""
    weights = [source.sequences if by_size else source.weight for source in sources]
    mean, square = 0.0, 0.0
    for source, weight in zip(sources, weights, strict=True):
        share = weight / sum(weights) / source.sequences
        for entry in source.entries:
            if entry.image_tokens is not None:
                images = entry.image_tokens.astype(np.float64)
                mean += share * float(images.sum())
                square += share * float((images**2).sum())
    return mean, math.sqrt(max(0.0, square - mean**2))
