"""LowRankUpdate: LoRA, a learned product of two small weights beside a frozen one."""

from torchkeras import initializers
from torchkeras.layers.weight_arguments import weight_arguments


class LowRankUpdate:
    """The part of Dense, EinsumDense and Embedding for LoRA.

    With it the layer computes with `weight + lora_alpha / lora_rank * a @ b`, where only `a` and
    `b` are trained. Files in Keras's layout have that sum as the weight, and no `a` and `b`; those
    of safetensors have all three.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.
    """

    _lora_weight = "kernel"
    lora_enabled = False

    def _set_lora(self, rank, alpha):
        if rank is not None and (not isinstance(rank, int) or rank < 1):
            raise ValueError(
                f"`lora_rank` must be an int of at least 1, or None. Received: lora_rank={rank!r}."
            )
        self.lora_rank = rank
        self.lora_alpha = rank if alpha is None else alpha

    def _lora_config(self):
        if not self.lora_rank:
            return {}
        return {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha}

    def _lora_shape(self):
        """Shape of the weight that the product is added to."""
        return self._handles[self._lora_weight].shape

    def enable_lora(self, rank, lora_alpha=None, a_initializer="he_uniform", b_initializer="zeros"):
        """Freeze the weight, and learn a product of two small ones that is added to it.

        Args:
            rank: int, at least 1: `a` has so many columns, `b` so many rows.
            lora_alpha: float, `a @ b` counts `lora_alpha / rank` times; None for `rank`.
            a_initializer, b_initializer: initializers, by name or instance.

        Raises:
            ValueError: the layer is not built, has a constraint on the weight, or LoRA already.

        Example:

        >>> layer = keras.layers.Dense(4)
        >>> layer.build((None, 3))
        >>> layer.enable_lora(2)
        >>> [w.name for w in layer.trainable_weights]
        ['bias', 'lora_kernel_a', 'lora_kernel_b']
        """
        name = self._lora_weight
        arguments = weight_arguments(self, name)
        reason = None
        if arguments["constraint"] is not None:
            reason = f"has a `{name}_constraint`, which a sum of weights would not keep"
        elif name not in self._handles:
            reason = "is not built; call it on data, or `build(input_shape)`, first"
        elif self.lora_enabled:
            reason = "has LoRA already; make another layer for another rank"
        if reason:
            raise ValueError(
                f"LoRA cannot be enabled: layer '{self.name}' {reason}. Received: rank={rank}."
            )
        self._set_lora(rank, lora_alpha)
        weight, shape = self._handles[name], self._lora_shape()
        # In float32 whatever the layer's dtype: small steps must not be lost in it.
        a = self.add_weight(
            name=f"lora_{name}_a",
            shape=(*shape[:-1], rank),
            initializer=initializers.get(a_initializer),
            dtype="float32",
            regularizer=arguments["regularizer"],
        )
        b = self.add_weight(
            name=f"lora_{name}_b",
            shape=(rank, shape[-1]),
            initializer=initializers.get(b_initializer),
            dtype="float32",
            regularizer=arguments["regularizer"],
        )
        setattr(self, f"lora_{name}_a", a)
        setattr(self, f"lora_{name}_b", b)
        weight.trainable = False
        self.lora_enabled = True

    def _lora_parts(self):
        """The Variables of the weight, `a` and `b`."""
        name = self._lora_weight
        return [getattr(self, each) for each in (name, f"lora_{name}_a", f"lora_{name}_b")]

    def _merged(self):
        """The weight that the layer computes with."""
        weight, a, b = (part.value for part in self._lora_parts())
        return (weight + self.lora_alpha / self.lora_rank * (a @ b)).to(weight.dtype)

    def _rest(self):
        parts = {id(part) for part in self._lora_parts()}
        return [v for v in self._own_variables() if id(v) not in parts]

    def save_own_variables(self, store):
        """Put the layer's variables into the dict `store`, the weight as the layer uses it."""
        if not self.lora_enabled:
            return super().save_own_variables(store)
        store["0"] = self._merged().detach()
        for index, variable in enumerate(self._rest(), 1):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store):
        """Set the layer's variables from `store`; with LoRA, as it was before any training."""
        if not self.lora_enabled:
            return super().load_own_variables(store)
        weight, _, b = self._lora_parts()
        own = [weight, *self._rest()]
        if len(own) != len(store):
            raise ValueError(
                f"Layer '{self.name}' has {len(own)} variables in files. Received: {len(store)} "
                "values."
            )
        values = [v._as_slot_value(store[str(index)]) for index, v in enumerate(own)]
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)
        b.assign(b.value.detach() * 0)  # and `a` as it is: of two zeros neither could learn
