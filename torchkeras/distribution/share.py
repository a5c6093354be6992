"""Share: which rows of a batch of the whole job a process trains on."""


class Share:
    """The rows of a global batch that one process takes.

    Rows are split in their order and as evenly as possible: with 7 rows, 3 processes take 3, 2
    and 2. Where there are fewer rows than processes, those at the end are left without; they
    run their step on a copy of one row, a ghost, whose gradient and metrics count for nothing, so
    that every process takes part in every exchange.

    Args:
        rows: int, number of rows that are this process's.
        total: int, number of rows of the batch in all processes together.
        start: int, the first row of this process.
        is_even: bool, whether every process has as many.

    Example:

    >>> from torchkeras.distribution.share import Share
    >>> share = Share.of(7, rank=1, world_size=3)
    >>> share.start, share.rows, share.is_even, share.is_ghost
    (3, 2, False, False)
    """

    __slots__ = ("rows", "total", "start", "is_even")

    def __init__(self, rows, total, start=0, is_even=True):
        self.rows = rows
        self.total = total
        self.start = start
        self.is_even = is_even

    @classmethod
    def of(cls, total, rank, world_size):
        """The share of process `rank` in a batch of `total` rows."""
        base, extra = divmod(total, world_size)
        rows = base + (rank < extra)
        return cls(rows, total, rank * base + min(rank, extra), is_even=not extra)

    @property
    def weight(self):
        """Fraction of the batch, from 0 to 1: what the mean over these rows counts for."""
        return self.rows / self.total if self.total else 0.0

    @property
    def is_ghost(self):
        """Whether the step runs on a copy of a row that is another process's."""
        return self.rows == 0

    @property
    def span(self):
        """`(first row, row behind the last)` to read from the batch; one row for a ghost."""
        return (0, 1) if self.is_ghost else (self.start, self.start + self.rows)

    def __repr__(self):
        return f"<Share {self.rows} of {self.total} rows from {self.start}>"
