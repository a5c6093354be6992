"""class_weight for targets of every form: the loss of a batch by its formula."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

RNG = np.random.default_rng(0)
WEIGHTS = {0: 0.5, 1: 2.0, 2: 3.0}
OF = np.array([0.5, 2.0, 3.0])
LABELS = RNG.integers(0, 3, (6, 4))
PROBABILITIES = RNG.dirichlet(np.ones(3), (6, 4)).astype("float32")
MULTI_HOT = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]])


def trained(x, y, loss, **arguments):
    """The loss that fit, train_on_batch and a DataLoader give for a model that repeats `x`."""
    found = []
    for way in ("fit", "batch", "loader", "generator"):
        start = keras.layers.Rescaling(1.0)
        model = keras.Sequential([keras.Input(x.shape[1:]), start])
        model.compile(optimizer=None, loss=loss, **arguments)
        model.train_step = model.test_step
        if way == "fit":
            history = model.fit(x, y, batch_size=len(x), class_weight=WEIGHTS, verbose=0)
        elif way == "batch":
            found.append(model.train_on_batch(x, y, class_weight=WEIGHTS))
            continue
        elif way == "loader":
            data = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
            loader = torch.utils.data.DataLoader(data, batch_size=len(x))
            history = model.fit(loader, class_weight=WEIGHTS, verbose=0)
        else:
            history = model.fit(iter([(x, y)]), class_weight=WEIGHTS, verbose=0)
        found.append(history.history["loss"][0])
    assert found == pytest.approx([found[0]] * len(found))
    return found[0]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
@pytest.mark.parametrize("last_axis", [False, True])
def test_labels_of_every_step(dtype, last_axis):
    values = -np.log(np.take_along_axis(PROBABILITIES, LABELS[..., None], -1)[..., 0])
    expected = (values * OF[LABELS]).mean()
    y = (LABELS[..., None] if last_axis else LABELS).astype(dtype)
    found = trained(PROBABILITIES, y, "sparse_categorical_crossentropy")
    assert found == pytest.approx(expected, rel=1e-5)


def test_labels_that_look_one_hot_are_labels_to_a_loss_of_labels():
    y = np.eye(4, dtype="int64")[[0, 1, 2, 3, 0, 1]]  # of each row, one step is of class 1
    values = -np.log(np.take_along_axis(PROBABILITIES, y[..., None], -1)[..., 0])
    expected = (values * OF[y]).mean()
    for loss in (
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.sparse_categorical_crossentropy,
    ):
        assert trained(PROBABILITIES, y, loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_one_hot_rows_of_any_rank(dtype):
    y = np.eye(3)[LABELS].astype(dtype)
    values = -np.log(np.take_along_axis(PROBABILITIES, LABELS[..., None], -1)[..., 0])
    expected = (values * OF[LABELS]).mean()
    found = trained(PROBABILITIES, y, "categorical_crossentropy")
    assert found == pytest.approx(expected, rel=1e-5)
    found = trained(PROBABILITIES[:, 0], y[:, 0], "categorical_crossentropy")
    assert found == pytest.approx((values * OF[LABELS])[:, 0].mean(), rel=1e-5)


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_multi_hot_rows_weigh_the_mean_of_their_classes(dtype):
    p = np.full((4, 3), 0.2, "float32") + 0.1 * np.arange(3, dtype="float32")
    t = MULTI_HOT
    values = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1)
    weights = [(0.5 + 2.0) / 2, 3.0, 1.0, (0.5 + 2.0 + 3.0) / 3]
    found = trained(p, t.astype(dtype), "binary_crossentropy")
    assert found == pytest.approx((values * weights).mean(), rel=1e-5)


def test_weights_by_themselves():
    weigh = class_weight_to_sample_weights
    assert weigh(np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), WEIGHTS).tolist() == [2.0, 0.5]
    assert weigh(np.array([[0, 2], [1, 3]]), WEIGHTS).tolist() == [[0.5, 3.0], [2.0, 1.0]]
    assert weigh(np.array([[0.0, 2.0]]), WEIGHTS).tolist() == [[0.5, 3.0]]
    assert weigh(np.array([[1], [2]]), WEIGHTS).tolist() == [2.0, 3.0]
    assert weigh(np.array([[1, 1, 0]]), {2: 9.0}).tolist() == [1.0]
    images = RNG.integers(0, 3, (2, 3, 3))
    np.testing.assert_allclose(weigh(images, WEIGHTS).numpy(), OF[images])


def test_weighted_metrics_see_the_weights_of_steps():
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Rescaling(1.0)])
    model.compile(None, "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    model.train_step = model.test_step
    found = model.fit(PROBABILITIES, LABELS, class_weight=WEIGHTS, verbose=0).history
    right = PROBABILITIES.argmax(-1) == LABELS
    expected = (right * OF[LABELS]).sum() / OF[LABELS].sum()
    assert found["accuracy"] == [pytest.approx(expected, rel=1e-5)]
