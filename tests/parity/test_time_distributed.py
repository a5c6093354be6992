"""TimeDistributed against real Keras, whose calls go step by step."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

INNER = {
    "dense": (lambda module: module.layers.Dense(3, "relu", name="inner"), (2, 4, 5)),
    "conv2d": (lambda module: module.layers.Conv2D(2, 2, name="inner"), (2, 3, 4, 5, 2)),
    "lstm": (lambda module: module.layers.LSTM(3, name="inner"), (2, 3, 4, 2)),
    "batch_normalization": (
        lambda module: module.layers.BatchNormalization(name="inner"),
        (6, 3, 4),
    ),
    "sequential": (
        lambda module: module.Sequential(
            [
                module.layers.Conv1D(3, 2, name="a"),
                module.layers.BatchNormalization(name="b"),
                module.layers.GlobalMaxPooling1D(name="c"),
            ],
            name="inner",
        ),
        (4, 3, 5, 2),
    ),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", INNER)
def test_outputs_gradients_weights_and_configs(name, training):
    make, shape = INNER[name]
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    theirs, ours = (
        module.layers.TimeDistributed(make(module), name="steps") for module in (keras, torchkeras)
    )
    for layer in (theirs, ours):
        layer.build(shape)
    assert [(w.path, w.shape) for w in ours.weights] == [
        (w.path, tuple(w.shape)) for w in theirs.weights
    ]
    ours.set_weights([w.value.detach().numpy() for w in theirs.weights])
    results = []
    for layer in (theirs, ours):
        inputs = torch.tensor(x, requires_grad=True)
        outputs = layer(inputs, training=training)
        weights = [w.value for w in layer.trainable_weights]
        loss = (outputs * torch.arange(outputs.numel()).reshape(outputs.shape)).mean()
        grads = torch.autograd.grad(loss, [inputs, *weights])
        results.append([outputs, *grads, *[w.value for w in layer.weights]])
    assert ours.compute_output_shape(shape) == tuple(theirs.compute_output_shape(shape))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)  # sums in another order
    if name != "sequential":
        assert json.loads(json.dumps(ours.get_config())) == json.loads(
            json.dumps(theirs.get_config())
        )


def test_masks():
    """A layer that ends masks, and an LSTM that reads them."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype("float32")
    mask = np.random.default_rng(1).random((2, 3, 4)) > 0.4
    mask[..., 0] = True
    theirs, ours = (
        module.layers.TimeDistributed(module.layers.LSTM(3)) for module in (keras, torchkeras)
    )
    expected = theirs(x, mask=torch.tensor(mask))
    ours.build(x.shape)
    ours.set_weights([w.value.detach().numpy() for w in theirs.weights])
    torch.testing.assert_close(ours(x, mask=torch.tensor(mask)), expected, rtol=1e-5, atol=1e-6)


def test_files_are_exchanged(tmp_path):
    pytest.importorskip("h5py")
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    for here, there in ((keras, torchkeras), (torchkeras, keras)):
        inputs = here.Input((None, 4))
        outputs = here.layers.TimeDistributed(here.layers.Dense(2))(inputs)
        model = here.Model(inputs, outputs)
        path = tmp_path / f"{here.__name__}.keras"
        model.save(path, **({"weights_format": "h5"} if here is torchkeras else {}))
        again = there.models.load_model(path)
        np.testing.assert_allclose(
            again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6
        )
