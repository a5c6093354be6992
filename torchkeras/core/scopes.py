"""The flags that every read of a weight and every call look at, and StatelessScope.

`SCOPE` is one object with plain attributes, because a weight is read and a layer called many
times a step. Each thread has its own values, as with torch's autocast: two threads that serve
one mixed-precision model must not close each other's scopes. A thread-local read costs 30 ns
more than a plain one.
"""

import contextlib
import threading


class FastToken:
    """Identity that says: layers prepared for exactly this situation may take their fast path."""


class _Tokens:
    """The tokens of the process, by autocast dtype; a layer holds one of them."""

    __slots__ = ("by_dtype",)

    def __init__(self):
        self.by_dtype = {}


_TOKENS = _Tokens()


class _Scope(threading.local):
    def __init__(self):
        # In the instance and not in the class: torch.compile guards the absence of what a trace
        # then sets, and the next trace in the process would fail by it.
        self.read = None  # None, or a function (variable, tensor) -> tensor
        self.autocast = None  # None, or the torch dtype that float weights are read in
        self.stateless = None  # the innermost StatelessScope
        self.meta = False  # True during shape inference
        self.spec = False  # True where calls on symbols record nothing
        self.trace = None  # the trace that runs a function on stand-ins of unknown sizes
        self.replica = None  # the Replica whose step runs, in one of several processes
        self.depth = 0  # nesting of layer calls outside their fast path
        self.symbolic = 0  # nesting of SymbolicScopes
        self.remat = ()  # the RematModes of the open RematScopes
        self.recomputes = False  # True inside what is computed once more in the backward pass
        self.fast_token = self.token(None)

    @property
    def tokens(self):
        """The dict of tokens; another one once they were renewed."""
        return _TOKENS.by_dtype

    def token(self, dtype):
        """The token of layers that compute under autocast `dtype` (None: no autocast)."""
        tokens = _TOKENS.by_dtype
        if dtype not in tokens:
            tokens.setdefault(dtype, FastToken())
        return tokens[dtype]

    def renew_tokens(self):
        """Make every layer decide anew whether its fast path is right."""
        _TOKENS.by_dtype = {}
        self.follow_tokens()

    def follow_tokens(self):
        """Go over to the tokens of now, which an inner scope or a thread may have renewed."""
        self.fast_token = self.token(self.autocast)


SCOPE = _Scope()


def sample_count(rows):
    """`rows`, or 0 where the running step is a ghost's: for layers that count over processes.

    Example:

    >>> keras.distribution.sample_count(4)
    4
    """
    replica = SCOPE.replica
    return 0 if replica is not None and replica.share.is_ghost else rows


def gradient_weight():
    """What this process's gradients count for, against those of the others: 1 as a rule.

    In an uneven step of a `train_step` of the user's own, gradients are weighted when they are
    averaged. A layer that adds up gradients over the processes in its backward pass multiplies by
    this number before, and divides by it afterwards; it is read in the forward pass.

    Example:

    >>> keras.distribution.gradient_weight()
    1.0
    """
    replica = SCOPE.replica
    return 1.0 if replica is None else replica.gradient_weight()


def _read_autocast(variable, tensor):
    dtype = SCOPE.autocast
    if variable.autocast and tensor.is_floating_point() and tensor.dtype is not dtype:
        return tensor.to(dtype)
    return tensor


def _read_meta(variable, tensor):
    if tensor.device.type != "meta":
        tensor = tensor.detach().to("meta")
    return _read_autocast(variable, tensor) if SCOPE.autocast is not None else tensor


def _choose_reader():
    if SCOPE.meta:
        return _read_meta
    return _read_autocast if SCOPE.autocast is not None else None


@contextlib.contextmanager
def autocast_scope(dtype):
    """Inside, float weights that allow it are read in `dtype` (a torch dtype, or None)."""
    previous = SCOPE.autocast, SCOPE.read
    SCOPE.autocast = dtype
    SCOPE.read = _choose_reader()
    SCOPE.follow_tokens()
    try:
        yield
    finally:
        SCOPE.autocast, SCOPE.read = previous
        SCOPE.follow_tokens()


@contextlib.contextmanager
def meta_scope(active=True):
    """Inside, weights are read as meta tensors and `assign` does nothing: shapes only.

    With `active=False` an outer scope is lifted meanwhile, to create a weight that is to last.
    """
    previous = SCOPE.meta, SCOPE.read
    SCOPE.meta = active
    SCOPE.read = _choose_reader()
    try:
        yield
    finally:
        SCOPE.meta, SCOPE.read = previous


@contextlib.contextmanager
def spec_scope():
    """Inside, calls on KerasTensors give KerasTensors and leave no trace: specs only.

    No Node is recorded and no automatic name used up, weights may stand beside symbols in a
    torch function, and whatever `meta_scope` does holds, too. A symbol then answers `dtype` with a
    torch dtype and has a `device`, since the code that meets it was written for tensors.

    Example:

    >>> from torchkeras.core.scopes import spec_scope
    >>> with spec_scope():
    ...     y = torch.relu(keras.KerasTensor((None, 3))) @ torch.ones(3, 2)
    >>> y.shape
    (None, 2)
    """
    previous, SCOPE.spec = SCOPE.spec, True
    try:
        with meta_scope():
            yield
    finally:
        SCOPE.spec = previous


class SymbolicScope:
    """Marks code that runs for shapes and dtypes, not for values.

    Operations called on KerasTensors are recorded with and without it; it is for code of one's
    own that asks `in_symbolic_scope()`, which is true while shapes are inferred, too.

    Example:

    >>> from torchkeras.core.scopes import in_symbolic_scope
    >>> with keras.SymbolicScope():
    ...     print(in_symbolic_scope())
    True
    """

    def __enter__(self):
        SCOPE.symbolic += 1
        return self

    def __exit__(self, *exc):
        SCOPE.symbolic -= 1


def in_symbolic_scope():
    """Whether a SymbolicScope is open, or shapes are inferred.

    Example:

    >>> from torchkeras.core.scopes import in_symbolic_scope
    >>> in_symbolic_scope()
    False
    """
    return SCOPE.symbolic > 0 or SCOPE.spec or SCOPE.meta


def _checked(variable, value):
    """A pair of a StatelessScope's mapping, the value as a tensor for the variable's slot."""
    if not hasattr(type(variable), "_as_slot_value"):
        raise ValueError(
            "The keys of a StatelessScope's mapping must be keras Variables. Received: "
            f"{variable!r} of type {type(variable).__name__}. Pass (variable, value) pairs."
        )
    return variable, variable._as_slot_value(value)


class StatelessScope:
    """Run code in which variables hold given values, and changes stay inside.

    While the scope is open each variable of `state_mapping` holds its value, and `assign`
    puts a new tensor in place of the old one instead of writing into it. On leaving, every
    variable touched holds again what it held before. Other threads see the values too, so one
    thread at a time may use a model in this way.

    Args:
        state_mapping: list of `(variable, value)` pairs.
        collect_losses: bool, whether `losses` collects what `add_loss` is given.
        initialize_variables: kept for Keras's signature; variables always have a value.

    Raises:
        ValueError: a key is no Variable, or a value has another shape than its variable.

    Example:

    >>> v = keras.Variable(1.0)
    >>> with keras.StatelessScope([(v, torch.tensor(5.0))]) as scope:
    ...     _ = v.assign_add(1.0)
    >>> v.value.item(), scope.get_current_value(v).item()
    (1.0, 6.0)
    """

    def __init__(self, state_mapping=None, collect_losses=False, initialize_variables=True):
        self.state_mapping = [_checked(*pair) for pair in state_mapping or ()]
        self.collect_losses = collect_losses
        self.losses = []
        self._before = {}
        self._after = {}
        self._outer = None

    def add_loss(self, loss):
        """Keep a loss made inside the scope."""
        self.losses.append(loss)

    def set(self, variable, tensor):
        """Let `variable` hold `tensor` until the scope ends."""
        for holder in variable._holders():  # one weight under two names changes under both
            store, key = holder._store, holder._key
            slot = (id(store), key)
            if slot not in self._before:
                self._before[slot] = (store, key, store[key])
            store[key] = tensor

    def get_current_value(self, variable):
        """What `variable` holds in the scope (or held at its end); None if untouched.

        Before the scope is entered, what it will hold.
        """
        slot = (id(variable._store), variable._key)
        if slot in self._after:
            return self._after[slot]
        if slot in self._before:
            return variable._store[variable._key]
        return next((value for v, value in self.state_mapping if v is variable), None)

    def __enter__(self):
        self._outer, SCOPE.stateless = SCOPE.stateless, self
        try:
            for variable, tensor in self.state_mapping:
                self.set(variable, tensor)
        except Exception:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        SCOPE.stateless = self._outer
        for slot, (store, key, before) in self._before.items():
            self._after[slot] = store[key]
            store[key] = before
        self._kept_alive = [entry[0] for entry in self._before.values()]
        self._before = {}
