"""Gradients in the style of TensorFlow (GradientTape) and of JAX (value_and_grad, grad)."""

import contextlib

import torch
from torch.autograd.graph import get_gradient_edge

from torchkeras.core import tree
from torchkeras.core.variable import Variable

_open_tapes = []


class GradientTape:
    """Records a computation so that gradients can be asked for, as `tf.GradientTape` does.

    Trainable variables, and tensors that require gradients, are watched by themselves; other
    tensors after `watch`. What was watched has its own `requires_grad` again when the tape closes.

    Args:
        persistent: bool, whether gradients may be asked for more than once.
        watch_accessed_variables: bool; only True, since torch records trainable variables anyway.

    Raises:
        ValueError: `watch_accessed_variables` is False.

    Source: the interface of `tf.GradientTape`, over `torch.autograd`.

    Example:

    >>> x = keras.Variable(3.0)
    >>> with keras.autograd.GradientTape() as tape:
    ...     y = x**2
    >>> tape.gradient(y, x)
    tensor(6.)

    Nested tapes give higher derivatives:

    >>> time = torch.tensor(2.0)
    >>> with keras.autograd.GradientTape() as outer:
    ...     outer.watch(time)
    ...     with keras.autograd.GradientTape() as inner:
    ...         inner.watch(time)
    ...         position = 4.9 * time**2
    ...     speed = inner.gradient(position, time)
    >>> float(outer.gradient(speed, time))
    9.800000190734863
    """

    def __init__(self, persistent=False, watch_accessed_variables=True):
        if not watch_accessed_variables:
            raise ValueError(
                "Trainable variables are always recorded. Received: "
                "watch_accessed_variables=False. Ask for gradients of the sources you want alone."
            )
        self._persistent = persistent
        self._edges = {}  # id of a watched tensor -> where its gradient arrives
        self._watched = []
        self._used = False
        self._grad_mode = None

    def __enter__(self):
        self._grad_mode = torch.is_grad_enabled()
        torch.set_grad_enabled(True)  # by a function, which torch.compile can trace
        _open_tapes.append(self)
        return self

    def __exit__(self, *exc):
        _open_tapes.remove(self)
        torch.set_grad_enabled(self._grad_mode)
        for tensor, required in reversed(self._watched):
            if not required and tensor.is_leaf:
                tensor.requires_grad_(False)

    def watch(self, tensor):
        """Record what is computed from a tensor, or from each of a structure of tensors.

        Args:
            tensor: float tensor or Variable, or nested structure of them.

        Raises:
            TypeError: not a tensor.
            ValueError: an integer or boolean tensor.
        """
        for leaf in tree.flatten(tensor):
            leaf = _tensor_of(leaf, "watch")
            if not (leaf.is_floating_point() or leaf.is_complex()):
                raise ValueError(
                    "Only tensors of floats can be watched. Received: a tensor of dtype "
                    f"{leaf.dtype}. Cast it first, with keras.ops.cast."
                )
            self._watched.append((leaf, leaf.requires_grad))
            if not leaf.requires_grad:
                leaf.requires_grad_(True)
            # The edge stays good when `requires_grad` is switched off again.
            self._edges[id(leaf)] = get_gradient_edge(leaf)

    def watched_variables(self):
        """The tensors given to `watch`."""
        return tuple(tensor for tensor, _ in self._watched)

    def reset(self):
        """Forget everything recorded so far."""
        for tensor, required in reversed(self._watched):
            if not required and tensor.is_leaf:
                tensor.requires_grad_(False)
        self._edges, self._watched, self._used = {}, [], False

    def gradient(self, target, sources, output_gradients=None, unconnected_gradients="none"):
        """Gradient of the sum of `target` with respect to each source.

        Args:
            target: tensor, or structure of tensors that are summed.
            sources: Variable or tensor, or nested structure of them.
            output_gradients: tensors to weight the elements of `target` with, or None for ones.
            unconnected_gradients: `"none"` gives None for a source that `target` does not depend
                on, `"zero"` gives zeros.

        Returns:
            Tensors in the structure of `sources`.

        Raises:
            RuntimeError: a second call on a tape that is not persistent.
        """
        self._use()
        flat = [_tensor_of(source, "gradient") for source in tree.flatten(sources)]
        targets = [_tensor_of(t, "gradient") for t in tree.flatten(target)]
        weights = [None] * len(targets)
        if output_gradients is not None:
            weights = tree.flatten(output_gradients)
        pairs = [
            (t, torch.ones_like(t) if w is None else w)
            for t, w in zip(targets, weights, strict=True)
            if t.requires_grad
        ]
        found = self._differentiate(pairs, flat) if pairs else [None] * len(flat)
        if _wants_zeros(unconnected_gradients):
            filled = zip(flat, found, strict=True)
            found = [torch.zeros_like(s) if g is None else g for s, g in filled]
        return tree.pack_sequence_as(sources, found)

    def _differentiate(self, pairs, sources, batched=False):
        inputs, places = [], []
        for place, source in enumerate(sources):
            if id(source) in self._edges:
                inputs.append(self._edges[id(source)])
            elif source.requires_grad:
                inputs.append(source)
            else:
                continue
            places.append(place)
        found = [None] * len(sources)
        if not inputs:
            return found
        create_graph = bool(_open_tapes)
        gradients = torch.autograd.grad(
            [target for target, _ in pairs],
            inputs,
            [weight for _, weight in pairs],
            retain_graph=self._persistent or create_graph,
            create_graph=create_graph,
            allow_unused=True,
            is_grads_batched=batched,
        )
        for place, gradient in zip(places, gradients, strict=True):
            found[place] = gradient
        return found

    def jacobian(self, target, sources, unconnected_gradients="none"):
        """Jacobian of `target` with respect to each source.

        Args:
            target: tensor.
            sources: Variable or tensor, or nested structure of them.
            unconnected_gradients: as in `gradient`.

        Returns:
            Tensors of shape `target.shape + source.shape`, in the structure of `sources`.

        Example:

        >>> x = torch.tensor([1.0, 2.0])
        >>> with keras.autograd.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = x**2
        >>> tape.jacobian(y, x)
        tensor([[2., 0.],
                [0., 4.]])
        """
        self._use()
        flat = [_tensor_of(source, "jacobian") for source in tree.flatten(sources)]
        target = _tensor_of(target, "jacobian")
        rows = [None] * len(flat)
        if target.requires_grad:
            count = target.numel()
            directions = torch.eye(count, dtype=target.dtype, device=target.device)
            directions = directions.reshape(count, *target.shape)
            rows = self._differentiate([(target, directions)], flat, batched=True)
        zero = _wants_zeros(unconnected_gradients)
        found = []
        for source, row in zip(flat, rows, strict=True):
            shape = (*target.shape, *source.shape)
            if row is not None:
                found.append(row.reshape(shape))
            else:
                found.append(source.new_zeros(shape) if zero else None)
        return tree.pack_sequence_as(sources, found)

    def _use(self):
        if self._used and not self._persistent:
            raise RuntimeError(
                "A tape gives gradients once. Received: a second request. Make it with "
                "GradientTape(persistent=True)."
            )
        self._used = True


def _wants_zeros(unconnected_gradients):
    # TensorFlow's users also write an enum here, whose value is the word.
    word = getattr(unconnected_gradients, "value", unconnected_gradients)
    if word not in ("none", "zero"):
        raise ValueError(
            "`unconnected_gradients` must be 'none' or 'zero'. Received: "
            f"unconnected_gradients={unconnected_gradients!r}."
        )
    return word == "zero"


def _tensor_of(x, method):
    if isinstance(x, Variable):
        return x._store[x._key]
    if isinstance(x, torch.Tensor):
        return x
    raise TypeError(
        f"GradientTape.{method} works on tensors and Variables. Received: {x!r} of type "
        f"{type(x).__name__}. Convert it with keras.ops.convert_to_tensor."
    )


def value_and_grad(fn, argnums=0, has_aux=False):
    """A function that returns the value of `fn` and its gradients, in JAX's order.

    Nothing that is passed in is changed, and no gradient is left in any `.grad`.

    Args:
        fn: function that returns a scalar tensor, or `(scalar, aux)`.
        argnums: int or tuple of ints, the positional arguments to differentiate by. An argument
            may be a nested structure of tensors and Variables.
        has_aux: bool, whether `fn` returns auxiliary data with the scalar.

    Returns:
        Function with the arguments of `fn`, returning `(value, gradients)`, or
        `((value, aux), gradients)` with `has_aux`. Gradients have the structure of the argument;
        of a tuple `argnums` they are a tuple.

    Source: the interface of `jax.value_and_grad`, over `torch.func`.

    Example:

    >>> f = keras.autograd.value_and_grad(lambda x, y: (x * y).sum(), argnums=(0, 1))
    >>> f(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    (tensor(11.), (tensor([3., 4.]), tensor([1., 2.])))
    """
    aux = []

    def scalar_first(*args, **kwargs):
        # torch.func takes only tensors as auxiliary data; the rest waits here.
        if not has_aux:
            return fn(*args, **kwargs)
        value, extra = fn(*args, **kwargs)
        leaves = tree.flatten(_without_variables(extra))
        aux.append((extra, leaves))
        return value, [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    differentiated = torch.func.grad_and_value(scalar_first, argnums=argnums, has_aux=has_aux)

    def call(*args, **kwargs):
        args, kwargs = _without_variables((args, kwargs))
        # torch.func records what it differentiates also under no_grad; in the outermost call
        # everything else would be recorded in vain.
        outermost = torch._C._functorch.peek_interpreter_stack() is None
        with torch.no_grad() if outermost else contextlib.nullcontext():
            gradients, value = differentiated(*args, **kwargs)
        if has_aux:
            value, tensors = value
            extra, leaves = aux.pop()
            tensors = iter(tensors)
            leaves = [next(tensors) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            value = (value, tree.pack_sequence_as(extra, leaves))
        return value, gradients

    return call


def grad(fn, argnums=0, has_aux=False):
    """A function that returns the gradients of `fn`, in JAX's order.

    Args:
        fn, argnums, has_aux: as in `value_and_grad`.

    Returns:
        Function with the arguments of `fn`, returning the gradients, or `(gradients, aux)`.

    Example:

    >>> keras.autograd.grad(lambda x: x**3)(torch.tensor(2.0))
    tensor(12.)
    """
    differentiated = value_and_grad(fn, argnums=argnums, has_aux=has_aux)

    def call(*args, **kwargs):
        value, gradients = differentiated(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return call


def _without_variables(structure):
    """`structure` with the tensors of Variables, and Parameters cut off from their `.grad`."""

    def tensor(x):
        if isinstance(x, Variable):
            x = x.value
        return x.detach() if isinstance(x, torch.nn.Parameter) else x

    return tree.map_structure(tensor, structure)
