"""Tables: what a layer looks things up in, on the device of its input."""

import torch

from torchkeras.core import config
from torchkeras.layers.layer import Layer


class Tables:
    """Arrays of a layer that are no weights: they follow from its config or its assets.

    Each is a buffer, which moves with the module, and is kept as an array of NumPy besides: there
    it keeps its precision when the layer changes its dtype, and the processes of a DataLoader
    can use it whatever device the module is on. A base beside `Layer`.
    """

    _plain_attributes = Layer._plain_attributes | {"_arrays"}

    def _set_table(self, name, array):
        """Keep an array under the name of an attribute, in place of the one there was."""
        arrays = self.__dict__.setdefault("_arrays", {})
        old = self._buffers.get(name)
        device = config.default_device() if old is None else old.device
        arrays[name] = array
        tensor = torch.from_numpy(array).to(device)
        if old is None:
            self.register_buffer(name, tensor, persistent=False)
        else:
            self._buffers[name] = tensor

    def _table(self, name, device):
        """The tensor of that name on a device."""
        table = self._buffers[name]
        if table.device == device:
            return table
        return torch.from_numpy(self._arrays[name]).to(device)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        for name, array in self.__dict__.get("_arrays", {}).items():
            table = self._buffers[name]
            if table.is_floating_point():
                self._buffers[name] = torch.from_numpy(array).to(table.device)
        return self
