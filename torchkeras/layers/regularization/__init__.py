"""Layers that regularize: noise, and penalties on activity."""

from torchkeras.layers.regularization.activity_regularization import (
    ActivityRegularization as ActivityRegularization,
)
from torchkeras.layers.regularization.alpha_dropout import AlphaDropout as AlphaDropout
from torchkeras.layers.regularization.dropout import Dropout as Dropout
from torchkeras.layers.regularization.gaussian_dropout import GaussianDropout as GaussianDropout
from torchkeras.layers.regularization.gaussian_noise import GaussianNoise as GaussianNoise
from torchkeras.layers.regularization.spatial_dropout import SpatialDropout1D as SpatialDropout1D
from torchkeras.layers.regularization.spatial_dropout import SpatialDropout2D as SpatialDropout2D
from torchkeras.layers.regularization.spatial_dropout import SpatialDropout3D as SpatialDropout3D
