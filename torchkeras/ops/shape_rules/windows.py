"""Shapes of what slides windows over sequences, images and volumes, or cuts them into blocks."""

from torchkeras.core import config
from torchkeras.core.op_specs import Misfit
from torchkeras.ops.geometry import choice_argument, sizes_argument, transposed_cuts
from torchkeras.ops.shape_rules.basics import listed, may_be_equal, product, shape_of


class Geometry:
    """Where the windows of a convolution or pooling go.

    Args:
        rank: int, number of spatial axes.
        sizes: int, or tuple of ints for each axis, places of a window.
        strides, padding, data_format, dilation_rate: as for `keras.ops.conv`.
        name: str, the argument's name in errors.

    Attributes:
        windows: tuple of ints, places that a window spans.
        strides, rates: tuples of ints.
        same, channels_last: bools.
    """

    def __init__(
        self,
        rank,
        sizes,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        name="pool_size",
    ):
        if type(sizes) is not tuple or len(sizes) != rank or name != "pool_size":
            sizes = sizes_argument(sizes, rank, name)
        self.strides = sizes_argument(strides, rank, "strides")
        self.rates = sizes_argument(dilation_rate, rank, "dilation_rate")
        self.windows = tuple(
            1 + rate * (size - 1) for rate, size in zip(self.rates, sizes, strict=True)
        )
        self.same = choice_argument(padding, "padding", ("valid", "same")) == "same"
        self.channels_last = config.standardize_data_format(data_format) == "channels_last"

    def spatial(self, shape):
        """The spatial sizes in a shape."""
        return shape[1:-1] if self.channels_last else shape[2:]

    def channels(self, shape):
        """The number of channels in a shape."""
        return shape[-1] if self.channels_last else shape[1]

    def result(self, shape, sizes, channels):
        """A shape with these sizes and channels."""
        return (shape[0], *sizes, channels) if self.channels_last else (shape[0], channels, *sizes)

    def counts(self, shape, what):
        """How many windows fit on each axis of a shape."""
        found = []
        for size, window, stride in zip(
            self.spatial(shape), self.windows, self.strides, strict=True
        ):
            if size is not None and self.same:
                size = -(-size // stride)
            elif size is not None:
                if size < window:
                    raise Misfit(
                        f"a window must fit into the inputs. Received: inputs of shape {shape}, "
                        f"and {what} that spans {self.windows} places. Use padding='same'."
                    )
                size = (size - window) // stride + 1
            found.append(size)
        return found

    def cuts(self, output_padding):
        """Places that a transposed convolution cuts off before and after each axis."""
        if output_padding is None:
            more = (None,) * len(self.strides)
        else:
            more = sizes_argument(output_padding, len(self.strides), "output_padding", least=0)
            if any(m >= s for m, s in zip(more, self.strides, strict=True)):
                raise Misfit(
                    "`output_padding` must be below `strides` on each axis. Received: "
                    f"output_padding={more}, strides={self.strides}."
                )
        return [
            transposed_cuts(window, stride, m, self.same)
            for window, stride, m in zip(self.windows, self.strides, more, strict=True)
        ]


def _rank(shape, name="inputs"):
    if not 3 <= len(shape) <= 5:
        raise Misfit(
            f"`{name}` must have an axis for the batch, one for the channels, and 1 to 3 spatial "
            f"axes. Received: {name} of shape {shape}."
        )
    return len(shape) - 2


def _kernel(inputs, kernel, name="kernel"):
    """Shapes of inputs and kernel, and the rank of the convolution."""
    shape, sizes = shape_of(inputs), shape_of(kernel)
    rank = _rank(shape)
    if len(sizes) != rank + 2 or None in sizes[:-2] or 0 in sizes:
        raise Misfit(
            f"`{name}` must have as many axes as `inputs`, of known sizes, not 0. Received: "
            f"{name} of shape {sizes}, inputs of shape {shape}."
        )
    return shape, sizes, rank


def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    shape, sizes, rank = _kernel(inputs, kernel)
    geometry = Geometry(rank, sizes[:-2], strides, padding, data_format, dilation_rate)
    channels, taken, filters = geometry.channels(shape), *sizes[-2:]
    fits = None in (channels, taken) or not channels % taken
    if fits and None not in (channels, taken, filters):
        fits = channels > 0 and not filters % (channels // taken)
    if not fits:
        raise Misfit(
            "the channels of `inputs` must be a multiple of those of `kernel`, and the filters a "
            f"multiple of the groups. Received: inputs of shape {shape}, kernel of shape {sizes}."
        )
    return geometry.result(shape, geometry.counts(shape, "a kernel"), filters)


def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    shape, sizes, rank = _kernel(inputs, kernel)
    geometry = Geometry(rank, sizes[:-2], strides, padding, data_format, dilation_rate)
    if not may_be_equal((geometry.channels(shape),), sizes[-2:-1]):
        raise Misfit(
            "`inputs` and the kernel must have as many channels. Received: inputs of shape "
            f"{shape}, kernel of shape {sizes}."
        )
    return geometry.result(shape, geometry.counts(shape, "a kernel"), product(sizes[-2:]))


def separable_conv(
    inputs,
    depthwise_kernel,
    pointwise_kernel,
    strides=1,
    padding="valid",
    data_format=None,
    dilation_rate=1,
):
    shape = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    sizes = shape_of(pointwise_kernel)
    geometry = Geometry(len(shape) - 2, (1,) * (len(shape) - 2), data_format=data_format)
    fits = len(sizes) == len(shape) and may_be_equal(sizes[:-2], (1,) * (len(shape) - 2))
    if not fits or not may_be_equal(sizes[-2:-1], (geometry.channels(shape),)):
        raise Misfit(
            "`pointwise_kernel` must be of size 1 on all spatial axes, and take the channels that "
            f"the depthwise convolution gives. Received: pointwise_kernel of shape {sizes} for "
            f"{geometry.channels(shape)} channels."
        )
    return geometry.result(shape, geometry.spatial(shape), sizes[-1])


def conv_transpose(
    inputs,
    kernel,
    strides=1,
    padding="valid",
    output_padding=None,
    data_format=None,
    dilation_rate=1,
):
    shape, sizes, rank = _kernel(inputs, kernel)
    geometry = Geometry(rank, sizes[:-2], strides, padding, data_format, dilation_rate)
    if not may_be_equal((geometry.channels(shape),), sizes[-1:]):
        raise Misfit(
            "`inputs` must have as many channels as the last axis of `kernel`. Received: inputs "
            f"of shape {shape}, kernel of shape {sizes}."
        )
    found = []
    for size, window, stride, cut in zip(
        geometry.spatial(shape),
        geometry.windows,
        geometry.strides,
        geometry.cuts(output_padding),
        strict=True,
    ):
        size = None if size is None else (size - 1) * stride + window - sum(cut)
        if size is not None and size < 1:
            raise Misfit(
                "no output is left. Received: inputs of shape "
                f"{shape}, output_padding={output_padding}. Raise `output_padding`."
            )
        found.append(size)
    return geometry.result(shape, found, sizes[-2])


def pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    shape = shape_of(inputs)
    rank = _rank(shape)
    pool_size = sizes_argument(pool_size, rank, "pool_size")
    strides = pool_size if strides is None else strides
    geometry = Geometry(rank, pool_size, strides, padding, data_format)
    counts = geometry.counts(shape, "a window")
    return geometry.result(shape, counts, geometry.channels(shape))


def adaptive_pool(inputs, output_size, data_format=None):
    shape = shape_of(inputs)
    sizes = sizes_argument(output_size, _rank(shape), "output_size")
    geometry = Geometry(len(sizes), sizes, data_format=data_format)
    if 0 in geometry.spatial(shape):
        raise Misfit(f"`inputs` must not be empty. Received: inputs of shape {shape}.")
    return geometry.result(shape, sizes, geometry.channels(shape))


# Blocks


def _pair(value, name, least=1):
    return sizes_argument(value, 2, name, least)


def _blocks(sizes, kernel_size, dilation, padding, stride):
    """How many blocks fit on both axes of an image."""
    kernel, rates = _pair(kernel_size, "kernel_size"), _pair(dilation, "dilation")
    edges, strides = _pair(padding, "padding", 0), _pair(stride, "stride")
    counts = []
    for size, k, rate, edge, step in zip(sizes, kernel, rates, edges, strides, strict=True):
        span = 1 + rate * (k - 1)
        if size is not None and size + 2 * edge < span:
            raise Misfit(
                f"a block must fit into the image. Received: an axis of size {size}, "
                f"kernel_size={kernel}, dilation={rates}, padding={edges}."
            )
        counts.append(None if size is None else (size + 2 * edge - span) // step + 1)
    return kernel, counts


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    shape = shape_of(x)
    if len(shape) != 4:
        raise Misfit(
            f"`x` must be of shape (batch, channels, height, width). Received: x of shape {shape}."
        )
    kernel, counts = _blocks(shape[2:], kernel_size, dilation, padding, stride)
    return shape[0], product((shape[1], *kernel)), product(counts)


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    shape, sizes = shape_of(x), _pair(output_size, "output_size")
    if len(shape) != 3:
        raise Misfit(
            "`x` must be of shape (batch, channels * places of a block, blocks). Received: x of "
            f"shape {shape}."
        )
    kernel, counts = _blocks(sizes, kernel_size, dilation, padding, stride)
    places, channels = product(kernel), shape[1]
    if channels is not None and channels % places:
        raise Misfit(
            f"axis 1 of `x` must be a multiple of the {places} places of a block. Received: x of "
            f"shape {shape}, kernel_size={kernel}."
        )
    if not may_be_equal(shape[2:], (product(counts),)):
        raise Misfit(
            f"axis 2 of `x` must hold the {product(counts)} blocks of the image. Received: x of "
            f"shape {shape}, output_size={sizes}, kernel_size={kernel}."
        )
    return shape[0], None if channels is None else channels // places, *sizes


def _block_argument(shape, block_size, data_format):
    """Sizes of batch, height, width and channels, and how to put them back."""
    if len(shape) != 4:
        raise Misfit(f"`x` must hold images, so have 4 axes. Received: x of shape {shape}.")
    if not isinstance(block_size, int) or block_size < 2:
        raise Misfit(f"`block_size` must be an int of at least 2. Received: {block_size=}.")
    if config.standardize_data_format(data_format) == "channels_last":
        return shape, lambda n, h, w, c: (n, h, w, c)
    n, c, h, w = shape
    return (n, h, w, c), lambda n, h, w, c: (n, c, h, w)


def depth_to_space(x, block_size, data_format="channels_last"):
    shape = shape_of(x)
    (n, h, w, c), layout = _block_argument(shape, block_size, data_format)
    if c is not None and c % block_size**2:
        raise Misfit(
            f"the channels must be a multiple of block_size**2. Received: x of shape {shape}, "
            f"block_size={block_size}."
        )
    c = None if c is None else c // block_size**2
    return layout(n, product((h, block_size)), product((w, block_size)), c)


def space_to_depth(x, block_size, data_format="channels_last"):
    shape = shape_of(x)
    (n, h, w, c), layout = _block_argument(shape, block_size, data_format)
    if any(size is not None and size % block_size for size in (h, w)):
        raise Misfit(
            f"height and width must be multiples of block_size. Received: x of shape {shape}, "
            f"block_size={block_size}."
        )
    h, w = (None if size is None else size // block_size for size in (h, w))
    return layout(n, h, w, product((c, block_size**2)))


# Attention, CTC


def attention(query, key, value, bias=None, mask=None, *args, **kwargs):
    q, k, v = shape_of(query), shape_of(key), shape_of(value)
    if not len(q) == len(k) == len(v) == 4:
        raise Misfit(
            "`query`, `key` and `value` must be of shape (batch, positions, heads, size). "
            f"Received: shapes {listed([q, k, v])}."
        )
    heads, shared = q[2], k[2]
    fits = may_be_equal((q[0], k[0], q[3]), (k[0], v[0], k[3])) and may_be_equal(k[1:3], v[1:3])
    if fits and None not in (heads, shared):
        fits = shared > 0 and not heads % shared
    if not fits:
        raise Misfit(
            "`key` and `value` must have the same batch, positions and heads, of which the heads "
            "of `query` are a multiple; `query` and `key` the same size. Received: shapes "
            f"{listed([q, k, v])}."
        )
    if bias is not None and mask is not None:
        raise Misfit("`bias` and `mask` exclude each other. Received: both.")
    for name, extra in (("bias", bias), ("mask", mask)):
        given = shape_of(extra)
        scores = (q[0], heads, q[1], k[1])
        if extra is not None and (
            len(given) > 4
            or any(
                None not in (a, b) and a not in (1, b)
                for a, b in zip(given[::-1], scores[::-1], strict=False)
            )
        ):
            raise Misfit(
                f"`{name}` must broadcast to the scores (batch, heads, queries, keys): {scores}. "
                f"Received: {name} of shape {given}."
            )
    return (*q[:3], v[3])


def ctc_loss(target, output, target_length, output_length, mask_index=0):
    labels, logits = shape_of(target), shape_of(output)
    lengths = shape_of(target_length), shape_of(output_length)
    if len(labels) != 2 or len(logits) != 3 or any(len(length) != 1 for length in lengths):
        raise Misfit(
            "`target` must be of shape (batch, labels), `output` (batch, steps, classes), both "
            f"lengths (batch,). Received: shapes {listed([labels, logits, *lengths])}."
        )
    batch = {shape[0] for shape in (labels, logits, *lengths)} - {None}
    if len(batch) > 1:
        raise Misfit(
            "all arguments must be of one batch. Received: shapes "
            f"{listed([labels, logits, *lengths])}."
        )
    _check_class(mask_index, logits[2])
    return (batch.pop() if batch else None,)


def _check_class(mask_index, classes):
    if classes is not None and not 0 <= mask_index < classes:
        raise Misfit(f"`mask_index` must be one of the {classes} classes. Received: {mask_index=}.")


def ctc_decode(
    inputs,
    sequence_lengths,
    strategy="greedy",
    beam_width=100,
    top_paths=1,
    merge_repeated=True,
    mask_index=0,
):
    shape, lengths = shape_of(inputs), shape_of(sequence_lengths)
    if strategy not in ("greedy", "beam_search"):
        raise Misfit(f"`strategy` must be 'greedy' or 'beam_search'. Received: {strategy=}.")
    if len(shape) != 3 or not may_be_equal(lengths, shape[:1]):
        raise Misfit(
            "`inputs` must be of shape (batch, steps, classes), `sequence_lengths` (batch,). "
            f"Received: shapes {listed([shape, lengths])}."
        )
    if mask_index is not None:
        _check_class(mask_index, shape[2])
    if strategy == "greedy":
        top_paths = 1
    elif not 1 <= top_paths <= beam_width:
        raise Misfit(
            "`top_paths` must be at least 1 and at most `beam_width`. Received: "
            f"top_paths={top_paths}, beam_width={beam_width}."
        )
    return (top_paths, *shape[:2]), (shape[0], top_paths)


def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    shape = shape_of(x)
    if not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        raise Misfit(
            f"`axis` must lie in [{-len(shape)}, {len(shape)}) for a tensor with {len(shape)} "
            f"axes. Received: axis={axis} for shape {shape}."
        )
    for name, weight in (
        ("mean", mean),
        ("variance", variance),
        ("offset", offset),
        ("scale", scale),
    ):
        if weight is not None and not may_be_equal(shape_of(weight), (shape[axis],)):
            raise Misfit(
                f"`{name}` must be of the size of axis {axis}: {(shape[axis],)}. Received: {name} "
                f"of shape {shape_of(weight)} for x of shape {shape}."
            )
    return shape
