"""LayoutMap: layouts of weights by patterns of their paths."""

import collections.abc
import re

from torchkeras.distribution.device_mesh import TensorLayout


class LayoutMap(collections.abc.MutableMapping):
    """A dict of patterns to layouts, that is asked for the path of a weight.

    A key that is the very path counts first. Else the keys are regular expressions of which one
    must match the whole path; where none does, the answer is None: the weight is not divided.

    Args:
        device_mesh: DeviceMesh, or None.

    Raises:
        ValueError: a key is set twice, a value is no layout, or several patterns match a path.

    Example:

    >>> mesh = keras.distribution.DeviceMesh((1,), ["model"], devices=["cpu:0"])
    >>> layouts = keras.distribution.LayoutMap(mesh)
    >>> layouts[".*dense.*kernel"] = (None, "model")
    >>> layouts["my_model/dense_3/kernel"].axes, layouts["my_model/dense_3/bias"]
    ((None, 'model'), None)
    """

    def __init__(self, device_mesh):
        self._device_mesh = device_mesh
        self._layouts = {}

    @property
    def device_mesh(self):
        """The DeviceMesh of layouts that were given without one."""
        return self._device_mesh

    def __getitem__(self, key):
        if key in self._layouts:
            return self._layouts[key]
        matching = [pattern for pattern in self._layouts if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ValueError(
                "One pattern at most may match a path. Received: "
                f"'{key}', which {matching} match. Make the patterns more specific."
            )
        return self._layouts[matching[0]] if matching else None

    def __setitem__(self, key, layout):
        if key in self._layouts:
            raise ValueError(
                f"A key is set once. Received: '{key}' again, after {self._layouts[key]}. Delete "
                "it first."
            )
        if isinstance(layout, tuple):
            layout = TensorLayout(layout)
        if not isinstance(layout, TensorLayout):
            raise ValueError(
                "A layout is a TensorLayout, or a tuple of axis names and None. Received: "
                f"{layout!r} of type {type(layout).__name__} for '{key}'."
            )
        if layout.device_mesh is None and self._device_mesh is not None:
            layout.device_mesh = self._device_mesh
        self._layouts[key] = layout

    def __delitem__(self, key):
        del self._layouts[key]

    def __len__(self):
        return len(self._layouts)

    def __iter__(self):
        return iter(self._layouts)
