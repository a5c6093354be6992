"""EpochIterator: the batches of one epoch after another, from any kind of data."""

import contextlib
import copy
import itertools
import operator
import warnings

import torch

from torchkeras.core import config
from torchkeras.distribution.random_state import get_random_states, set_random_states
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
        records: bool, whether to note where epochs and passes begin, which `position` tells.

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
        self.records = False
        self._steps_in_epoch = 0
        self._steps_before = 0  # of this epoch, in the run that this one goes on with
        self._epoch_start = self._pass_start = None

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
            self._pass = self._new_pass()
        first = next(self._pass, None)
        if first is None:
            return None
        self._pass = itertools.chain([first], self._pass)
        self.data_adapter.close()  # workers start again after `on_epoch_begin`
        return first

    def example(self):
        """A batch to learn shapes from: the next one, or where the epoch is over the first one.

        What is given next stays the same; the random generators move on. None if there is none.

        Example:

        >>> epochs = EpochIterator([1.0, 2.0])
        >>> epochs.example(), len(list(epochs.enumerate_epoch()))
        ((tensor([1., 2.]),), 1)
        """
        batch, adapter = None if self.is_over else self.peek(), self.data_adapter
        if batch is None and not adapter.one_shot:
            state, source = adapter.pass_state(), adapter.source_state()
            batch = next(iter(adapter.batches()), None)
            adapter.close()
            adapter.set_pass_state(state)
            adapter.set_source_state(source)
        return batch

    def enumerate_epoch(self, before_end=None):
        """A generator over one epoch: `(step, batch)`, `step` from 0, `batch` a tuple.

        Closed before its end (a `break` in the loop), it ends the epoch there and releases the
        workers; after an error the hook `on_epoch_end` of the data is not called.

        Args:
            before_end: function that is called after the last batch, while `position` is still
                that of the end of this epoch; not where the generator is closed.

        Example:

        >>> next(EpochIterator([1.0, 2.0], batch_size=1).enumerate_epoch())
        (0, (tensor([1.]),))
        """
        if not self._steps_before:
            if self.records:
                self._epoch_start = get_random_states()
            self.data_adapter.on_epoch_begin()
        try:
            if self.steps_per_epoch is None:
                yield from self._whole_pass()
            else:
                yield from self._given_steps()
            if before_end is not None:
                before_end()
            if self.steps_per_epoch is None:
                self._note_whole_pass()
            else:
                self._note_given_steps()
        except GeneratorExit:
            self._end_epoch()
            raise
        except BaseException:
            self._drop_pass()
            self.data_adapter.close()
            raise
        self._end_epoch()

    def _end_epoch(self):
        self._steps_in_epoch = 0
        if self.steps_per_epoch is None:
            self._drop_pass()
        self.data_adapter.on_epoch_end()

    def _whole_pass(self):
        batches, self._pass = self._pass, None  # begun by `peek`, or in another run
        if batches is None:
            batches = self._new_pass()
        self._steps_in_epoch, self._steps_before = self._steps_before, 0
        for item in enumerate(batches, self._steps_in_epoch):
            self._steps_in_epoch = item[0] + 1
            yield item

    def _note_whole_pass(self):
        self._found_batches = self._steps_in_epoch
        if self.data_adapter.one_shot:
            self.exhausted = True
            if not self._steps_in_epoch:
                self._warn_exhausted("a further epoch")

    def _given_steps(self):
        going_on = self._pass is not None
        self._steps_in_epoch, self._steps_before = self._steps_before, 0
        yield from self._steps_of_pass()
        if self._steps_in_epoch == 0 and going_on and not self.data_adapter.one_shot:
            # The pass had ended with the last epoch, which its unknown length did not show.
            self._drop_pass()
            yield from self._steps_of_pass()

    def _note_given_steps(self):
        done = self._steps_in_epoch
        if done < self.steps_per_epoch:
            self._drop_pass()
            self.exhausted = self.data_adapter.one_shot
            self._warn_short(done)
        elif self._steps_in_pass == self.data_adapter.num_batches:
            self._drop_pass()

    def _steps_of_pass(self):
        if self._pass is None:
            self._pass = self._new_pass()
        before = self._steps_in_epoch
        for item in enumerate(itertools.islice(self._pass, self.steps_per_epoch - before), before):
            self._steps_in_epoch = item[0] + 1
            self._steps_in_pass += 1
            yield item

    def _new_pass(self):
        if self.records:
            self._pass_start = get_random_states(), self.data_adapter.pass_state()
        return iter(self.data_adapter.batches())

    def _drop_pass(self):
        self._pass = self._pass_start = None
        self._steps_in_pass = 0

    @property
    def is_within_epoch(self):
        """Whether steps of an epoch that has not ended were given."""
        return self._steps_in_epoch > 0

    @property
    def is_over(self):
        """Whether another run has given all steps of the next epoch; False if that is unknown."""
        return bool(self.steps_per_epoch) and self._steps_before >= self.steps_per_epoch

    def position(self):
        """Where the data is, for a run that goes on from here; `records` must have been set.

        Random generators as they were where the epoch and the pass began, the steps since then,
        and what the source tells of itself.

        Example:

        >>> epochs = EpochIterator(np.arange(6.0), batch_size=2, shuffle=True)
        >>> epochs.records = True
        >>> steps = epochs.enumerate_epoch()
        >>> first, position, rest = next(steps), epochs.position(), [x for _, (x,) in steps]
        >>> epochs.go_on(position)
        >>> torch.equal(torch.cat(rest), torch.cat([x for _, (x,) in epochs.enumerate_epoch()]))
        True
        """
        random_states, pass_state = self._pass_start or (None, self.data_adapter.pass_state())
        whole = self.steps_per_epoch is None
        return {
            "steps": self._steps_in_epoch,
            "steps_in_pass": self._steps_in_epoch if whole else self._steps_in_pass,
            "epoch_random": self._epoch_start if self._steps_in_epoch else None,
            "pass_random": random_states,
            "pass_state": pass_state,
            "source": self.data_adapter.source_state(),
        }

    def go_on(self, position):
        """Make the next epoch the rest of the one that was under way at `position`.

        The pass is begun once more, with the random numbers it had, and read up to there. The
        generators afterwards are as they were. A source that can be read only once goes on with
        the batch that it gives next.

        Args:
            position: dict that `position` gave, of the same data and arguments.
        """
        with self._source_kept():
            self._go_on(position)

    @contextlib.contextmanager
    def _source_kept(self):
        """Inside, an error gives the source of the data the state back that it had, if it can."""
        adapter = self.data_adapter
        before = copy.deepcopy((adapter.pass_state(), adapter.source_state()))
        try:
            yield
        except BaseException:
            self._steps_before = self._steps_in_epoch = 0
            with contextlib.suppress(Exception):
                adapter.set_pass_state(before[0])
                adapter.set_source_state(before[1])
            raise

    def _go_on(self, position):
        adapter, states = self.data_adapter, get_random_states()
        self._steps_before = self._steps_in_epoch = position["steps"]
        if adapter.one_shot:
            if position["source"] is not None:
                self._drop_pass()  # of a batch that was looked at
                adapter.set_source_state(position["source"])
            return
        self.reset()
        try:
            if position["epoch_random"] is not None:
                set_random_states(position["epoch_random"])
                self._epoch_start = position["epoch_random"]
                adapter.on_epoch_begin()
            adapter.set_pass_state(position["pass_state"])
            if position["pass_random"] is None:
                adapter.set_source_state(position["source"])
                return
            set_random_states(position["pass_random"])
            self._pass = iter(adapter.resumed(position["steps_in_pass"], position["source"]))
            self._pass_start = position["pass_random"], position["pass_state"]
            self._steps_in_pass = position["steps_in_pass"]
        finally:
            set_random_states(states)

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
        if isinstance(steps, bool):
            raise TypeError("a bool")
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
