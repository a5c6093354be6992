import pytest
import torch

from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers

CASES = {
    "one factor": image_case(layers.RandomZoom, {"height_factor": 0.2}, (2, 6, 5, 3)),
    "two factors": image_case(
        layers.RandomZoom,
        {
            "height_factor": (-0.1, 0.3),
            "width_factor": 0.5,
            "fill_mode": "wrap",
            "data_format": "channels_first",
        },
        (2, 3, 6, 5),
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def test_twice_as_large():
    # Half of the image is seen: each of its pixels four times, and boxes of twice the size.
    image = torch.arange(64.0).reshape(1, 8, 8, 1)
    boxes = {"boxes": torch.tensor([[[3.0, 3, 5, 4], [0, 0, 1, 1]]]), "labels": torch.ones(1, 2)}
    layer = layers.RandomZoom((-0.5, -0.5), interpolation="nearest", bounding_box_format="xyxy")
    out = layer({"images": image, "bounding_boxes": boxes})
    part = image[:, 2:6, 2:6].repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(out["images"], part)
    found = out["bounding_boxes"]
    assert found["boxes"][0, 0].tolist() == [2.0, 2.0, 6.0, 4.0]
    assert found["labels"].tolist() == [[1, -1]]  # the other box is out of sight


def test_factors_are_drawn_for_each_image():
    data = torch.zeros(1000, 1, 1, 1)
    both = layers.RandomZoom((-0.5, 0.1), seed=1).get_random_transformation(data)
    assert torch.equal(both["height_zoom"], both["width_zoom"])
    assert 0.5 <= both["height_zoom"].min() < 0.51 and 1.09 < both["height_zoom"].max() <= 1.1
    apart = layers.RandomZoom(0.2, 0.5, seed=1).get_random_transformation(data)
    height, width = apart["height_zoom"][:, 0], apart["width_zoom"][:, 0]
    assert abs(float(torch.corrcoef(torch.stack([height, width]))[0, 1])) < 0.15
    assert 1.45 < width.max() <= 1.5 and height.max() <= 1.2


def test_nothing_to_be_seen():
    for wrong in (-1.0, (-1.0, 0.5)):
        with pytest.raises(ValueError, match="`height_factor` must be above -1"):
            layers.RandomZoom(wrong) if wrong != -1.0 else layers.RandomZoom((wrong, wrong))
    with pytest.raises(ValueError, match="`width_factor`"):
        layers.RandomZoom(0.1, 2.0)


def test_boxes_in_parts_of_the_image():
    data = sample(size=(8, 8))
    boxes = data["bounding_boxes"]["boxes"]
    data["bounding_boxes"]["boxes"] = boxes / 8
    out = layers.RandomZoom((-0.5, -0.5), bounding_box_format="rel_xyxy")(data)
    expected = ((boxes[:, 0] - 4) * 2 + 4).clamp(0, 8) / 8
    torch.testing.assert_close(out["bounding_boxes"]["boxes"][:, 0], expected)
