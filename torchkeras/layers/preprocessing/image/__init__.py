"""Layers that prepare and augment images, with their labels, boxes and masks."""

from torchkeras.layers.preprocessing.image.auto_contrast import AutoContrast as AutoContrast
from torchkeras.layers.preprocessing.image.contrast_limited_adaptive_histogram_equalization import (
    ContrastLimitedAdaptiveHistogramEqualization as ContrastLimitedAdaptiveHistogramEqualization,
)
from torchkeras.layers.preprocessing.image.cut_mix import CutMix as CutMix
from torchkeras.layers.preprocessing.image.equalization import Equalization as Equalization
from torchkeras.layers.preprocessing.image.mix_up import MixUp as MixUp
from torchkeras.layers.preprocessing.image.random_brightness import (
    RandomBrightness as RandomBrightness,
)
from torchkeras.layers.preprocessing.image.random_color_degeneration import (
    RandomColorDegeneration as RandomColorDegeneration,
)
from torchkeras.layers.preprocessing.image.random_color_jitter import (
    RandomColorJitter as RandomColorJitter,
)
from torchkeras.layers.preprocessing.image.random_contrast import RandomContrast as RandomContrast
from torchkeras.layers.preprocessing.image.random_erasing import RandomErasing as RandomErasing
from torchkeras.layers.preprocessing.image.random_gaussian_blur import (
    RandomGaussianBlur as RandomGaussianBlur,
)
from torchkeras.layers.preprocessing.image.random_grayscale import (
    RandomGrayscale as RandomGrayscale,
)
from torchkeras.layers.preprocessing.image.random_hue import RandomHue as RandomHue
from torchkeras.layers.preprocessing.image.random_invert import RandomInvert as RandomInvert
from torchkeras.layers.preprocessing.image.random_posterization import (
    RandomPosterization as RandomPosterization,
)
from torchkeras.layers.preprocessing.image.random_saturation import (
    RandomSaturation as RandomSaturation,
)
from torchkeras.layers.preprocessing.image.random_sharpness import (
    RandomSharpness as RandomSharpness,
)
from torchkeras.layers.preprocessing.image.solarization import Solarization as Solarization
