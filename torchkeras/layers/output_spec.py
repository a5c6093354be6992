"""The symbols that a layer gives for symbols: from what its class says, else by tracing `call`."""

import functools

import torch

from torchkeras.core import shapes, tree
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype, to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.call_spec import call_spec, is_default, shapes_of
from torchkeras.layers.masks import any_mask, mask_of, put_masks, warn_of_lost_mask


def output_symbols(layer, spec, args, kwargs):
    """KerasTensors for the outputs of `layer(*args, **kwargs)`.

    Args:
        layer: Layer.
        spec: CallSpec of its `call`.
        args, kwargs: arguments of the call, KerasTensors among them.
    """
    if not says_shape(layer):
        return infer_output(layer, spec, args, kwargs)
    if _builds_in_call(layer):
        infer_output(layer, spec, args, kwargs)
    arguments = spec.bind(args, kwargs)
    first = next(iter(arguments.values()), None)
    if layer.keeps_shape and is_default(type(layer).compute_output_shape):
        shape = _shapes_of(first)
    else:
        rule = call_spec(type(layer).compute_output_shape)
        shape = layer.compute_output_shape(**rule.shape_arguments(shapes_of(arguments)))
    outputs = _symbols(shape, _output_dtype(layer, first))
    mask = arguments.get("mask")
    _mask_symbols(layer, first, outputs, mask_of(first) if mask is None else mask)
    return outputs


def says_shape(layer):
    """Whether the class of `layer` says the shape of its output, so that `call` need not run."""
    return layer.keeps_shape or not is_default(type(layer).compute_output_shape)


def infer_output(layer, spec, args, kwargs):
    """KerasTensors found by running the layer's `call`: on the symbols, else without data.

    Most code runs on symbols as it does on tensors, and the layers and functions in it tell what
    they give. Code that needs numbers for sizes, or real tensors, is run on tensors without data.
    """
    return shapes.infer_on_symbols(
        lambda *a, **k: layer._build_and_run(spec, a, k), args, kwargs, modules=(layer,)
    )


def _builds_in_call(layer):
    """Whether sublayers get their weights when `call` first meets them.

    A layer made from a config may be built before they are.
    """
    if not is_default(type(layer).build):
        return False
    return any(not part.built for part in layer._flatten_layers(include_self=False))


def _shapes_of(inputs):
    if isinstance(inputs, KerasTensor):
        return inputs.shape
    return tree.map_structure(lambda x: tuple(x.shape), inputs)


def _output_dtype(layer, first):
    """Dtype name of the outputs: the compute dtype, or a list of those the inputs are cast to."""
    if not layer.keeps_dtype:
        return layer.compute_dtype
    return [_cast_dtype(layer, x.dtype) for x in tree.flatten(first)]


def _cast_dtype(layer, dtype):
    casts = layer.autocast and is_float_dtype(dtype) and is_float_dtype(layer.compute_dtype)
    return layer.compute_dtype if casts else dtype


def _symbols(shape, dtypes):
    """Symbols of a structure of shapes, all of one dtype, or each of its own among `dtypes`."""
    if tree.is_shape(shape):
        return KerasTensor(shape, dtypes if isinstance(dtypes, str) else _promoted(dtypes))
    if isinstance(dtypes, str):
        return tree.map_shape_structure(lambda each: KerasTensor(each, dtypes), shape)
    following = iter(dtypes)
    return tree.map_shape_structure(lambda each: KerasTensor(each, next(following)), shape)


def _promoted(dtypes):
    """The dtype in which torch joins tensors of these dtypes."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    common = functools.reduce(torch.promote_types, map(to_torch_dtype, dtypes))
    return standardize_dtype(common)


def _mask_symbols(layer, first, outputs, mask):
    """Put symbols for masks on `outputs`; nothing but `compute_mask` runs for that."""
    if not layer.supports_masking:
        if any_mask(mask):
            warn_of_lost_mask(layer)
        return
    if not (layer._makes_masks or any_mask(mask)):
        return
    if layer._makes_masks or not is_default(type(layer).compute_mask):
        mask = shapes.infer(layer.compute_mask, (first, mask), {}, modules=(layer,))
    put_masks(tree.flatten(outputs), mask)
