"""Layers that move elements without computing."""

from torchkeras.layers.reshaping.cropping1d import Cropping1D as Cropping1D
from torchkeras.layers.reshaping.cropping2d import Cropping2D as Cropping2D
from torchkeras.layers.reshaping.cropping3d import Cropping3D as Cropping3D
from torchkeras.layers.reshaping.flatten import Flatten as Flatten
from torchkeras.layers.reshaping.permute import Permute as Permute
from torchkeras.layers.reshaping.repeat_vector import RepeatVector as RepeatVector
from torchkeras.layers.reshaping.reshape import Reshape as Reshape
from torchkeras.layers.reshaping.up_sampling1d import UpSampling1D as UpSampling1D
from torchkeras.layers.reshaping.up_sampling2d import UpSampling2D as UpSampling2D
from torchkeras.layers.reshaping.up_sampling3d import UpSampling3D as UpSampling3D
from torchkeras.layers.reshaping.zero_padding1d import ZeroPadding1D as ZeroPadding1D
from torchkeras.layers.reshaping.zero_padding2d import ZeroPadding2D as ZeroPadding2D
from torchkeras.layers.reshaping.zero_padding3d import ZeroPadding3D as ZeroPadding3D
