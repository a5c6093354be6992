"""DatasetAdapter: batches of a `keras.data.Dataset`."""

from torchkeras.data import stages
from torchkeras.data.seeds import Seeds, begun, pass_state, set_pass_state
from torchkeras.distribution import process_group
from torchkeras.trainers.data_adapters import agreement
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter
from torchkeras.trainers.data_adapters.sharded_data_adapter import moved


class DatasetAdapter(DataAdapter):
    """Batches of a `keras.data.Dataset`, in a new order for each pass if it shuffles.

    In several processes all read in the order that process 0 draws. Where batches are made last,
    of elements with numbers, each process reads its own rows alone.

    Args:
        dataset: Dataset, whose elements are batches.
        class_weight: dict of class index to weight, or None.
        device: torch device of the batches, or None to leave them where they are.
        shard: `(number, count)`: which of how many parts of each batch, if `has_parts`.
        agrees: bool, whether all processes read the same dataset.
        counted: bool, whether steps are counted elsewhere, so that it may be endless.

    Raises:
        ValueError: the dataset is empty, or endless and not counted; with `agrees`, when an epoch
            begins and in all processes, that they were given different ones.

    Example:

    >>> from torchkeras.trainers.data_adapters.dataset_adapter import DatasetAdapter
    >>> dataset = keras.data.Dataset.range(5).batch(4)
    >>> list(DatasetAdapter(dataset, shard=(1, 2)).batches())
    [(tensor([2, 3]),), (tensor([4]),)]
    """

    def __init__(
        self, dataset, class_weight=None, device=None, shard=None, agrees=False, counted=False
    ):
        self._stage = dataset._stage
        self._class_weight = class_weight
        self._device = utils.full_device(device)
        self._shard = shard
        self._agrees = agrees
        self._is_compared = False
        count = self._stage.cardinality
        if count == 0:
            raise ValueError(
                "The data must give at least one batch. Received: a Dataset without elements. "
                "Check what `take`, `skip`, `filter` or `drop_remainder` left of it."
            )
        if count == stages.INFINITE and not counted:
            raise ValueError(
                "An endless Dataset needs the number of steps. Received: one that repeats, without "
                "it. Give `steps_per_epoch` (`validation_steps`, or `steps` in `evaluate` and "
                "`predict`), or leave `repeat()` out: each epoch begins a new pass."
            )

    @staticmethod
    def has_parts(dataset):
        """Whether a process can read its rows of each batch without the others."""
        return dataset._stage.has_parts

    @property
    def num_batches(self):
        count = self._stage.cardinality
        return None if count < 0 else count

    def on_epoch_begin(self):
        if not self._agrees or self._is_compared:
            return
        self._is_compared = True
        prints = agreement.gathered(self._stage.fingerprint())
        for rank, fingerprint in enumerate(prints):
            if fingerprint != prints[0]:
                raise _different(
                    f"in process {rank} not the number, kinds and order of files, arrays or steps"
                )
        named = [(f"array {i}", rows) for i, rows in enumerate(self._stage.sample())]
        differences = agreement.differing(named)
        if differences:
            raise _different(agreement.described(differences))

    def pass_state(self):
        return pass_state(self._stage)

    def set_pass_state(self, state):
        set_pass_state(self._stage, state)

    def batches(self):
        seeds = Seeds.of(self._stage)
        if self._agrees:
            seeds = process_group.broadcast_object(seeds)
        elements = begun(self._stage, seeds)
        if self._shard is None:
            for element in elements:
                yield self._convert(element)
            return
        for share, element in elements.parts(self._shard):
            batch = self._convert(element)
            self.share = share
            yield batch

    def _convert(self, element):
        self.bare_batches = utils.is_bare(element)
        batch = utils.as_batch_tuple(element)
        if self._class_weight is not None:
            batch = utils.add_class_weight(batch, self._class_weight)
        return batch if self._device is None else moved(batch, self._device)


def _different(what):
    return ValueError(
        "Every process must be given the same dataset, and takes its rows of each batch. Received: "
        f"{what}, as in process 0. Give a `seed` where files or arrays were shuffled before. "
        f"{agreement.REMEDY}"
    )
