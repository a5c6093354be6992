"""MixUp, CutMix and RandomErasing: the contract, what is drawn, and what belongs to the images."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers

SHAPE = (8, 5, 6, 3)
FIRST = {"data_format": "channels_first"}

CASES = {
    "mix_up": image_case(layers.MixUp, {"alpha": 0.4}, SHAPE, expected_num_seed_generators=1),
    "mix_up-bytes": image_case(layers.MixUp, FIRST, (8, 3, 5, 6), input_dtype="uint8"),
    "cut_mix": image_case(layers.CutMix, {"factor": (0.5, 1.0)}, SHAPE),
    "cut_mix-first": image_case(layers.CutMix, FIRST, (8, 3, 5, 6)),
    "erasing": image_case(layers.RandomErasing, {"factor": 0.8}, SHAPE),
    "erasing-color": image_case(
        layers.RandomErasing, {"fill_value": [1, 2, 3], "scale": (0.1, 0.7), **FIRST}, (8, 3, 5, 6)
    ),
    "erasing-one": image_case(
        layers.RandomErasing, {"factor": (1, 1)}, (5, 6, 3), dynamic_batch=False
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def numbered(batch=6, size=(8, 9), channels=1):
    """Images whose pixels all have the number of the image, and one-hot labels."""
    images = torch.arange(float(batch)).reshape(-1, 1, 1, 1).expand(batch, *size, channels)
    return {"images": images.clone(), "labels": torch.eye(batch)}


@pytest.mark.parametrize("cls", [layers.MixUp, layers.CutMix])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_label_has_the_shares_of_the_pixels(cls, data_format):
    data = numbered(batch=16, channels=3)
    if data_format == "channels_first":
        data["images"] = data["images"].movedim(-1, 1)
    out = cls(1.0, seed=1, data_format=data_format)(data)
    # The mean of the pixels is that of the numbers, weighed as the labels are.
    expected = (out["labels"] * torch.arange(16.0)).sum(1)
    torch.testing.assert_close(out["images"].mean((1, 2, 3)), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(out["labels"].sum(1), torch.ones(16))
    own = out["labels"].diagonal()
    assert len(own.unique()) > 8, "each image has a weight of its own"
    assert (out["labels"] > 0).sum(1).max() == 2


def test_weights_of_mix_up_are_of_the_beta_distribution():
    layer = layers.MixUp(0.5, seed=1)
    weight = layer.get_random_transformation(torch.zeros(4000, 1, 1, 1))["mix_weight"]
    # Mean 1/2 and variance 1 / (4 (2 alpha + 1)) = 1/8; four standard errors.
    assert weight.mean() == pytest.approx(0.5, abs=0.023)
    assert weight.var() == pytest.approx(1 / 8, abs=0.008)


def test_areas_of_cut_mix_are_of_the_beta_distribution():
    images = torch.zeros(4000, 50, 50, 1)
    transformation = layers.CutMix((1.0, 1.0), seed=1).get_random_transformation(images)
    weight = transformation["mix_weight"]
    # Even over [0, 1]; whole pixels move it by less than 1/50.
    shares = torch.histc(weight, 5, 0, 1) / len(weight)
    assert (shares - 0.2).abs().max() < 0.04
    inside = transformation["batch_masks"].float()
    torch.testing.assert_close(weight, 1 - inside.mean((1, 2, 3)))
    across, down = inside.amax((1, 3)).sum(1), inside.amax((2, 3)).sum(1)
    torch.testing.assert_close(across * down, inside.sum((1, 2, 3)))
    # Where there is room, rectangles lie anywhere: on average in the middle.
    middle = inside.mean((0, 3))
    torch.testing.assert_close(middle, middle.flip(0), rtol=0, atol=0.05)
    torch.testing.assert_close(middle, middle.flip(1), rtol=0, atol=0.05)


def test_cut_mix_pastes_at_the_same_place():
    x = torch.arange(6 * 8 * 9).reshape(6, 8, 9, 1).float()
    layer = layers.CutMix(seed=2)
    transformation = layer.get_random_transformation(x)
    y = layer.transform_images(x, transformation)
    others = x[transformation["permutation_order"]]
    where = transformation["batch_masks"]
    assert torch.equal(y[where], others[where]) and torch.equal(y[~where], x[~where])
    assert 0 < where.float().mean() < 1


@pytest.mark.parametrize("cls", [layers.MixUp, layers.CutMix, layers.RandomErasing])
def test_nothing_changes_at_inference(cls):
    data = sample()
    out = cls(bounding_box_format="xyxy")(data, training=False)
    assert torch.equal(out["images"], data["images"])
    for name in ("labels", "segmentation_masks"):
        assert torch.equal(out[name], data[name])
    assert torch.equal(out["bounding_boxes"]["boxes"], data["bounding_boxes"]["boxes"])


def test_mix_up_keeps_the_boxes_of_both():
    data = {**numbered(2), "bounding_boxes": sample(2)["bounding_boxes"]}
    boxes = data["bounding_boxes"]
    boxes["boxes"][1] += 1
    boxes["labels"][1] += 10
    layer = layers.MixUp(bounding_box_format="xyxy", seed=1)
    transformation = layer.get_random_transformation(data)
    order = transformation["permutation_order"] = torch.tensor([1, 0])
    out = layer.transform_bounding_boxes(boxes, transformation)
    assert torch.equal(out["boxes"], torch.cat([boxes["boxes"], boxes["boxes"][order]], 1))
    assert out["labels"].tolist() == [[3, 5, 13, 15], [13, 15, 3, 5]]
    assert layer(data)["bounding_boxes"]["labels"].shape == (2, 4)


def test_symbols_of_mixed_data():
    inputs = {
        "images": keras.Input((8, 9, 3), dtype="uint8"),
        "labels": keras.Input((4,), dtype="int32"),
        "segmentation_masks": keras.Input((8, 9, 4), dtype="uint8"),
        "bounding_boxes": {
            "boxes": keras.Input((3, 4)),
            "labels": keras.Input((None,), dtype="int32"),
        },
    }
    out = layers.MixUp(bounding_box_format="xyxy")(inputs)
    assert [out[name].dtype for name in ("images", "labels", "segmentation_masks")] == [
        "float32"
    ] * 3
    assert out["bounding_boxes"]["boxes"].shape == (None, 6, 4)
    assert out["bounding_boxes"]["labels"].shape == (None, None)
    del inputs["bounding_boxes"]
    out = layers.CutMix()(inputs)
    assert (out["labels"].dtype, out["segmentation_masks"].dtype) == ("float32", "uint8")


def test_masks_go_with_the_images():
    data = numbered(6)
    rows = torch.nn.functional.one_hot(torch.arange(6)).reshape(6, 1, 1, 6).expand(6, 8, 9, 6)
    out = layers.MixUp(1.0, seed=1)({**data, "segmentation_masks": rows})
    torch.testing.assert_close(out["segmentation_masks"][:, 0, 0], out["labels"])
    for ids in (data["images"].to(torch.uint8), data["images"][..., 0].to(torch.int64)):
        out = layers.CutMix(seed=1)({**data, "segmentation_masks": ids})
        assert out["segmentation_masks"].dtype is ids.dtype
        assert torch.equal(out["segmentation_masks"].reshape(6, -1), out["images"].reshape(6, -1))
        with pytest.raises(ValueError, match="must be one-hot"):
            layers.MixUp()({**data, "segmentation_masks": ids})


@pytest.mark.parametrize("cls", [layers.MixUp, layers.CutMix])
def test_labels_of_all_kinds(cls):
    data = numbered(4)
    values = cls(1.0, seed=1)({**data, "labels": torch.arange(4.0)})
    rows = cls(1.0, seed=1)(data)
    torch.testing.assert_close(values["labels"], rows["labels"] @ torch.arange(4.0))
    whole = cls(1.0, seed=1)({**data, "labels": torch.eye(4, dtype=torch.int64)})
    torch.testing.assert_close(whole["labels"], rows["labels"])
    with pytest.raises(ValueError, match="one-hot rows of shape"):
        cls()({**data, "labels": torch.arange(4)})


@pytest.mark.parametrize("cls", [layers.MixUp, layers.CutMix])
def test_one_image_has_nobody_to_mix_with(cls):
    x = torch.rand(4, 5, 3)
    out = cls(1.0)({"images": x, "labels": torch.tensor([0.0, 1.0])})
    torch.testing.assert_close(out["images"], x)
    torch.testing.assert_close(out["labels"], torch.tensor([0.0, 1.0]))


def test_cut_mix_refuses_boxes():
    with pytest.raises(ValueError, match="cannot cut bounding boxes"):
        layers.CutMix(bounding_box_format="xyxy")({**sample(), "labels": torch.eye(2)})


# RandomErasing


def test_erased_rectangles():
    layer = layers.RandomErasing(
        (1, 1), scale=(0.2, 0.3), fill_value=-1, value_range=(-1, 1), seed=1
    )
    y = layer(torch.ones(500, 40, 50, 2))
    erased = (y == -1).all(-1)
    assert torch.equal(erased, (y == -1).any(-1))
    across, down = erased.any(1).sum(1), erased.any(2).sum(1)
    assert torch.equal(across * down, erased.sum((1, 2)))
    # Sides are roots of 0.2 to 0.3, in parts of the image's; whole pixels move them by one.
    for side, size in ((across, 50), (down, 40)):
        assert side.min() >= size * np.sqrt(0.2) - 1 and side.max() <= size * np.sqrt(0.3) + 1
        assert (side.double() / size).square().mean() == pytest.approx(0.25, abs=0.01)


def test_share_of_erased_images():
    y = layers.RandomErasing((0.2, 0.4), fill_value=0, seed=1)(torch.ones(4000, 8, 8, 1))
    share = (y == 0).flatten(1).any(1)
    # The smallest rectangle, 0.14 of 8 pixels a side, has the centre of one pixel in it at least.
    assert share.double().mean() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("value_range", [(0, 255), (0, 1)])
def test_erased_with_noise(value_range):
    layer = layers.RandomErasing((1, 1), (0.5, 0.5), value_range=value_range, seed=1)
    y = layer(torch.full((200, 16, 16, 1), 0.5 * value_range[1] + 1e-3))
    noise = y[y != 0.5 * value_range[1] + 1e-3] / value_range[1]
    # A half of normal noise is below 0, and Phi(-1) of it above 1: both are clipped.
    assert (noise == 0).double().mean() == pytest.approx(0.5, abs=0.02)
    assert (noise == 1).double().mean() == pytest.approx(0.1587, abs=0.02)


def test_erased_with_a_colour_in_both_formats():
    x = torch.full((4, 6, 7, 3), 9.0)
    y = layers.RandomErasing((1, 1), fill_value=(1, 2, 300), seed=1)(x)
    first = layers.RandomErasing((1, 1), fill_value=(1, 2, 300), seed=1, **FIRST)(x.movedim(-1, 1))
    assert torch.equal(first.movedim(1, -1), y)
    assert {tuple(c) for c in y.reshape(-1, 3).tolist()} == {(9, 9, 9), (1, 2, 255)}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.MixUp(0), "`alpha` must be a number above 0"),
        (lambda: layers.CutMix(2), "`factor` must be a number from 0"),
        (lambda: layers.RandomErasing(scale=(0, 2)), "`scale` must be"),
        (lambda: layers.RandomErasing(fill_value="red"), "`fill_value` must be"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()
