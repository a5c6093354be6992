"""Activation functions as layers."""

from torchkeras.layers.activations.activation import Activation as Activation
from torchkeras.layers.activations.elu import ELU as ELU
from torchkeras.layers.activations.leaky_relu import LeakyReLU as LeakyReLU
from torchkeras.layers.activations.prelu import PReLU as PReLU
from torchkeras.layers.activations.relu import ReLU as ReLU
from torchkeras.layers.activations.softmax import Softmax as Softmax
