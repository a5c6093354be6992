"""Layers that prepare data."""

from torchkeras.layers.preprocessing.image import AutoContrast as AutoContrast
from torchkeras.layers.preprocessing.image import (
    ContrastLimitedAdaptiveHistogramEqualization as ContrastLimitedAdaptiveHistogramEqualization,
)
from torchkeras.layers.preprocessing.image import CutMix as CutMix
from torchkeras.layers.preprocessing.image import Equalization as Equalization
from torchkeras.layers.preprocessing.image import MixUp as MixUp
from torchkeras.layers.preprocessing.image import RandomBrightness as RandomBrightness
from torchkeras.layers.preprocessing.image import RandomColorDegeneration as RandomColorDegeneration
from torchkeras.layers.preprocessing.image import RandomColorJitter as RandomColorJitter
from torchkeras.layers.preprocessing.image import RandomContrast as RandomContrast
from torchkeras.layers.preprocessing.image import RandomErasing as RandomErasing
from torchkeras.layers.preprocessing.image import RandomGaussianBlur as RandomGaussianBlur
from torchkeras.layers.preprocessing.image import RandomGrayscale as RandomGrayscale
from torchkeras.layers.preprocessing.image import RandomHue as RandomHue
from torchkeras.layers.preprocessing.image import RandomInvert as RandomInvert
from torchkeras.layers.preprocessing.image import RandomPosterization as RandomPosterization
from torchkeras.layers.preprocessing.image import RandomSaturation as RandomSaturation
from torchkeras.layers.preprocessing.image import RandomSharpness as RandomSharpness
from torchkeras.layers.preprocessing.image import Solarization as Solarization
from torchkeras.layers.preprocessing.pipeline import Pipeline as Pipeline
from torchkeras.layers.preprocessing.rescaling import Rescaling as Rescaling
from torchkeras.layers.preprocessing.string_lookup import StringLookup as StringLookup
