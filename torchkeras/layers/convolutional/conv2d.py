"""Conv2D: kernels slid over images."""

import torch

from torchkeras import activations, regularizers
from torchkeras.core import config
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.layer import Layer
from torchkeras.layers.weight_arguments import set_weight_arguments, weight_arguments, weight_config


class Conv2D(Layer):
    """2D convolution, from images to maps of features.

    With strides `s` and dilation rate `d`, for each filter `f`:

        z[b, y, x, f] = sum_ijc kernel[i, j, c, f] * inputs[b, y * s + i * d, x * s + j * d, c]
        outputs[b, y, x, f] = activation(z[b, y, x, f] + bias[f])

    so the kernel is not mirrored. With `groups` the channels and the filters are split into as
    many parts, and each part of the filters sees its part of the channels alone.

    Args:
        filters: int of at least 1, channels of the output; a multiple of `groups`.
        kernel_size: int of at least 1, or two for height and width, in pixels.
        strides: int of at least 1, or two, in pixels.
        padding: `"valid"` for none, or `"same"` for zeros around the image, so that the output
            has `ceil(size / stride)` pixels. An odd number of zeros has the one more at the
            bottom and at the right.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int of at least 1, or two: distance in pixels between the inputs of
            neighbouring entries of the kernel. Above 1 only with strides of 1.
        groups: int of at least 1, which divides `filters` and the channels of the input.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, bias_initializer: Initializers, or their names.
        kernel_regularizer, bias_regularizer: Regularizers, or their names, or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        kernel_constraint, bias_constraint: Constraints, or their names, or None.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `"channels_first"`.

    Output shape:
        `(batch, new_height, new_width, filters)`, or `(batch, filters, new_height, new_width)`. A
        size `n` becomes `ceil(n / stride)` with `"same"`, else
        `floor((n - dilation_rate * (kernel_size - 1) - 1) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the channels are unknown or no multiple of
            `groups`; the image is smaller than the kernel.

    Source:
        LeCun et al. 1989, "Backpropagation applied to handwritten zip code recognition"; sizes
        after Dumoulin & Visin 2016, arXiv:1603.07285, relationship 14; groups after Krizhevsky et
        al. 2012. The kernel is stored as `(height, width, channels / groups, filters)`.

    Example:

    >>> layer = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")
    >>> layer(torch.ones(1, 7, 8, 3)).shape
    torch.Size([1, 4, 4, 4])
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        for argument, value in (("filters", filters), ("groups", groups)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"`{argument}` must be an int of at least 1. Received: {argument}={value!r}."
                )
        if filters % groups:
            raise ValueError(
                "`filters` must be a multiple of `groups`. Received: "
                f"filters={filters}, groups={groups}."
            )
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = filters
        self.kernel_size = _pair(kernel_size, "kernel_size")
        self.strides = _pair(strides, "strides")
        self.padding = _choice(padding, "padding", ("valid", "same"))
        self.data_format = _choice(
            config.image_data_format() if data_format is None else data_format,
            "data_format",
            ("channels_last", "channels_first"),
        )
        self.dilation_rate = _pair(dilation_rate, "dilation_rate")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "Strides above 1 and a dilation rate above 1 exclude each other. Received: "
                f"strides={self.strides}, dilation_rate={self.dilation_rate}. Set one to 1."
            )
        self.groups = groups
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        set_weight_arguments(self, locals(), "kernel", "bias")
        self.input_spec = InputSpec(ndim=4)

    def build(self, input_shape):
        axis = -1 if self.data_format == "channels_last" else 1
        (channels,) = known_sizes(self, [axis], input_shape)
        if channels % self.groups:
            raise ValueError(
                f"Layer '{self.name}' takes channels in a multiple of `groups`. Received: "
                f"input_shape={input_shape}, groups={self.groups}."
            )
        self.compute_output_shape(input_shape)  # refuses an image smaller than the kernel
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            **weight_arguments(self, "kernel"),
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.filters,), **weight_arguments(self, "bias")
            )
        self.input_spec = InputSpec(ndim=4, axes={axis: channels})

    def call(self, inputs):
        kernel = self.kernel.value
        bias = None if self.bias is None else self.bias.value
        images = inputs.to(kernel.dtype)  # integers, such as pixels, come as they are
        channels_last = self.data_format == "channels_last"
        if channels_last:  # a view, whose layout in memory torch knows as its channels_last
            images = images.permute(0, 3, 1, 2)
        padding = 0
        if self.padding == "same":
            top, bottom = self._zeros_around(images.shape[2], 0)
            left, right = self._zeros_around(images.shape[3], 1)
            if top == bottom and left == right:
                padding = (top, left)
            else:
                images = torch.nn.functional.pad(images, (left, right, top, bottom))
        outputs = torch.nn.functional.conv2d(
            images,
            kernel.permute(3, 2, 0, 1),
            bias,
            self.strides,
            padding,
            self.dilation_rate,
            self.groups,
        )
        return self.activation(outputs.permute(0, 2, 3, 1) if channels_last else outputs)

    def _zeros_around(self, size, axis):
        """Pixels of zeros before and after an image of `size` for `"same"`."""
        stride = self.strides[axis]
        reach = self.dilation_rate[axis] * (self.kernel_size[axis] - 1)
        if stride > 1:  # the last step starts at (ceil(size / stride) - 1) * stride
            reach = max(reach + (size - 1) // stride * stride + 1 - size, 0)
        return reach // 2, reach - reach // 2

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                f"Layer '{self.name}' takes images with 4 axes. Received: input_shape="
                f"{input_shape}."
            )
        first = 1 if self.data_format == "channels_last" else 2
        sizes = []
        for axis, size in enumerate(input_shape[first : first + 2]):
            stride = self.strides[axis]
            if size is not None and self.padding == "same":
                size = (size - 1) // stride + 1
            elif size is not None:
                reach = self.dilation_rate[axis] * (self.kernel_size[axis] - 1)
                if size <= reach:
                    raise ValueError(
                        f"Layer '{self.name}' takes images of at least the kernel's size, "
                        f"{reach + 1} pixels on axis {first + axis}. Received: input_shape="
                        f'{input_shape}. Use padding="same" or a smaller kernel.'
                    )
                size = (size - reach - 1) // stride + 1
            sizes.append(size)
        if first == 1:
            return (input_shape[0], *sizes, self.filters)
        return (input_shape[0], self.filters, *sizes)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            **weight_config(self),
        }


def _pair(value, argument):
    """Two ints of at least 1, for height and width, of one or two."""
    pair = (value, value) if isinstance(value, int) else value
    valid = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not valid or not all(isinstance(item, int) and item > 0 for item in pair):
        raise ValueError(
            f"`{argument}` must be an int of at least 1, or two of them. Received: "
            f"{argument}={value!r}."
        )
    return tuple(pair)


def _choice(value, argument, choices):
    """One of the names in `choices`, in lower case."""
    name = value.lower() if isinstance(value, str) else value
    if name not in choices:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(map(repr, choices))}. Received: "
            f"{argument}={value!r}."
        )
    return name
