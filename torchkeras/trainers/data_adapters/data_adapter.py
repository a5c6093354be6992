"""DataAdapter: what every source of batches offers to the training loop."""


class DataAdapter:
    """Base class of the readers that turn one kind of data into batches.

    A batch is a tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)`. A subclass defines
    `batches()`; the other members have defaults for a source of unknown length.

    Attributes:
        bare_batches: bool, True where Keras would hand `train_step` the inputs alone instead
            of a tuple of one: the source gave `x` with nothing around it.
        one_shot: bool, True if the source can be read only once (a generator).
        is_divided: bool, whether each process of a job gives batches of its own.
        sampler: the sampler that has divided the data among the processes before, or None.
        share: Share of the last batch, where each process takes a part of it; else None.

    Example:

    >>> from torchkeras.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
    >>> adapter = ArrayDataAdapter(np.zeros((5, 2)), batch_size=2)
    >>> [x.shape[0] for (x,) in adapter.batches()]
    [2, 2, 1]
    """

    bare_batches = False
    one_shot = False
    share = None
    is_divided = False
    sampler = None

    def batches(self):
        """An iterator over one full pass of the data; each call starts a new pass."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `batches()`, an iterator over the batches of one "
            "pass. Received: a call of the base method. Override it in the subclass."
        )

    @property
    def num_batches(self):
        """Batches in one pass, or None where that is not known before the end."""
        return None

    def on_epoch_begin(self):
        """Called before the first batch of each epoch."""

    def on_epoch_end(self):
        """Called after the last batch of each epoch."""

    def pass_state(self):
        """What beside the global random generators decides on the next pass, of plain values."""
        return {}

    def set_pass_state(self, state):
        """Make the next pass the one before which `pass_state` gave `state`."""

    def source_state(self):
        """What the source tells of itself by a `state_dict` of its own, now; else None."""
        return None

    def set_source_state(self, state):
        """Give the source what `source_state` gave; of None nothing is told."""

    def resumed(self, count, source):
        """The rest of a new pass, an iterator, after its first `count` batches.

        Where the next pass and the generators are those of another run, so is the rest. Here the
        batches are read and dropped; adapters that can skip them do.

        Args:
            count: int, at least 1.
            source: what `source_state` gave after these batches.

        Example:

        >>> from torchkeras.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
        >>> list(ArrayDataAdapter(np.arange(5.0), batch_size=2).resumed(2, None))
        [(tensor([4.]),)]
        """
        batches = iter(self.batches())
        for _ in range(count):
            next(batches, None)
        self.set_source_state(source)
        return batches

    def close(self):
        """Release workers; the adapter can be read again afterwards."""
