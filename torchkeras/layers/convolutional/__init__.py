"""Layers that slide kernels over their inputs."""

from torchkeras.layers.convolutional.conv2d import Conv2D as Conv2D
