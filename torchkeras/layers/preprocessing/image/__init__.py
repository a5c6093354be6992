"""Layers that prepare and augment images, with their labels, boxes and masks."""

from torchkeras.layers.preprocessing.image.aug_mix import AugMix as AugMix
from torchkeras.layers.preprocessing.image.auto_contrast import AutoContrast as AutoContrast
from torchkeras.layers.preprocessing.image.center_crop import CenterCrop as CenterCrop
from torchkeras.layers.preprocessing.image.contrast_limited_adaptive_histogram_equalization import (
    ContrastLimitedAdaptiveHistogramEqualization as ContrastLimitedAdaptiveHistogramEqualization,
)
from torchkeras.layers.preprocessing.image.cut_mix import CutMix as CutMix
from torchkeras.layers.preprocessing.image.equalization import Equalization as Equalization
from torchkeras.layers.preprocessing.image.max_num_bounding_boxes import (
    MaxNumBoundingBoxes as MaxNumBoundingBoxes,
)
from torchkeras.layers.preprocessing.image.mix_up import MixUp as MixUp
from torchkeras.layers.preprocessing.image.rand_augment import RandAugment as RandAugment
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
from torchkeras.layers.preprocessing.image.random_crop import RandomCrop as RandomCrop
from torchkeras.layers.preprocessing.image.random_elastic_transform import (
    RandomElasticTransform as RandomElasticTransform,
)
from torchkeras.layers.preprocessing.image.random_erasing import RandomErasing as RandomErasing
from torchkeras.layers.preprocessing.image.random_flip import RandomFlip as RandomFlip
from torchkeras.layers.preprocessing.image.random_gaussian_blur import (
    RandomGaussianBlur as RandomGaussianBlur,
)
from torchkeras.layers.preprocessing.image.random_grayscale import (
    RandomGrayscale as RandomGrayscale,
)
from torchkeras.layers.preprocessing.image.random_hue import RandomHue as RandomHue
from torchkeras.layers.preprocessing.image.random_invert import RandomInvert as RandomInvert
from torchkeras.layers.preprocessing.image.random_perspective import (
    RandomPerspective as RandomPerspective,
)
from torchkeras.layers.preprocessing.image.random_posterization import (
    RandomPosterization as RandomPosterization,
)
from torchkeras.layers.preprocessing.image.random_rotation import RandomRotation as RandomRotation
from torchkeras.layers.preprocessing.image.random_saturation import (
    RandomSaturation as RandomSaturation,
)
from torchkeras.layers.preprocessing.image.random_sharpness import (
    RandomSharpness as RandomSharpness,
)
from torchkeras.layers.preprocessing.image.random_shear import RandomShear as RandomShear
from torchkeras.layers.preprocessing.image.random_translation import (
    RandomTranslation as RandomTranslation,
)
from torchkeras.layers.preprocessing.image.random_zoom import RandomZoom as RandomZoom
from torchkeras.layers.preprocessing.image.resizing import Resizing as Resizing
from torchkeras.layers.preprocessing.image.solarization import Solarization as Solarization
