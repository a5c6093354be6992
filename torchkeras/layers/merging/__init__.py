"""Layers that combine a list of tensors, and their functional forms."""

from torchkeras.layers.merging.add import Add as Add
from torchkeras.layers.merging.add import add as add
from torchkeras.layers.merging.average import Average as Average
from torchkeras.layers.merging.average import average as average
from torchkeras.layers.merging.concatenate import Concatenate as Concatenate
from torchkeras.layers.merging.concatenate import concatenate as concatenate
from torchkeras.layers.merging.dot import Dot as Dot
from torchkeras.layers.merging.dot import dot as dot
from torchkeras.layers.merging.maximum import Maximum as Maximum
from torchkeras.layers.merging.maximum import maximum as maximum
from torchkeras.layers.merging.minimum import Minimum as Minimum
from torchkeras.layers.merging.minimum import minimum as minimum
from torchkeras.layers.merging.multiply import Multiply as Multiply
from torchkeras.layers.merging.multiply import multiply as multiply
from torchkeras.layers.merging.subtract import Subtract as Subtract
from torchkeras.layers.merging.subtract import subtract as subtract
