"""LayerConfig: how a layer is described in files, and made again."""

from torchkeras.core import tree
from torchkeras.core.init_arguments import config_of_arguments
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.call_spec import is_default


class LayerConfig:
    """The part of Layer for configs, for the shapes it was built with, and for assets."""

    def get_config(self):
        """Constructor arguments that make the layer again.

        A subclass that takes only numbers, strings, layers and the like need not override it:
        the arguments it was made with are remembered.

        Raises:
            NotImplementedError: an argument cannot be described in a config.
        """
        base = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy}
        if self.activity_regularizer is not None:
            base["activity_regularizer"] = self.activity_regularizer
        plain = is_default(type(self).__init__)
        if self._init_arguments is not None and plain:
            base["activity_regularizer"] = self.activity_regularizer
            base["autocast"] = self.autocast
        base = {key: serialize_keras_object(value) for key, value in base.items()}
        if self._init_arguments is None or plain:
            return base
        return config_of_arguments(self, *self._init_arguments, base)

    get_config._uses_init_arguments = True

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described."""
        config = dict(config)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = deserialize_keras_object(config["dtype"])
        if cls.get_config is LayerConfig.get_config:
            dtype = {"dtype": config.pop("dtype")} if "dtype" in config else {}
            config = {key: deserialize_keras_object(value) for key, value in config.items()}
            config.update(dtype)
        try:
            return cls(**config)
        except TypeError as error:
            raise TypeError(
                f"{cls.__name__} could not be made from its config. Received: config={config}. "
                f"The constructor said: {error}. Give the class a `get_config` that returns its "
                "constructor's arguments."
            ) from error

    def get_assets(self):
        """State for model files that is neither config nor numbers, such as a vocabulary.

        Returns:
            dict of file names to bytes. Those given back to `set_assets` restore the state.

        Example:

        >>> keras.layers.Dense(1).get_assets()
        {}
        """
        return {}

    def set_assets(self, assets):
        """Restore the state that `get_assets` described; never by running code from it.

        Args:
            assets: dict of file names to bytes.

        Raises:
            ValueError: they are not what this layer writes.
        """
        if assets:
            raise ValueError(
                f"Layer '{self.name}' of class {type(self).__name__} keeps no assets in files. "
                f"Received: {sorted(assets)}."
            )

    def get_build_config(self):
        """What `build_from_config` needs to create the weights again, or None."""
        build_shapes = self.__dict__.get("_build_shapes")
        if not build_shapes:
            return None
        if len(build_shapes) == 1:
            return {"input_shape": next(iter(build_shapes.values()))}
        return {"shapes_dict": dict(build_shapes)}

    def build_from_config(self, config):
        """Create the weights as `get_build_config` recorded."""
        if not config or self.built:
            return
        if "input_shape" in config:
            self.build(_as_shapes(config["input_shape"]))
        else:
            build_shapes = config.get("shapes_dict", config)
            if is_default(type(self).build):
                self._finish_build(build_shapes)  # it takes one shape only, and makes nothing of it
                return
            self.build(**{name: _as_shapes(shape) for name, shape in build_shapes.items()})
        self._built_from_config = self._build_done

    def _move_path(self, path):
        """Take another place in the paths, with all below: names in a file do not change."""
        old = self._path
        self._set_path(path)
        for layer in self._flatten_layers():
            if layer is not self and (layer._path or "").startswith(f"{old}/"):
                layer._set_path(path + layer._path[len(old) :])
            for variable in layer._handles.values():
                if variable.path.startswith(f"{old}/"):
                    variable._path = path + variable.path[len(old) :]


def _as_shapes(shape):
    if tree.is_shape(shape):
        return tuple(shape)
    if isinstance(shape, dict):
        return {key: _as_shapes(value) for key, value in shape.items()}
    return [_as_shapes(item) for item in shape] if isinstance(shape, (list, tuple)) else shape
