"""Layers that move images against real Keras: one transformation given to both, configs, shapes."""

import inspect
import json
import warnings

import numpy as np
import pytest
import torch

import torchkeras
from tests.layers.preprocessing.image.support import sample
from torchkeras import layers
from torchkeras.core import tree
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import FORMATS
from torchkeras.utils import bounding_boxes

keras = pytest.importorskip("keras")

LAST, FIRST = "channels_last", "channels_first"
RANDOM = {
    "flip": ("RandomFlip", {"mode": "horizontal"}),
    "flip both": ("RandomFlip", {}),
    "rotation": ("RandomRotation", {"factor": 0.3}),
    "rotation, constant": (
        "RandomRotation",
        {"factor": (0.1, 0.2), "fill_mode": "constant", "fill_value": 3.0},
    ),
    "zoom": ("RandomZoom", {"height_factor": 0.3}),
    "zoom, wrap": (
        "RandomZoom",
        {"height_factor": (-0.2, 0.4), "width_factor": 0.4, "fill_mode": "wrap"},
    ),
    "translation": ("RandomTranslation", {"height_factor": 0.3, "width_factor": (0.1, 0.2)}),
    "translation, nearest": (
        "RandomTranslation",
        {
            "height_factor": 0.3,
            "width_factor": 0.2,
            "fill_mode": "nearest",
            "interpolation": "nearest",
        },
    ),
    "shear": ("RandomShear", {"x_factor": (0.1, 0.4), "y_factor": (0.2, 0.3)}),
    "perspective": ("RandomPerspective", {"scale": 0.4, "fill_value": 2.0}),
}
FIXED = {
    "resizing": ("Resizing", {"height": 7, "width": 11}),
    "resizing, nearest": ("Resizing", {"height": 3, "width": 20, "interpolation": "nearest"}),
    "resizing, bicubic": (
        "Resizing",
        {"height": 5, "width": 4, "interpolation": "bicubic", "antialias": True},
    ),
    "resizing, crop": ("Resizing", {"height": 5, "width": 9, "crop_to_aspect_ratio": True}),
    "resizing, pad": (
        "Resizing",
        {"height": 9, "width": 5, "pad_to_aspect_ratio": True, "fill_value": 4.0},
    ),
    "center crop": ("CenterCrop", {"height": 4, "width": 3}),
    "center crop, smaller": ("CenterCrop", {"height": 9, "width": 3}),
    "boxes": ("MaxNumBoundingBoxes", {"max_number": 3}),
}


def both(case, **more):
    name, kwargs = case
    return getattr(layers, name)(**kwargs, **more), getattr(keras.layers, name)(**kwargs, **more)


def images(data_format=LAST, dtype=torch.float32):
    x = sample(batch=4, size=(6, 8))["images"].to(dtype)
    return x if data_format == LAST else x.movedim(-1, 1)


def ours_of(transformation):
    """Keras's transformation with the names that ours has besides."""
    # A copy, since Keras writes into the matrix of a rotation when it uses it.
    ours = tree.map_structure(
        lambda x: x.clone() if isinstance(x, torch.Tensor) else x, dict(transformation)
    )
    if "image_height" in ours:
        ours["input_shape"] = (4, ours["image_height"], ours["image_width"], 3)
    return ours


@pytest.mark.parametrize("data_format", [LAST, FIRST])
@pytest.mark.parametrize("case", RANDOM.values(), ids=RANDOM)
def test_one_transformation_gives_the_same(case, data_format):
    ours, theirs = both(case, data_format=data_format, seed=1)
    for dtype in (torch.float32, torch.uint8):
        x = images(data_format, dtype)
        drawn = theirs.get_random_transformation(x, training=True)
        kept = ours_of(drawn)
        expected = theirs.transform_images(x, {**drawn, **ours_of(drawn)}, training=True)
        found = ours.transform_images(x, kept, training=True)
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-3)
        masks = x[:, :1] if data_format == FIRST else x[..., :1]
        masks = masks.float()  # of integers Keras makes floats in some layers
        expected = theirs.transform_segmentation_masks(masks, drawn, training=True)
        found = ours.transform_segmentation_masks(masks, kept, training=True)
        # The nearest of two pixels that are as near is a matter of rounding.
        assert ((found - expected).abs() > 1e-3).float().mean() < 0.01
        assert torch.equal(ours.transform_images(x, None, training=False), x.float())


@pytest.mark.parametrize("data_format", [LAST, FIRST])
@pytest.mark.parametrize("case", FIXED.values(), ids=FIXED)
def test_layers_without_chance_give_the_same(case, data_format):
    ours, theirs = both(case, data_format=data_format)
    for x in (images(data_format), images(data_format)[0], images(data_format, torch.uint8)):
        expected = theirs(x)
        found = ours(x)
        assert found.dtype == expected.dtype
        # Of integers another order of sums may round to the next.
        atol = 1e-3 if found.is_floating_point() else 1
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=atol)
        shape = tuple(ours.compute_output_shape(tuple(x.shape)))
        assert shape == tuple(theirs.compute_output_shape(tuple(x.shape))) == tuple(found.shape)


def test_a_crop_from_the_same_place():
    for data_format in (LAST, FIRST):
        ours, theirs = both(("RandomCrop", {"height": 3, "width": 4}), data_format=data_format)
        x = images(data_format)
        top, left = theirs.get_random_transformation(x, training=True)
        expected = theirs.transform_images(x, (int(top), int(left)), training=True)
        drawn = {"start": (top.long().expand(len(x)), left.long().expand(len(x)))}
        drawn["input_shape"] = x.shape
        assert torch.equal(ours.transform_images(x, drawn), expected)


BOXES = {
    "flip": RANDOM["flip"],
    "translation": RANDOM["translation"],
    "center crop": FIXED["center crop"],
    "resizing": FIXED["resizing"],
    "resizing, pad": ("Resizing", {"height": 16, "width": 16, "pad_to_aspect_ratio": True}),
    "boxes": FIXED["boxes"],
}


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # Keras's
@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("box_format", ["xyxy", "rel_xyxy", "center_xywh"])
def test_boxes_agree(name, box_format):
    # Those of the other layers are off by up to a pixel in Keras, or are not converted.
    ours, theirs = both(BOXES[name], bounding_box_format=box_format)
    data = sample(batch=4, size=(6, 8))
    boxes = data["bounding_boxes"]
    if name == "flip":  # in Keras a box at the edge is cut as if its numbers were pixels
        boxes["boxes"][:, 1] = torch.tensor([2.0, 1.0, 5.0, 4.0])
    boxes = bounding_boxes.convert_format(boxes, "xyxy", box_format, height=6, width=8)
    drawn = theirs.get_random_transformation(data["images"], training=True)
    expected = theirs.transform_bounding_boxes(
        tree.map_structure(torch.clone, boxes), drawn, training=True
    )
    if isinstance(drawn, tuple):
        drawn = {"input_shape": (4, *drawn, 3)}
    found = ours.transform_bounding_boxes(boxes, drawn, training=True)
    torch.testing.assert_close(found["boxes"], expected["boxes"], rtol=1e-5, atol=1e-5)
    assert found["labels"].tolist() == expected["labels"].tolist()


# What Keras's configs leave out, or write otherwise: `fill_value` of boxes is of Keras 3.16.
MORE = {"MaxNumBoundingBoxes": {"fill_value"}}


@pytest.mark.parametrize(
    "case",
    [
        *RANDOM.values(),
        *FIXED.values(),
        ("RandomCrop", {"height": 3, "width": 4, "seed": 7}),
        ("RandomElasticTransform", {"factor": 0.5, "scale": (0.1, 0.3)}),
        ("RandomShear", {"x_factor": 0.3}),
    ],
    ids=lambda case: case[0],
)
def test_configs_agree_and_are_read(case):
    ours, theirs = both(case, name="it", bounding_box_format="xyxy")
    expected = json.loads(json.dumps(theirs.get_config()))
    config = json.loads(json.dumps(ours.get_config()))
    more = MORE.get(case[0], set())
    assert {k: v for k, v in config.items() if k not in more and k != "dtype"} == {
        k: v for k, v in expected.items() if k != "dtype"
    }
    del expected["dtype"]
    again = type(ours).from_config(expected)
    assert json.loads(json.dumps(again.get_config())) == config


def test_a_layer_acts_by_itself_as_in_keras():
    x = np.arange(64, dtype="float32").reshape(4, 4, 4, 1)
    for library in (torchkeras, keras):
        layer = library.layers.RandomTranslation((0.5, 0.5), 0.0, fill_mode="constant")
        inputs = library.Input((4, 4, 1))
        model = library.Model(inputs, layer(inputs))
        sequential = library.Sequential([layer])
        for call in (layer, model, sequential):
            y = np.asarray(call(x))
            assert (y[:, :2] == 0).all() and (y[:, 2:] == x[:, :2]).all()
            assert (np.asarray(call(x, training=False)) == x).all()
        # Keras's own arrays.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert (model.predict(x, verbose=0) == x).all()


@pytest.mark.parametrize("source", ["xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw"])
def test_formats_of_boxes_agree(source):
    boxes = torch.tensor([[[1.0, 2, 4, 5], [0, 1, 9, 3]]])
    theirs = keras.utils.bounding_boxes
    for target in FORMATS:
        args = boxes, source, target, 10, 20
        torch.testing.assert_close(
            bounding_boxes.convert_format(*args), theirs.convert_format(*args)
        )
        args = boxes, target, source, 10, 20
        torch.testing.assert_close(
            bounding_boxes.convert_format(*args), theirs.convert_format(*args)
        )


def test_functions_on_boxes_agree():
    ours, theirs = bounding_boxes, keras.utils.bounding_boxes
    generator = torch.Generator().manual_seed(0)
    corners = (torch.rand(2, 5, 2, 2, generator=generator) * 20).sort(2).values
    boxes = corners.flatten(2)
    a, b = boxes
    numbers = torch.rand(6, 2, generator=generator)
    numbers[0] *= 90
    numbers[4:] *= 20
    shape = (20, 30, 3)
    calls = {
        "affine_transform": (boxes, *numbers, 20, 30),
        "crop": (boxes, 3, 4, 10, 12),
        "pad": (boxes, 3, 4),
        "encode_box_to_deltas": (a, boxes, "xywh", "xyxy", "center_xywh", [0.1, 0.1, 0.2, 0.2]),
        "decode_deltas_to_boxes": (a, boxes / 20, "xywh", "rel_xyxy", "center_yxhw", None, shape),
        "compute_iou": (boxes, boxes.flip(1), "xyxy", True),
        "compute_ciou": (a, b, "xyxy"),
    }
    for name, size in (("xyxy", (9, 12)), ("rel_xyxy", (None, None))):
        data = {"boxes": boxes if name == "xyxy" else boxes / 10, "labels": torch.ones(2, 5).int()}
        clipped = theirs.clip_to_image_size(dict(data), *size, name)
        found = ours.clip_to_image_size(data, *size, name)
        tree.map_structure(torch.testing.assert_close, found, clipped)
        assert (found["labels"] == -1).any() and (found["labels"] == 1).any()
    for name, args in calls.items():
        expected = getattr(theirs, name)(*args)
        torch.testing.assert_close(getattr(ours, name)(*args), expected, rtol=1e-5, atol=1e-5)
        theirs_of, ours_of = (inspect.signature(getattr(x, name)) for x in (theirs, ours))
        assert str(theirs_of) == str(ours_of)
