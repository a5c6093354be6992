"""AugMix: images mixed with several augmented versions of themselves, in training."""

import torch

from torchkeras.layers.preprocessing.image.arguments import check_value_range, factor_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.layer_choice import apply_chosen, augmentations
from torchkeras.layers.preprocessing.image.mixing import check_one_hot, mixed_symbols

# In the paper these are kept for testing, since they are among what networks are tested with.
_COLOR_CHANGES = (
    "random_brightness",
    "random_color_degeneration",
    "random_contrast",
    "random_sharpness",
)


class AugMix(BaseImagePreprocessingLayer):
    """`weight * image + (1 - weight) * mixture` during training, of chains of augmentations.

    Each of `num_chains` chains puts the images through up to `chain_depth` augmentations; the
    mixture weighs their results by numbers of the Dirichlet distribution, `weight` is one of the
    Beta distribution. Chains and weights are the same for all images of a batch, how strong each
    augmentation is differs. Boxes stay as they are, since the image is part of the result.

    Args:
        value_range: two numbers, the lowest and the highest value of a pixel.
        num_chains: int above 0.
        chain_depth: int above 0, the most augmentations in a chain. Each place is left empty as
            often as it has one certain augmentation.
        factor: strength from 0 to 1, for strengths from 0 to it; or two numbers, the lowest and
            the highest.
        alpha: float above 0, the parameter of both distributions.
        all_ops: bool, whether brightness, colour degeneration, contrast and sharpness are among
            the augmentations, beside shear, translation, rotation, posterization, solarization,
            automatic contrast and equalization.
        interpolation: `"nearest"` or `"bilinear"`, for images that are moved.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, 3)` or `(height, width, 3)`, of integers or floats; with
        the channels first for `data_format="channels_first"`. Or a dict of images and what
        belongs to them; masks must be one-hot, or floats, and are mixed, too.
    Output shape: that of the input, in the layer's compute dtype; masks in floats.

    Raises:
        ValueError: an argument is out of its range; masks are numbers of classes.

    Source: Hendrycks et al. 2020, "AugMix", algorithm 1. The chains follow `seed`; Keras 3.15.1
    draws them from Python's generator.

    Example:

    >>> layer = keras.layers.AugMix(value_range=(0, 1), seed=1)
    >>> layer(torch.rand(2, 8, 8, 3)).shape
    torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        value_range=(0, 255),
        num_chains=3,
        chain_depth=3,
        factor=0.3,
        alpha=1.0,
        all_ops=True,
        interpolation="bilinear",
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = check_value_range(value_range)
        for name, count in (("num_chains", num_chains), ("chain_depth", chain_depth)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"`{name}` must be an int above 0. Received: {name}={count!r}.")
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not alpha > 0:
            raise ValueError(f"`alpha` must be a number above 0. Received: alpha={alpha!r}.")
        self.num_chains = num_chains
        self.chain_depth = chain_depth
        self.factor = factor_range(factor, (0, 1))
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation = interpolation
        self.set_seed(seed)
        made = augmentations(
            self.factor,
            self.value_range,
            interpolation,
            seed,
            data_format=self.data_format,
            bounding_box_format=self.bounding_box_format,
            dtype=self.dtype_policy,
        )
        self._names = tuple(name for name in made if all_ops or name not in _COLOR_CHANGES)
        for name in self._names:
            setattr(self, name, made[name])

    def build(self, input_shape):
        for name in self._names:
            getattr(self, name).build(input_shape)

    def get_random_transformation(self, data, training=True, seed=None):
        """The chains, and what each of their places has drawn.

        `chain_mixing_weights` is of shape `(num_chains,)`, `weight_sample` of shape `()`,
        `chain_transforms` a list for each chain of `{"layer_idx": ..., "transforms": ...}`. A
        number beyond the layers stands for an empty place.
        """
        if not training:
            return None
        seed = self.generator if seed is None else seed
        source, _, device = self._source(data, seed)
        alpha = torch.full((self.num_chains + 2,), float(self.alpha), device=device)
        # By logarithms, as in keras.random.beta: numbers of a small alpha underflow.
        gammas = source.log_gamma(alpha)
        weight = torch.sigmoid(gammas[-2] - gammas[-1])
        places = self.num_chains * self.chain_depth
        count = len(self._names) + 1
        source, _, device = self._source(data, seed)
        numbers = source.uniform((places,), torch.float32) * count
        choice = numbers.to(torch.int64).clamp(max=count - 1).reshape(self.num_chains, -1)
        return {
            "chain_mixing_weights": torch.softmax(gammas[:-2], 0),
            "weight_sample": weight,
            "chain_transforms": [
                [self._place(number, data, seed) for number in numbers] for numbers in choice
            ],
        }

    def _place(self, number, data, seed):
        transforms = {
            name: getattr(self, name).get_random_transformation(data, True, seed)
            for name in self._names
        }
        return {"layer_idx": number, "transforms": transforms}

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images)
        if not training or transformation is None:
            return images
        mixture = self._mixture("transform_images", images, transformation)
        return mixture.clamp(*self.value_range)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        if not training or transformation is None:
            return segmentation_masks
        check_one_hot(self, segmentation_masks)
        if not segmentation_masks.is_floating_point():
            segmentation_masks = segmentation_masks.to(torch.float32)
        return self._mixture("transform_segmentation_masks", segmentation_masks, transformation)

    def _mixture(self, method, data, transformation):
        layers = [getattr(self, name) for name in self._names]
        shares = transformation["chain_mixing_weights"].to(data.dtype)
        weight = transformation["weight_sample"].to(data.dtype)
        mixture = weight * data
        for share, chain in zip(shares, transformation["chain_transforms"], strict=True):
            changed = data
            for place in chain:
                transforms = [place["transforms"][name] for name in self._names]
                changed = apply_chosen(place["layer_idx"], layers, transforms, method, changed)
            mixture = mixture + (1 - weight) * share * changed
        return mixture

    def compute_output_spec(self, data, training=True):
        symbols = super().compute_output_spec(data, training)
        return symbols if training is False else mixed_symbols(symbols, ("segmentation_masks",))

    def get_config(self):
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "num_chains": self.num_chains,
            "chain_depth": self.chain_depth,
            "factor": self.factor,
            "alpha": self.alpha,
            "all_ops": self.all_ops,
            "interpolation": self.interpolation,
            "seed": self.seed,
        }
