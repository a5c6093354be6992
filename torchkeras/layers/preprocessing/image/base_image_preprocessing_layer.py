"""BaseImagePreprocessingLayer: images, with what belongs to them, through one transformation."""

import torch

from torchkeras.core import config, tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.scopes import SCOPE
from torchkeras.layers.layer import Layer
from torchkeras.layers.preprocessing.image.bounding_boxes.batches import dense_boxes
from torchkeras.random.distributions import source_of
from torchkeras.random.seed_generator import SeedGenerator


class BaseImagePreprocessingLayer(Layer):
    """Base of layers that transform images, and the labels, boxes and masks that go with them.

    The input is a tensor of images, or a dict with them under `"images"` and any of `"labels"`,
    `"bounding_boxes"` (a dict of `"boxes"` and `"labels"`) and `"segmentation_masks"`; other
    entries are handed on. It is a batch, or one image without a batch axis.

    A call asks `get_random_transformation` once for the whole batch, and gives what it returns to
    a method for each entry. Those always see batches. A subclass defines:

    - `get_random_transformation(data, training=True, seed=None)`: what was drawn, for each image
      a row of it, in any structure; `draw_uniform` draws it. None, as here, for nothing random.
    - `transform_images(images, transformation, training=True)`, which gives them in the layer's
      compute dtype: `self.cast(images)` is that.
    - `transform_labels`, `transform_bounding_boxes` and `transform_segmentation_masks`, with the
      same arguments; here they change nothing, as is right for a change of colours. Masks keep
      their dtype, boxes are float32 and in the format the layer was told.
    - `compute_image_shape(image_shape)` where sizes change, `compute_image_dtype(dtype)` where
      integers stay what they are.

    Such a layer is in training mode until it is told otherwise, by `training=`, `eval()`, or by
    the model it is part of, in `evaluate` and `predict`: as in Keras, `layer(images)` augments.

    Args:
        bounding_box_format: name of the format of the boxes, such as `"xyxy"`; needed where there
            are boxes. See `keras.utils.bounding_boxes.convert_format`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        **kwargs: those of `Layer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `"channels_first"`.
    Output shape: likewise, in the layer's compute dtype.

    Raises:
        ValueError: an unknown format; images of another rank; boxes without a format.

    Example:

    >>> from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    ...     BaseImagePreprocessingLayer,
    ... )
    >>> class RandomDim(BaseImagePreprocessingLayer):
    ...     def __init__(self, seed=None, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.set_seed(seed)
    ...     def get_random_transformation(self, data, training=True, seed=None):
    ...         return self.draw_uniform(data, (1, 1, 1), seed=seed) if training else None
    ...     def transform_images(self, images, transformation, training=True):
    ...         return self.cast(images) * transformation if training else self.cast(images)
    >>> data = {"images": torch.ones(2, 4, 4, 3), "labels": torch.tensor([0, 1])}
    >>> dimmed = RandomDim(seed=1)(data)
    >>> dimmed["images"].shape, dimmed["labels"], bool((dimmed["images"] < 1).all())
    (torch.Size([2, 4, 4, 3]), tensor([0, 1]), True)
    """

    needs_box_format = True  # whether boxes are computed with
    _trains_by_itself = True

    def __init__(self, bounding_box_format=None, data_format=None, **kwargs):
        # Floats are cast here, image by image: boxes in pixels do not fit into half precision.
        super().__init__(**{"autocast": False, **kwargs})
        self.bounding_box_format = bounding_box_format
        self.data_format = config.standardize_data_format(data_format)
        first = self.data_format == "channels_first"
        self.channels_axis, self.height_axis, self.width_axis = (
            (-3, -2, -1) if first else (-1, -3, -2)
        )
        self.__dict__["training"] = True  # a choice of nobody's, as the one that layers start with

    def set_seed(self, seed):
        """Make the layer's source of random numbers, for `__init__` of a subclass.

        Args:
            seed: int, or None; then draws follow `torch.manual_seed`.
        """
        self.seed = seed
        self.generator = SeedGenerator(seed)

    # What a subclass uses

    def cast(self, images):
        """`images` in the layer's compute dtype."""
        return images.to(to_torch_dtype(self.compute_dtype))

    def images_of(self, data):
        """The images of what a layer is called with."""
        return data["images"] if isinstance(data, dict) else data

    def image_size(self, images):
        """`(height, width)` of images."""
        return images.shape[self.height_axis], images.shape[self.width_axis]

    def draw_uniform(self, data, shape=(), low=0.0, high=1.0, seed=None, batch=None):
        """Uniform numbers in `[low, high)`: float32, of shape `(batch, *shape)`.

        One call of torch draws for all images, on their device.

        Args:
            data: what `get_random_transformation` was given.
            shape: tuple of ints, the shape of the numbers for one image.
            low, high: floats, or tensors that broadcast to the result.
            seed: int or `SeedGenerator`; None for the layer's own.
            batch: int, how many are drawn; None for one for each image.
        """
        source, count, _ = self._source(data, seed)
        x = source.uniform((count if batch is None else batch, *shape), torch.float32)
        return x if (low, high) == (0.0, 1.0) else x * (high - low) + low

    def draw_normal(self, data, shape=(), seed=None):
        """Standard normal numbers, as `draw_uniform` gives uniform ones."""
        source, count, _ = self._source(data, seed)
        return source.normal((count, *shape), torch.float32)

    def _source(self, data, seed):
        """Where numbers come from, for how many images, and on which device."""
        images = self.images_of(data)
        device = torch.device("meta") if SCOPE.meta else images.device
        count = images.shape[0] if images.dim() == 4 else 1
        source = source_of(self.generator if seed is None else seed, device)
        return source, count, device

    # What a subclass defines

    def get_random_transformation(self, data, training=True, seed=None):
        """What is drawn for `data`; None where nothing is.

        Args:
            data: images, or a dict with them.
            training: bool; there is no transformation at inference.
            seed: int or `SeedGenerator`; None for the layer's own.
        """
        return None

    def transform_images(self, images, transformation, training=True):
        """Images after `transformation`; every layer defines its own."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `transform_images(images, transformation, "
            "training=True)`. Received: a call of a layer without one."
        )

    def transform_labels(self, labels, transformation, training=True):
        """Labels after `transformation`: here, as they are."""
        return labels

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """A dict of boxes and labels after `transformation`: here, as they are."""
        return bounding_boxes

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks after `transformation`: here, as they are."""
        return segmentation_masks

    def compute_image_shape(self, image_shape):
        """Shape of images, or masks, after the layer: here, the same."""
        return image_shape

    def compute_image_dtype(self, dtype):
        """Dtype name of images after the layer: here, the compute dtype."""
        return self.compute_dtype

    # The call

    def call(self, data, training=True):
        if not isinstance(data, dict):
            images = self._tensor(data)
            if self._is_batch(images):
                transformation = self.get_random_transformation(images, training=training)
                return self.transform_images(images, transformation, training=training)
            images = images.unsqueeze(0)
            transformation = self.get_random_transformation(images, training=training)
            return self.transform_images(images, transformation, training=training).squeeze(0)
        data = self._fields(data)
        is_batch = self._is_batch(data["images"])
        if not is_batch:
            data = _map_fields(lambda x: x.unsqueeze(0), data)
        transformation = self.get_random_transformation(data, training=training)
        transformed = dict(data)
        for name, transform in (
            ("images", self.transform_images),
            ("labels", self.transform_labels),
            ("bounding_boxes", self.transform_bounding_boxes),
            ("segmentation_masks", self.transform_segmentation_masks),
        ):
            if name in data:
                transformed[name] = transform(data[name], transformation, training=training)
        return transformed if is_batch else _map_fields(lambda x: x.squeeze(0), transformed)

    def _tensor(self, x):
        if isinstance(x, torch.Tensor):
            return x
        with config.device(_device_of_arrays()):
            return convert_to_tensor(x)

    def _fields(self, data):
        """The dict of a call with tensors in it, checked."""
        if "images" not in data:
            raise ValueError(
                f"Layer '{self.name}' takes images, or a dict with images under the key 'images'. "
                f"Received: a dict with the keys {sorted(map(str, data))}."
            )
        fields = dict(data)
        for name in ("images", "labels", "segmentation_masks"):
            if name in fields:
                fields[name] = self._tensor(fields[name])
        if "bounding_boxes" in fields:
            if self.needs_box_format and not self.bounding_box_format:
                raise ValueError(
                    f"Layer '{self.name}' must know the format of bounding boxes. Received: "
                    "'bounding_boxes' in the input, and bounding_box_format=None. Make the layer "
                    "with one, such as bounding_box_format='xyxy'."
                )
            with config.device(fields["images"].device):
                fields["bounding_boxes"] = dense_boxes(fields["bounding_boxes"])
        return fields

    def _is_batch(self, images):
        if images.dim() not in (3, 4):
            raise ValueError(
                f"Layer '{self.name}' takes a batch of images, of rank 4, or one image, of rank "
                f"3. Received: images of shape {tuple(images.shape)}."
            )
        return images.dim() == 4

    def _convert(self, x):
        # An array belongs where its process computes: a worker that loads data has the CPU.
        if isinstance(x, (torch.Tensor, KerasTensor)):
            return super()._convert(x)
        with config.device(_device_of_arrays()):
            return super()._convert(x)

    # Symbols

    def compute_output_shape(self, input_shape):
        """Shape of the output, or a dict of shapes for a dict."""
        if not isinstance(input_shape, dict):
            return self.compute_image_shape(tuple(input_shape))
        shapes = dict(input_shape)
        for name in ("images", "segmentation_masks"):
            if name in shapes:
                shapes[name] = self.compute_image_shape(tuple(shapes[name]))
        return shapes

    def compute_output_spec(self, data, training=True):
        """Symbols of the output: images in the compute dtype, boxes in float32, others kept."""
        if not isinstance(data, dict):
            dtype = self.compute_image_dtype(data.dtype)
            return KerasTensor(self.compute_output_shape(data.shape), dtype)
        shapes = self.compute_output_shape(tree.map_structure(lambda x: tuple(x.shape), data))
        dtypes = tree.map_structure(lambda x: x.dtype, data)
        dtypes["images"] = self.compute_image_dtype(dtypes["images"])
        if "bounding_boxes" in data:
            dtypes["bounding_boxes"]["boxes"] = "float32"
        return tree.map_structure_up_to(dtypes, _symbol, dtypes, shapes)

    def get_config(self):
        kept = {**super().get_config(), "data_format": self.data_format}
        if self.bounding_box_format is not None:
            kept["bounding_box_format"] = self.bounding_box_format
        return kept


def _device_of_arrays():
    if torch.utils.data.get_worker_info() is not None:
        return torch.device("cpu")
    return config.default_device()


def _symbol(dtype, shape):
    return KerasTensor(tuple(shape), dtype)


_FIELDS = ("images", "labels", "segmentation_masks", "bounding_boxes")


def _map_fields(function, data):
    """`data` with `function` of each tensor that belongs to images; other entries are kept."""
    changed = dict(data)
    for name in _FIELDS:
        if name not in data:
            continue
        if name == "bounding_boxes":
            boxes = data[name]
            changed[name] = {**boxes, **{k: function(boxes[k]) for k in ("boxes", "labels")}}
        else:
            changed[name] = function(data[name])
    return changed
