import pytest
import torch

from tests.layers.preprocessing.image.support import image_case
from tests.testing import layer_cases
from torchkeras import layers

CASES = {
    "both": image_case(layers.RandomShear, {"x_factor": 0.2, "y_factor": (0.1, 0.3)}, (2, 6, 5, 3)),
    "one image": image_case(
        layers.RandomShear,
        {"x_factor": 0.5, "fill_mode": "constant", "data_format": "channels_first"},
        (3, 6, 5),
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def test_rows_are_shifted_by_their_number():
    image = torch.arange(1.0, 17.0).reshape(1, 4, 4, 1)
    layer = layers.RandomShear((1.0, 1.0), fill_mode="constant", seed=0, bounding_box_format="xyxy")
    boxes = {"boxes": torch.tensor([[[1.0, 1, 2, 2]]]), "labels": torch.ones(1, 1)}
    data = {"images": image, "bounding_boxes": boxes}
    transformation = layer.get_random_transformation(data)
    assert transformation["shear_factor"].abs().tolist() == [[1.0, 0.0]]
    for sign in (1, -1):
        factors = torch.tensor([[1.0 * sign, 0.0]])
        given = {**transformation, "shear_factor": factors}
        out = layer.transform_images(image, given)[0, :, :, 0]
        for row in range(4):
            expected = torch.zeros(4)
            if sign == 1:
                expected[: 4 - row] = image[0, row, row:, 0]
            else:
                expected[row:] = image[0, row, : 4 - row, 0]
            assert torch.equal(out[row], expected)
        # The pixel at (1, 1), whose corners are at y of 0.5 and 1.5 in the coordinates of pixels.
        moved = layer.transform_bounding_boxes(boxes, given)["boxes"][0, 0]
        expected = [0.0, 1.0, 1.5, 2.0] if sign == 1 else [1.5, 1.0, 3.5, 2.0]
        torch.testing.assert_close(moved, torch.tensor(expected))


def test_a_sign_for_each_image():
    layer = layers.RandomShear((0.1, 0.3), (0.2, 0.2), seed=1)
    x, y = layer.get_random_transformation(torch.zeros(1000, 1, 1, 1))["shear_factor"].unbind(1)
    assert bool((x.sign() == y.sign()).all()) and 400 < int((x > 0).sum()) < 600
    assert 0.1 <= x.abs().min() < 0.11 and 0.29 < x.abs().max() <= 0.3
    torch.testing.assert_close(y.abs(), torch.full((1000,), 0.2))


def test_a_range_from_a_config_of_a_single_number():
    layer = layers.RandomShear(0.3)
    config = layer.get_config()
    assert config["x_factor"] == (-0.3, 0.3)
    assert layers.RandomShear.from_config(config).x_factor == (-0.3, 0.3)
    with pytest.raises(ValueError, match="`x_factor`"):
        layers.RandomShear((-0.3, 0.2))
