"""RandAugment and AugMix: which augmentations each image meets, and what goes with it."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers
from torchkeras.core import tree
from torchkeras.layers.preprocessing.image import layer_choice

RANGE = {"value_range": (-4.0, 4.0)}
SHAPE = (4, 6, 8, 3)

CASES = {
    "rand_augment": image_case(
        layers.RandAugment, {"num_ops": 1, **RANGE}, SHAPE, expected_num_seed_generators=1
    ),
    "rand_augment-bytes": image_case(
        layers.RandAugment,
        {"data_format": "channels_first", "factor": (0.1, 0.4)},
        (4, 3, 6, 8),
        input_dtype="uint8",
        expected_output_dtype="float32",
    ),
    "rand_augment-one": image_case(layers.RandAugment, RANGE, SHAPE[1:], dynamic_batch=False),
    "aug_mix": image_case(
        layers.AugMix,
        {"num_chains": 1, "chain_depth": 1, **RANGE},
        SHAPE,
        expected_num_seed_generators=1,
    ),
    "aug_mix-few": image_case(
        layers.AugMix,
        {"all_ops": False, "alpha": 0.5, "factor": (0.1, 0.4), "data_format": "channels_first"},
        (4, 3, 6, 8),
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def images(batch=16, seed=0):
    return torch.rand((batch, 6, 8, 3), generator=torch.Generator().manual_seed(seed)) * 255


POLICIES = {
    "rand_augment": lambda **kwargs: layers.RandAugment(num_ops=3, seed=1, **kwargs),
    "aug_mix": lambda **kwargs: layers.AugMix(seed=1, **kwargs),
}


def test_each_image_meets_the_layers_drawn_for_it():
    layer = POLICIES["rand_augment"]()
    x = images()
    transformation = layer.get_random_transformation(x)
    y = layer.transform_images(x, transformation)
    parts = layer._layers_to_choose
    drawn = [transformation["transforms"][name] for name in layer._names]
    for i in range(len(x)):
        expected = x
        for number in transformation["layer_idxes"][:, i].tolist():
            expected = parts[number].transform_images(expected, drawn[number])
        torch.testing.assert_close(y[i], expected[i], rtol=1e-5, atol=1e-3)


def test_layers_are_drawn_evenly():
    layer = layers.RandAugment(num_ops=2, seed=1)
    choice = layer.get_random_transformation(torch.zeros(4000, 1, 1, 3))["layer_idxes"]
    assert choice.shape == (2, 4000)
    pairs = choice[0] * 11 + choice[1]
    # Counts of 4,000 / 121 = 33 each: all within five standard deviations.
    assert (torch.bincount(pairs, minlength=121) - 33).abs().max() < 5 * 33**0.5


@pytest.mark.parametrize("policy", POLICIES)
def test_choosing_rows_gives_what_choosing_among_results_gives(policy, monkeypatch):
    """The first is done on the CPU, the second where reading the choice would be to wait."""
    data = {**sample(batch=8), "images": images(8)}
    masks = torch.nn.functional.one_hot(data["segmentation_masks"][..., 0])
    data["segmentation_masks"] = masks.float()
    found = []
    for reads in (True, False):
        if not reads:
            monkeypatch.setattr(layer_choice, "_may_read", lambda choice: False)
        found.append(POLICIES[policy](bounding_box_format="xyxy")(data))
    tree.map_structure(lambda a, b: torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-3), *found)
    assert not torch.equal(found[0]["images"], data["images"])


def test_boxes_and_masks_follow_the_images():
    """A white rectangle stays where its box and its mask are."""
    x = torch.zeros(64, 40, 40, 3)
    x[:, 12:24, 10:28] = 255
    data = {
        "images": x,
        "segmentation_masks": (x[..., :1] > 0).to(torch.uint8),
        "bounding_boxes": {
            "boxes": torch.tensor([10.0, 12, 28, 24]).expand(64, 1, 4),
            "labels": torch.ones(64, 1, dtype=torch.int64),
        },
    }
    layer = layers.RandAugment(
        num_ops=2, factor=(0.05, 0.1), seed=1, bounding_box_format="xyxy", interpolation="nearest"
    )
    transformation = layer.get_random_transformation(x)
    # Movements alone, in both orders.
    transformation["layer_idxes"] = transformation["layer_idxes"] % 3
    moved = layer.transform_images(x, transformation)[..., 0] > 127
    masks = layer.transform_segmentation_masks(data["segmentation_masks"], transformation)
    assert masks.dtype is torch.uint8
    assert torch.equal(masks[..., 0] > 0, moved)
    boxes = layer.transform_bounding_boxes(data["bounding_boxes"], transformation)["boxes"][:, 0]
    columns, rows = torch.arange(40) + 0.5, torch.arange(40) + 0.5
    inside = (columns > boxes[:, None, :1].squeeze(-1) - 1.5) & (
        columns < boxes[:, None, 2:3].squeeze(-1) + 1.5
    )
    down = (rows > boxes[:, 1:2] - 1.5) & (rows < boxes[:, 3:] + 1.5)
    within = down[:, :, None] & inside[:, None, :]
    white = moved.float().sum((1, 2))
    covered = (moved & within).float().sum((1, 2)) / white
    # What is reflected at the border lies outside.
    assert covered.mean() > 0.97
    assert (within.float().sum((1, 2)) / white).median() < 3


def test_colour_changes_leave_masks_and_boxes():
    data = sample(batch=8)
    layer = layers.RandAugment(seed=1, bounding_box_format="xyxy")
    transformation = layer.get_random_transformation(data)
    transformation["layer_idxes"] = transformation["layer_idxes"] % 8 + 3
    masks, boxes = data["segmentation_masks"], data["bounding_boxes"]
    assert torch.equal(layer.transform_segmentation_masks(masks, transformation), masks)
    out = layer.transform_bounding_boxes(boxes, transformation)
    assert torch.equal(out["boxes"], boxes["boxes"])
    assert torch.equal(out["labels"], boxes["labels"])


def test_aug_mix_is_the_mixture_of_its_chains():
    layer = layers.AugMix(value_range=(-1000, 1000), seed=3)
    x = images()
    transformation = layer.get_random_transformation(x)
    shares, weight = transformation["chain_mixing_weights"], transformation["weight_sample"]
    assert shares.shape == (3,) and shares.sum() == pytest.approx(1) and 0 < weight < 1
    expected = weight * x
    lengths = []
    for share, chain in zip(shares, transformation["chain_transforms"], strict=True):
        y, length = x, 0
        for place in chain:
            number = int(place["layer_idx"])
            if number < 11:
                name = layer._names[number]
                y = getattr(layer, name).transform_images(y, place["transforms"][name])
                length += 1
        lengths.append(length)
        expected = expected + (1 - weight) * share * y
    assert sum(lengths) > 0
    found = layer.transform_images(x, transformation)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


def test_weights_of_aug_mix():
    torch.manual_seed(1)
    layer = layers.AugMix(num_chains=2, chain_depth=1, alpha=0.5, all_ops=False)
    layer._place = lambda number, data, seed: {"layer_idx": number}
    drawn = [layer.get_random_transformation(torch.zeros(1, 1, 1, 3)) for _ in range(600)]
    assert not hasattr(layer, "random_brightness") and len(layer._names) == 7
    weight = torch.stack([each["weight_sample"] for each in drawn])
    share = torch.stack([each["chain_mixing_weights"][0] for each in drawn])
    for x in (weight, share):  # mean 1/2 and variance 1 / (4 (2 alpha + 1)); four standard errors
        assert x.mean() == pytest.approx(0.5, abs=0.06)
        assert x.var() == pytest.approx(1 / 8, abs=0.02)
    places = torch.stack([each["chain_transforms"][0][0]["layer_idx"] for each in drawn])
    counts = torch.bincount(places, minlength=8)
    assert len(counts) == 8 and (counts - 75).abs().max() < 5 * 75**0.5


def test_aug_mix_mixes_one_hot_masks_only():
    data = sample(batch=3)
    layer = layers.AugMix(seed=1, bounding_box_format="xyxy")
    with pytest.raises(ValueError, match="must be one-hot"):
        layer(data)
    rows = torch.nn.functional.one_hot(data["segmentation_masks"][..., 0])
    out = layer({**data, "segmentation_masks": rows})
    assert out["segmentation_masks"].dtype is torch.float32
    assert torch.equal(out["bounding_boxes"]["boxes"], data["bounding_boxes"]["boxes"])
    symbols = layer(
        {
            "images": keras.Input((6, 8, 3)),
            "segmentation_masks": keras.Input((6, 8, 4), dtype="uint8"),
        }
    )
    assert symbols["segmentation_masks"].dtype == "float32"


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_changes_at_inference(policy):
    data = sample()
    out = POLICIES[policy](bounding_box_format="xyxy")(data, training=False)
    tree.map_structure(lambda a, b: np.testing.assert_array_equal(a, b), out, data)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.RandAugment(num_ops=0), "`num_ops` must be an int above 0"),
        (lambda: layers.RandAugment(factor=2), "`factor` must be a number from 0"),
        (lambda: layers.RandAugment(interpolation="cubic"), "`interpolation`"),
        (lambda: layers.AugMix(alpha=0), "`alpha` must be"),
        (lambda: layers.AugMix(num_chains=0), "`num_chains` must be"),
        (lambda: layers.AugMix(chain_depth=1.5), "`chain_depth` must be"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()
