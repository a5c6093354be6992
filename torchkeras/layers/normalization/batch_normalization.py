"""BatchNormalization: mean 0 and variance 1 of each channel over the batch."""

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from torchkeras.core.scopes import SCOPE
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.normalization.axes import check_axes
from torchkeras.layers.normalization.base_normalization import BaseNormalization
from torchkeras.layers.normalization.batch_moments import (
    batch_moments,
    normalize_by_moments,
    process_count,
)
from torchkeras.layers.weight_arguments import set_weight_arguments


class BatchNormalization(BaseNormalization, _BatchNorm):
    """Normalizes each channel: by the batch in training, by moving statistics at inference.

    Computes `(x - mean) / sqrt(variance + epsilon) * gamma + beta`. In training, mean and
    variance are those of the batch, divided by the count (torch's own layer keeps a variance
    divided by the count less 1), and each call moves the statistics:
    `moving = moving * momentum + batch * (1 - momentum)`. A batch without a single element that
    counts leaves them as they are.

    A layer with `trainable=False` is in inference mode whatever `training` says. Half precision
    is summed in `float32`, and under mixed precision the moving statistics are `float32`.

    Args:
        axis: int, the axis of the channels.
        momentum: float from 0 to 1, the share of the moving statistics that a step keeps.
        epsilon: float, added to the variance.
        center: bool, whether `beta` is added.
        scale: bool, whether `gamma` multiplies.
        beta_initializer, gamma_initializer: initializers, by name or instance.
        moving_mean_initializer, moving_variance_initializer: initializers, by name or instance.
        beta_regularizer, gamma_regularizer: regularizers, by name or instance, or None.
        beta_constraint, gamma_constraint: constraints, by name or instance, or None.
        renorm: bool, whether training corrects towards moving statistics (batch
            renormalization), for small batches.
        renorm_clipping: dict of floats; the correction's factor is kept in
            [`"rmin"`, `"rmax"`], its offset in [-`"dmax"`, `"dmax"`]. A key left out: no limit.
        renorm_momentum: float from 0 to 1, as `momentum`, for what the correction aims at.
        synchronized: bool, whether training takes the batches of all processes of a
            `torch.distributed` job as one, which costs two exchanges of a few numbers a
            channel a step. Local batches may differ in size and be empty, but every process
            has to make the call and its backward pass. Without a job it changes nothing.

    Call arguments:
        inputs: tensor.
        training: bool; None for the mode of the module.
        mask: bool tensor of the shape of `inputs` without its last axis; positions with False
            do not count in the statistics. They are normalized all the same.

    Input shape: any, with a known size on `axis`.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        TypeError: `axis` is no int.
        ValueError: `renorm_clipping` has an unknown key or contradicts itself; the input lacks
            the axis or one for the batch, or the size of the axis is None at build; the mask
            does not fit.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1; renormalization: Ioffe 2017,
    arXiv:1702.03275, algorithm 1.

    Example:

    >>> layer = keras.layers.BatchNormalization(epsilon=0.0, momentum=0.5)
    >>> layer(torch.tensor([[1.0], [3.0]]), training=True).detach()
    tensor([[-1.],
            [ 1.]])
    >>> layer.moving_mean.value, layer.moving_variance.value
    (tensor([1.]), tensor([1.]))
    """

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        moving_mean_initializer="zeros",
        moving_variance_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        renorm=False,
        renorm_clipping=None,
        renorm_momentum=0.99,
        synchronized=False,
        **kwargs,
    ):
        if not isinstance(axis, int) or isinstance(axis, bool):
            raise TypeError(
                f"`axis` must be an int, the axis of the channels. Received: axis={axis!r} of "
                f"type {type(axis).__name__}."
            )
        super().__init__(center=center, scale=scale, **kwargs)
        set_weight_arguments(self, locals(), "beta", "gamma", "moving_mean", "moving_variance")
        self.axis = axis
        self.momentum = float(momentum)
        self._batches_seen = 0
        self.epsilon = float(epsilon)
        self.renorm = renorm
        self.renorm_clipping = _check_clipping(renorm_clipping or {}) if renorm else renorm_clipping
        self.renorm_momentum = renorm_momentum
        self.synchronized = synchronized

    def build(self, input_shape):
        rank = len(input_shape)
        (axis,) = check_axes(self, rank, input_shape)
        if rank < 2:
            raise ValueError(
                f"Layer '{self.name}' expects an input with an axis for the batch and one for the "
                f"channels. Received: input_shape={input_shape}."
            )
        shape = known_sizes(self, [axis], input_shape)
        self._add_gamma_and_beta(shape, self.scale, self.center)
        self.moving_mean = self._add_statistic("moving_mean", shape, self.moving_mean_initializer)
        self.moving_variance = self._add_statistic(
            "moving_variance", shape, self.moving_variance_initializer
        )
        if self.renorm:
            self.moving_stddev = self._add_statistic("moving_stddev", shape, self._first_stddev)
            self.renorm_mean = self._add_statistic(
                "renorm_mean", shape, self.moving_mean_initializer
            )
            self.renorm_stddev = self._add_statistic("renorm_stddev", shape, self._first_stddev)
        self._channel_axis = axis
        self._channels_last = axis == rank - 1 and rank != 2
        self.input_spec = InputSpec(ndim=rank, axes={self.axis: shape[0]})

    def _add_statistic(self, name, shape, initializer):
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False, autocast=False
        )

    def _first_stddev(self, shape, dtype=None):
        return self.moving_variance_initializer(shape, dtype=dtype).sqrt()

    def call(self, inputs, training=None, mask=None):
        if mask is not None and mask.dim() != inputs.dim() - 1:
            raise ValueError(
                f"Layer '{self.name}' expects a mask of one axis less than the input. Received: "
                f"mask of shape {tuple(mask.shape)}, inputs of shape {tuple(inputs.shape)}."
            )
        x = self._channels_second(self._computable(inputs))
        gamma, beta = self._gamma_and_beta()
        if not (training and self.trainable):
            mean, variance = self.moving_mean.value, self.moving_variance.value
            y = self._batch_norm(x, gamma, beta, mean, variance, False, 0.0)
        else:
            synchronized = self.synchronized and not SCOPE.meta and process_count() > 1
            if mask is None and not synchronized and not self.renorm:
                y = self._by_whole_batch(x, gamma, beta)
            else:
                counted = None if mask is None else self._counted(mask, inputs, x)
                y = self._by_moments(x, gamma, beta, counted, synchronized)
        y = self._channels_back(y, inputs)
        return y if y.dtype is self._compute_dtype else y.to(self._compute_dtype)

    # Layouts: torch wants the channels on axis 1.

    def _computable(self, x):
        """`x` in a dtype that torch takes beside the weights."""
        dtype = self.moving_mean.value.dtype
        if x.dtype is dtype:
            return x
        low = x.dtype is torch.bfloat16 or x.dtype is torch.float16
        return x if low and dtype is torch.float32 else x.to(dtype)

    def _channels_second(self, x):
        if self._channels_last and x.is_contiguous():
            return x.reshape(-1, x.shape[-1])  # a view, and torch's fastest layout
        return x if self._channel_axis == 1 else x.movedim(self._channel_axis, 1)

    def _channels_back(self, y, inputs):
        if y.dim() != inputs.dim():
            return y.view(inputs.shape)
        return y if self._channel_axis == 1 else y.movedim(1, self._channel_axis)

    def _counted(self, mask, inputs, x):
        """The mask in the layout of `x`, which `_channels_second` made of `inputs`."""
        mask = mask.to(torch.bool).unsqueeze(-1)
        if x.dim() != inputs.dim():
            return mask.reshape(-1, 1).expand(x.shape)
        mask = mask.expand(inputs.shape)
        return mask if self._channel_axis == 1 else mask.movedim(self._channel_axis, 1)

    # Normalizations

    def _batch_norm(self, x, gamma, beta, mean, variance, training, momentum):
        # Not F.batch_norm: it refuses a batch of one value a channel, which is normalized to 0.
        return torch.batch_norm(
            x,
            gamma,
            beta,
            mean,
            variance,
            training,
            momentum,
            self.epsilon,
            torch.backends.cudnn.enabled,
        )

    def _by_whole_batch(self, x, gamma, beta):
        """torch's fused training step, with the moving variance that Keras keeps."""
        moving_mean, moving_variance = self.moving_mean.value, self.moving_variance.value
        momentum = self._share_kept()
        count = x.numel() // x.shape[1]
        if count == 0:
            return self._batch_norm(x, gamma, beta, moving_mean, moving_variance, False, 0.0)
        if count == 1:  # torch.compile (2.13) divides by the count less 1
            return self._by_moments(x, gamma, beta, None, False)
        # torch moves the mean in place, and mixes the variance times count / (count - 1) into the
        # other. That one goes in multiplied by as much, and all of it is divided afterwards. It
        # has to be a tensor of its own: autograd keeps what went in, and to change that would
        # be an error in the backward pass of a layer that was called twice.
        unbiased = count / (count - 1)
        variance = moving_variance * unbiased
        if SCOPE.stateless is None:
            try:
                y = self._batch_norm(x, gamma, beta, moving_mean, variance, True, 1 - momentum)
            except RuntimeError as error:
                raise (self._no_place_for_statistics() if _is_mapped(x) else error) from error
            try:
                torch.mul(variance, 1 / unbiased, out=moving_variance)
            except RuntimeError:
                if not _is_mapped(moving_variance):
                    raise
                moving_variance.copy_(variance / unbiased)  # vmap takes no `out`
            return y
        mean = moving_mean.clone()
        try:
            y = self._batch_norm(x, gamma, beta, mean, variance, True, 1 - momentum)
        except RuntimeError:
            if not _is_mapped(x):
                raise
            axes = [axis for axis in range(x.dim()) if axis != 1]
            variance, mean = torch.var_mean(x, axes, correction=0)
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving.value * momentum + batch.detach() * (1 - momentum))
            return self._batch_norm(x, gamma, beta, None, None, True, 0.0)
        self.moving_mean.assign(mean)
        self.moving_variance.assign(variance / unbiased)
        return y

    def _no_place_for_statistics(self):
        return RuntimeError(
            f"Layer '{self.name}' keeps one moving mean and variance, and torch.vmap makes several "
            "in training. Received: a mapped input, and statistics that are not mapped. Call it "
            "with training=False, use `stateless_call`, or map the buffers too, as "
            "torch.func.functional_call with stack_module_state does."
        )

    # What torch's own functions for batch normalization (`update_bn` and its like) ask for.

    track_running_stats = True

    def _share_kept(self):
        """`momentum`; where torch.optim.swa_utils.update_bn has taken it away, for a plain mean."""
        if self.momentum is not None:
            return self.momentum
        self._batches_seen += 1
        return 1 - 1 / self._batches_seen

    def reset_running_stats(self):
        """Forget the moving statistics, as torch.optim.swa_utils.update_bn does at its start.

        Example:

        >>> layer = keras.layers.BatchNormalization()
        >>> layer.build((None, 1))
        >>> _ = layer(torch.full((4, 1), 7.0), training=True)
        >>> layer.reset_running_stats()
        >>> layer.moving_mean.numpy()
        array([0.], dtype=float32)
        """
        self._batches_seen = 0
        if self.built:
            with torch.no_grad():
                for name in ("moving_mean", "renorm_mean"):
                    if hasattr(self, name):
                        getattr(self, name).assign(torch.zeros_like(getattr(self, name).value))
                for name in ("moving_variance", "moving_stddev", "renorm_stddev"):
                    if hasattr(self, name):
                        getattr(self, name).assign(torch.ones_like(getattr(self, name).value))

    @property
    def num_features(self):
        """Raises: torch's SyncBatchNorm.convert_sync_batchnorm asks it of what it replaces."""
        raise RuntimeError(
            f"Layer '{self.name}' is not converted to torch.nn.SyncBatchNorm. Received: a request "
            "for `num_features`. Make it keras.layers.BatchNormalization(..., synchronized=True), "
            "which takes the batches of all processes as one."
        )

    def _load_from_state_dict(self, *args, **kwargs):
        torch.nn.Module._load_from_state_dict(self, *args, **kwargs)  # no counter of batches

    def extra_repr(self):
        """Nothing: the layer says its name itself."""
        return ""

    def _by_moments(self, x, gamma, beta, counted, synchronized):
        moments = count, mean, variance = batch_moments(x, counted, synchronized)
        gamma = torch.ones_like(mean) if gamma is None else gamma.to(mean.dtype)
        beta = torch.zeros_like(mean) if beta is None else beta.to(mean.dtype)
        if self.renorm:
            factor, offset = self._renorm_correction(mean, variance)
            gamma, beta = factor * gamma, offset * gamma + beta
            self._move_renorm(count, mean, variance)
        else:
            momentum = self._share_kept()
            self._move(self.moving_mean, mean, count, momentum)
            self._move(self.moving_variance, variance, count, momentum)
        if x.dtype is not mean.dtype and self.moving_mean.value.dtype is not mean.dtype:
            x = x.to(mean.dtype)  # a layer in half precision throughout
        return normalize_by_moments(x, gamma, beta, counted, moments, self.epsilon, synchronized)

    def _move(self, moving, batch, count, momentum):
        value = moving.value
        share = (count > 0).to(batch.dtype) * (1 - momentum)
        moving.assign(torch.lerp(value.to(batch.dtype), batch, share).to(value.dtype))

    def _renorm_correction(self, mean, variance):
        """Factor and offset that take a value normalized by the batch to the moving statistics."""
        # Stacked for torch.compile (torch 2.13): it computes cheap operations on weights again in
        # the backward pass, when `_move_renorm` has changed these; a concatenation it keeps.
        aim = torch.stack([self.renorm_mean.value, self.renorm_stddev.value]).to(mean.dtype)
        # Early in training the deviation aimed at may be near 0.
        aim_mean, aim_stddev = aim[0], aim[1].clamp_min(self.epsilon**0.5)
        limits = self.renorm_clipping
        factor = (variance + self.epsilon).sqrt() / aim_stddev
        offset = (mean - aim_mean) / aim_stddev
        if "rmin" in limits or "rmax" in limits:
            factor = factor.clamp(limits.get("rmin"), limits.get("rmax"))
        if limits.get("dmax") is not None:
            offset = offset.clamp(-limits["dmax"], limits["dmax"])
        return factor, offset

    def _move_renorm(self, count, mean, variance):
        stddev = (variance + self.epsilon).sqrt()
        self._move(self.renorm_mean, mean, count, self.renorm_momentum)
        self._move(self.renorm_stddev, stddev, count, self.renorm_momentum)
        momentum = self._share_kept()
        self._move(self.moving_mean, mean, count, momentum)
        self._move(self.moving_stddev, stddev, count, momentum)
        # Rounding may leave a square below epsilon.
        moved = (self.moving_stddev.value.square() - self.epsilon).clamp_min(0)
        self.moving_variance.assign(torch.where(count > 0, moved, self.moving_variance.value))

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "renorm": self.renorm,
            "renorm_clipping": None if self.renorm_clipping is None else {**self.renorm_clipping},
            "renorm_momentum": self.renorm_momentum,
            "synchronized": self.synchronized,
        }


def _is_mapped(x):
    """Whether torch.vmap runs over `x`."""
    return torch._C._functorch.is_batchedtensor(x)


def _check_clipping(limits):
    unknown = set(limits) - {"rmin", "rmax", "dmax"}
    if unknown:
        raise ValueError(
            "`renorm_clipping` takes the keys 'rmin', 'rmax' and 'dmax'. Received: "
            f"renorm_clipping={limits}; remove {sorted(unknown)}."
        )
    rmin, rmax, dmax = (limits.get(key) for key in ("rmin", "rmax", "dmax"))
    if rmin is not None and rmax is not None and rmax < rmin:
        raise ValueError(
            "`renorm_clipping` must have an 'rmax' of at least 'rmin'. Received: "
            f"renorm_clipping={limits}."
        )
    if dmax is not None and dmax < 0:
        raise ValueError(
            f"`renorm_clipping` must have a 'dmax' of at least 0. Received: "
            f"renorm_clipping={limits}."
        )
    return limits
