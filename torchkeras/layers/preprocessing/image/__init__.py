"""Layers that prepare and augment images, with their labels, boxes and masks."""

from torchkeras.layers.preprocessing.image.center_crop import CenterCrop as CenterCrop
from torchkeras.layers.preprocessing.image.max_num_bounding_boxes import (
    MaxNumBoundingBoxes as MaxNumBoundingBoxes,
)
from torchkeras.layers.preprocessing.image.random_crop import RandomCrop as RandomCrop
from torchkeras.layers.preprocessing.image.random_elastic_transform import (
    RandomElasticTransform as RandomElasticTransform,
)
from torchkeras.layers.preprocessing.image.random_flip import RandomFlip as RandomFlip
from torchkeras.layers.preprocessing.image.random_perspective import (
    RandomPerspective as RandomPerspective,
)
from torchkeras.layers.preprocessing.image.random_rotation import RandomRotation as RandomRotation
from torchkeras.layers.preprocessing.image.random_shear import RandomShear as RandomShear
from torchkeras.layers.preprocessing.image.random_translation import (
    RandomTranslation as RandomTranslation,
)
from torchkeras.layers.preprocessing.image.random_zoom import RandomZoom as RandomZoom
from torchkeras.layers.preprocessing.image.resizing import Resizing as Resizing
