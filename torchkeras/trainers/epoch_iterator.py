"""EpochIterator: the batches of one epoch after another, from any kind of data."""

import itertools
import operator
import warnings

import torch

from torchkeras.core import config
from torchkeras.trainers.data_adapters import get_data_adapter


class EpochIterator:
    """Cuts what the data gives into epochs.

    Without `steps_per_epoch` an epoch is one full pass. With it, an epoch is that many batches,
    and the next one goes on where it ended; a pass that ends within an epoch ends the epoch,
    with one warning, and the next epoch starts a new pass.

    Args:
        x: inputs, or anything that `get_data_adapter` reads.
        y: targets or None.
        sample_weight: weights or None.
        batch_size: int or None (32 for arrays).
        steps_per_epoch: int, at least 1, or None.
        shuffle: bool or `"batch"`.
        class_weight: dict of class index to weight, or None.
        device: torch device of the batches, or None to leave them where they are.
        shard: `(number, count)` to take that one of `count` parts of each batch; None for all.
        divided: bool, whether the data is such a part already.

    Attributes:
        data_adapter: the reader of the data.
        exhausted: bool, True once a source that can be read only once has nothing left.

    Example:

    >>> epochs = EpochIterator(np.arange(5.0), np.arange(5), batch_size=2)
    >>> [(step, x.shape[0]) for step, (x, y) in epochs.enumerate_epoch()]
    [(0, 2), (1, 2), (2, 1)]
    """

    def __init__(
        self,
        x,
        y=None,
        sample_weight=None,
        batch_size=None,
        steps_per_epoch=None,
        shuffle=False,
        class_weight=None,
        device=None,
        shard=None,
        divided=False,
    ):
        steps_per_epoch = _check_steps(steps_per_epoch)
        self.data_adapter = get_data_adapter(
            x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            device=device,
            shard=shard,
            divided=divided,
        )
        # The bound of a dry run cuts epochs short; unlike in Keras it sets no batch size.
        limit = config.max_steps_per_epoch()
        if limit:
            steps_per_epoch = min(limit, steps_per_epoch or limit)
        self.steps_per_epoch = steps_per_epoch
        self.exhausted = False
        self._found_batches = None
        self._pass = None
        self._steps_in_pass = 0
        self._warned = False

    @property
    def num_batches(self):
        """Batches in an epoch, or None while that is unknown."""
        if self.steps_per_epoch:
            return self.steps_per_epoch
        return self.data_adapter.num_batches or self._found_batches

    @property
    def share(self):
        """Share of the last batch that was given, where `shard` is; else None."""
        return self.data_adapter.share

    @property
    def is_divided(self):
        """Whether the data was divided among the processes of a job before it came here."""
        return self.data_adapter.is_divided

    @property
    def is_sampled(self):
        """Whether a sampler has divided the data: it decides on samples and their order."""
        return self.data_adapter.sampler is not None

    @property
    def sampler(self):
        """The DistributedSampler that has divided the data before it came here, or None."""
        sampler = self.data_adapter.sampler
        return sampler if isinstance(sampler, torch.utils.data.DistributedSampler) else None

    @property
    def bare_batches(self):
        """Whether the data gives `x` with no tuple around it, which is then `train_step`'s data.

        Batches of this iterator are tuples all the same. Known for a DataLoader or PyDataset
        once a batch was read.
        """
        return self.data_adapter.bare_batches

    def reset(self):
        """Give up the current pass; the next epoch starts from the first batch.

        A source that can be read only once goes on where it was.
        """
        self._drop_pass()
        self.data_adapter.close()

    def peek(self):
        """The first batch of the next epoch, which still will be its first; None if there is none.

        For building a model before it is trained. A dataset's `on_epoch_begin` comes later.

        Example:

        >>> EpochIterator([1.0, 2.0]).peek()
        (tensor([1., 2.]),)
        """
        if self._pass is None:
            self._pass = iter(self.data_adapter.batches())
        first = next(self._pass, None)
        if first is None:
            return None
        self._pass = itertools.chain([first], self._pass)
        self.data_adapter.close()  # workers start again after `on_epoch_begin`
        return first

    def enumerate_epoch(self):
        """A generator over one epoch: `(step, batch)`, `step` from 0, `batch` a tuple.

        Closed before its end (a `break` in the loop), it ends the epoch there and releases the
        workers; after an error the hook `on_epoch_end` of the data is not called.

        Example:

        >>> next(EpochIterator([1.0, 2.0], batch_size=1).enumerate_epoch())
        (0, (tensor([1.]),))
        """
        self.data_adapter.on_epoch_begin()
        try:
            if self.steps_per_epoch is None:
                yield from self._whole_pass()
            else:
                yield from self._counted_steps()
        except GeneratorExit:
            self.data_adapter.on_epoch_end()
            raise
        except BaseException:
            self._drop_pass()
            self.data_adapter.close()
            raise
        self.data_adapter.on_epoch_end()

    def _whole_pass(self):
        batches = self._pass  # begun by `peek`
        self._drop_pass()
        if batches is None:
            batches = self.data_adapter.batches()
        step = -1
        for item in enumerate(batches):
            step = item[0]
            yield item
        self._found_batches = step + 1
        if self.data_adapter.one_shot:
            self.exhausted = True
            if step < 0:
                self._warn_exhausted("a further epoch")

    def _counted_steps(self):
        going_on = self._pass is not None
        done = yield from self._steps_of_pass()
        if done == 0 and going_on and not self.data_adapter.one_shot:
            # The pass had ended with the last epoch, which its unknown length did not show.
            self._drop_pass()
            done = yield from self._steps_of_pass()
        if done < self.steps_per_epoch:
            self._drop_pass()
            self.exhausted = self.data_adapter.one_shot
            self._warn_short(done)
        elif self._steps_in_pass == self.data_adapter.num_batches:
            self._drop_pass()

    def _steps_of_pass(self):
        if self._pass is None:
            self._pass = iter(self.data_adapter.batches())
        step = -1
        for item in enumerate(itertools.islice(self._pass, self.steps_per_epoch)):
            step = item[0]
            self._steps_in_pass += 1
            yield item
        return step + 1

    def _drop_pass(self):
        self._pass = None
        self._steps_in_pass = 0

    def _warn_short(self, done):
        if self.exhausted and done == 0:
            self._warn_exhausted(f"an epoch of {self.steps_per_epoch} steps")
        elif not self._warned:
            self._warned = True
            warnings.warn(
                f"The data ran out after {done} of steps_per_epoch={self.steps_per_epoch} "
                "steps, so this epoch ends early. Give data for steps_per_epoch * epochs "
                "batches, or lower steps_per_epoch.",
                stacklevel=4,
            )

    def _warn_exhausted(self, wish):
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"The generator has no batch left for {wish}: it can be read only once. Set "
                "steps_per_epoch and let it yield enough, or give a PyDataset or DataLoader.",
                stacklevel=4,
            )


def _check_steps(steps):
    if steps is None:
        return None
    try:
        steps = operator.index(steps)
    except TypeError as error:
        raise TypeError(
            "`steps_per_epoch` must be an integer of at least 1, or None for a whole pass. "
            f"Received: steps_per_epoch={steps!r} of type {type(steps).__name__}."
        ) from error
    if steps < 1:
        raise ValueError(
            "`steps_per_epoch` must be at least 1, or None for a whole pass. Received: "
            f"steps_per_epoch={steps}."
        )
    return steps
