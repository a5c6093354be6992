import pytest
import torch

from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers

CASES = {
    "both": image_case(layers.RandomFlip, {}, (16, 4, 5, 3), expected_num_seed_generators=1),
    "one image": image_case(
        layers.RandomFlip,
        {"mode": "horizontal", "data_format": "channels_first"},
        (3, 16, 15),
        dynamic_batch=False,
    ),
    "integers": image_case(
        layers.RandomFlip,
        {"mode": "vertical"},
        (16, 4, 5, 3),
        input_dtype="uint8",
        expected_output_dtype="float32",
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


@pytest.mark.parametrize(
    ("mode", "axes"), [("horizontal", [2]), ("vertical", [1]), ("horizontal_and_vertical", [1, 2])]
)
def test_half_of_the_images_are_mirrored(mode, axes):
    data = sample(batch=400)
    out = layers.RandomFlip(mode, seed=3, bounding_box_format="xyxy")(data)
    images, masks = data["images"], data["segmentation_masks"]
    kept = (out["images"] == images).flatten(1).all(1)
    flipped = (out["images"] == images.flip(axes)).flatten(1).all(1)
    assert bool((kept ^ flipped).all())
    assert 140 < int(kept.sum()) < 260  # 200 with a standard deviation of 10
    expected = torch.where(kept[:, None, None, None], masks, masks.flip(axes))
    assert torch.equal(out["segmentation_masks"], expected)
    box = torch.tensor([1.0, 2.0, 4.0, 5.0])  # of an image 8 wide and 6 high
    turned = box.clone()
    if 2 in axes:
        turned[[0, 2]] = torch.tensor([4.0, 7.0])
    if 1 in axes:
        turned[[1, 3]] = torch.tensor([1.0, 4.0])
    expected = torch.where(kept[:, None], box, turned)
    torch.testing.assert_close(out["bounding_boxes"]["boxes"][:, 0], expected)


def test_unknown_modes():
    with pytest.raises(ValueError, match="`mode` must be one of 'horizontal'"):
        layers.RandomFlip("diagonal")
