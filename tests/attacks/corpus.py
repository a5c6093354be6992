"""Good configs of all that a file may name: layers, functions, optimizers, losses, policies...

They are made from the names that configs may give, so that a new class is among them as soon as it
is public. `required` has arguments for those that need some.
"""

import inspect
import json
import warnings

import torchkeras as keras
from tests.ops.test_symbolic import CASES, replace
from torchkeras.core import serialization
from torchkeras.models.torch_functions import torch_functions

layers = keras.layers
# Those that are made by hand below, or are only there to be inherited from.
_NO_CONFIG = {"Functional", "Distiller", "FeatureSpace", "TorchLoss", "TorchModuleWrapper"}


def required():
    """Values for arguments without default, by `Class.argument` or `argument`."""
    return {
        "activation": "relu",
        "output_size": 2,
        "rate": 0.5,
        "Bidirectional.layer": layers.LSTM(2),
        "SpectralNormalization.layer": layers.Dense(2),
        "layer": layers.Dense(2),
        "height": 4,
        "width": 4,
        "filters": 2,
        "kernel_size": 2,
        "units": 2,
        "axes": 1,
        "equation": "...x,xy->...y",
        "output_shape": 2,
        "input_dim": 9,
        "output_dim": 2,
        "stddev": 0.1,
        "head_dim": 2,
        "num_query_heads": 2,
        "num_key_value_heads": 2,
        "num_bins": 4,
        "function": "relu",
        "max_number": 3,
        "num_heads": 2,
        "key_dim": 2,
        "dims": (1,),
        "CategoryEncoding.num_tokens": 4,
        "Discretization.num_bins": 4,
        "GroupNormalization.groups": 1,
        "InputLayer.shape": (3,),
        "STFTSpectrogram.frame_length": 4,
        "STFTSpectrogram.frame_step": 2,
        "STFTSpectrogram.fft_length": 4,
        "Lambda.function": keras.activations.relu,
        "Pipeline.layers": [layers.Rescaling(2.0)],
        "cell": layers.LSTMCell(2),
        "cells": [layers.LSTMCell(2), layers.GRUCell(2)],
        "RandomPosterization.factor": 4,
        "factor": 0.2,
        "height_factor": 0.2,
        "width_factor": 0.2,
        "n": 2,
        "scale": 2.0,
        "target_shape": (-1,),
        "initial_learning_rate": 0.1,
        "learning_rate": 0.1,
        "decay_steps": 10,
        "first_decay_steps": 10,
        "decay_rate": 0.5,
        "boundaries": [1, 2],
        "values": [0.3, 0.2, 0.1],
        "inner_optimizer": keras.optimizers.Adam(),
        "optimizer_map": keras.optimizers.OptimizerMap(keras.optimizers.SGD()),
        "default_optimizer": keras.optimizers.SGD(),
        "feature_names": ["a", "b"],
        "crossing_dim": 8,
        "Feature.dtype": "float32",
        "preprocessor": layers.Normalization(axis=None),
        "output_mode": "float",
        "LossFunctionWrapper.fn": keras.losses.mean_squared_error,
        "MeanMetricWrapper.fn": keras.metrics.mean_squared_error,
        "num_classes": 3,
        "target_class_ids": [0, 1],
        "recall": 0.5,
        "precision": 0.5,
        "specificity": 0.5,
        "sensitivity": 0.5,
        "init_values": 0.1,
        "projection_dim": 3,
        "Int4DTypePolicy.mode": "int4/-1",
        "QuantizedDTypePolicy.mode": "int8",
        "QuantizedFloat8DTypePolicy.mode": "float8",
        "QuantizedDTypePolicy.source_name": "float32",
        "Int4DTypePolicy.source_name": "float32",
        "QuantizedFloat8DTypePolicy.source_name": "float32",
    }


def objects():
    """`{name: object}` of every class that a config may name."""
    known, made = required(), {}
    for module, (namespace, _) in list(serialization._namespaces.items()):
        for name in sorted(namespace):
            cls = serialization._exposed(module, name)
            if cls is None or name in _NO_CONFIG or inspect.isabstract(cls):
                continue
            arguments = {}
            for parameter in inspect.signature(cls.__init__).parameters.values():
                own = known.get(f"{name}.{parameter.name}")
                needed = parameter.default is parameter.empty and parameter.name != "self"
                if own is not None:
                    arguments[parameter.name] = own
                elif needed and parameter.name in known:
                    arguments[parameter.name] = known[parameter.name]
            made[f"{module}.{name}"] = cls(**arguments)
    return made


def object_configs():
    """`{name: config}` of the objects that have one."""
    configs = {}
    for name, made in objects().items():
        try:
            configs[name] = serialization.serialize_keras_object(made)
        except NotImplementedError:  # a base class
            continue
    return configs


_SHAPES = [(3,), (8, 3), (8, 8, 3), (4, 8, 8, 3), (4, 4, 8, 8, 3), ()]


def _inputs_for(layer, shape):
    dtype = "string" if getattr(layer, "takes_text", False) else None
    return keras.Input(shape, name="x", dtype=dtype)


def layer_models():
    """`{name: model}` of a model for each layer that one, or two, inputs lead into."""
    models = {}
    for name, layer in objects().items():
        if not isinstance(layer, keras.layers.Layer) or isinstance(layer, keras.Model):
            continue
        for shape in _SHAPES:
            for count in (1, 2):
                inputs = [_inputs_for(layer, shape) for _ in range(count)]
                for i, x in enumerate(inputs):
                    x._keras_history.operation.name = f"x{i}"
                again = type(layer).from_config(layer.get_config())
                try:
                    outputs = again(inputs[0] if count == 1 else inputs)
                    if name not in models and outputs is not None:
                        models[name] = keras.Model(inputs, outputs, name="m")
                except Exception:
                    continue
            if name in models:
                break
    return models


def function_models():
    """`{name: model}` of a model for each function of keras.ops and of torch."""
    models = {}
    for name, args, kwargs in CASES:
        found = []

        def symbol(like, found=found):
            found.append(keras.Input(like.shape, dtype=like.dtype, name=f"x{len(found)}"))
            return found[-1]

        try:
            outputs = getattr(keras.ops, name)(*replace(args, symbol), **kwargs)
            models[f"ops.{name}"] = keras.Model(found, outputs, name="m")
        except Exception:
            continue
    for name, function in torch_functions().items():
        for more in ((), (1,), ("x",), (0, 1), ("x", "x"), ([4, 1, 4],)):
            x = keras.Input((4, 4), name="x", batch_size=2)
            try:
                outputs = function(x, *(x if one == "x" else one for one in more))
                models[name] = keras.Model(x, outputs, name="m")
                break
            except Exception:
                continue
    return models


def whole_models():
    """`{name: model}` of models that are put together in all ways."""
    x, y = keras.Input((8, 3), name="x"), keras.Input((8, 3), name="y")
    dense = layers.Dense(3, name="shared")
    branch = keras.Sequential([keras.Input((8, 3)), layers.LSTM(4), layers.Dropout(0.1, seed=1)])
    joined = layers.Concatenate()([branch(dense(x)), branch(dense(y))])
    nested = keras.Model([x, y], {"a": layers.Dense(2)(joined), "b": joined * 2.0}, name="nested")
    stack = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(2, 3, kernel_regularizer="l2", kernel_constraint="max_norm"),
            layers.BatchNormalization(),
            layers.Bidirectional(layers.ConvLSTM1D(2, 2)),
            layers.Flatten(),
            layers.Dense(2, dtype="mixed_bfloat16", activation="softmax"),
        ],
        name="stack",
    )
    lazy = keras.Sequential([layers.Dense(2), layers.Dense(2)], name="lazy")
    text = keras.Sequential(
        [
            keras.Input((), dtype="string"),
            layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=4),
            layers.Embedding(8, 2, mask_zero=True),
            layers.RNN([layers.GRUCell(2), layers.SimpleRNNCell(2)]),
        ],
        name="text",
    )
    attention = keras.Model(x, layers.MultiHeadAttention(2, 2)(x, x, use_causal_mask=True))
    quantized = keras.Sequential([keras.Input((4,)), layers.Dense(4)], name="quantized")
    quantized.quantize("int8")
    return {
        "nested": nested,
        "stack": stack,
        "lazy": lazy,
        "text": text,
        "attention": attention,
        "quantized": quantized,
    }


def compiled_models():
    """`{name: model}` of small models compiled with each optimizer, loss, metric and schedule."""
    models = {}
    for name, made in objects().items():
        arguments = {"optimizer": "sgd", "loss": "mse"}
        if type(made) is keras.optimizers.schedules.LearningRateSchedule:
            continue  # the base class, which no file holds
        if isinstance(made, keras.optimizers.schedules.LearningRateSchedule):
            arguments["optimizer"] = keras.optimizers.Adam(made)
        elif isinstance(made, keras.optimizers.Optimizer):
            arguments["optimizer"] = made
        elif isinstance(made, keras.metrics.Metric):
            arguments["metrics"] = [made]
        elif isinstance(made, keras.losses.Loss):
            arguments["loss"] = made
        else:
            continue
        model = keras.Sequential([keras.Input((3,)), layers.Dense(2)], name="m")
        try:
            model.compile(**arguments)
            model.optimizer.build(model.trainable_variables)
        except Exception:
            continue
        models[f"compiled with {name}"] = model
    return models


def models():
    """`{name: model}` of all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {**layer_models(), **function_models(), **compiled_models(), **whole_models()}
    described = {}
    for name, model in made.items():
        try:
            json.dumps(serialization.serialize_keras_object(model))
            described[name] = model
        except (NotImplementedError, ValueError, TypeError):
            continue
    return described
