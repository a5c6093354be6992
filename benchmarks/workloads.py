"""What the benchmarks train and predict with: models by layers of Keras, and data to learn.

Importing this imports neither torch nor Keras nor torchkeras: a worker that runs Keras on JAX has
no torch in it. The functions that need them import them.
"""

import contextlib
import pathlib
import tempfile

import numpy as np

PIXELS, CLASSES = 784, 10
STEPS, FEATURES, UNITS = 120, 14, 32
VOCABULARY, TOKENS, WIDTH, HEADS, HIDDEN = 2000, 64, 128, 4, 256
MOST_SAMPLES = 60_000  # those of MNIST: an epoch is not longer


def chapter7(layers, x):
    """The MLP of chapter 7 of Deep Learning with Python."""
    x = layers.Dropout(0.5)(layers.Dense(512, activation="relu")(x))
    return layers.Dense(CLASSES, activation="softmax")(x)


def small(layers, x):
    """An MLP whose step is mostly Python and dispatch."""
    for _ in range(2):
        x = layers.Dense(64, activation="relu")(x)
    return layers.Dense(CLASSES, activation="softmax")(x)


def convnet(layers, x):
    """The convnet of chapter 8."""
    x = layers.MaxPooling2D(2)(layers.Conv2D(64, 3, activation="relu")(x))
    x = layers.MaxPooling2D(2)(layers.Conv2D(128, 3, activation="relu")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(256, 3, activation="relu")(x))
    return layers.Dense(CLASSES, activation="softmax")(x)


def encoder(layers, x):
    """Tokens, an encoder's block, the mean over the tokens, two classes."""
    x = layers.Embedding(VOCABULARY, WIDTH)(x)
    attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
    x = layers.LayerNormalization(epsilon=1e-5)(layers.add([x, attended]))
    hidden = layers.Dense(WIDTH)(layers.Dense(HIDDEN, activation="relu")(x))
    x = layers.LayerNormalization(epsilon=1e-5)(layers.add([x, hidden]))
    return layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling1D()(x))


# Of each: what it is, samples in a batch, the shape of a sample, classes (None: a regression of one
# number), the layers between input and output, and the name and arguments of its net in torch_nets.
WORKLOADS = {
    f"mlp-{batch_size}": {
        "title": f"MLP {PIXELS}-512-{CLASSES} with dropout (chapter 7), batch {batch_size}",
        "batch_size": batch_size,
        "shape": (PIXELS,),
        "classes": CLASSES,
        "layers": chapter7,
        "net": ("Perceptron", (PIXELS, [512], CLASSES, 0.5)),
    }
    for batch_size in (32, 128, 1024)
} | {
    "small": {
        "title": f"MLP 32-64-64-{CLASSES}, batch 32",
        "batch_size": 32,
        "shape": (32,),
        "classes": CLASSES,
        "layers": small,
        "net": ("Perceptron", (32, [64, 64], CLASSES)),
    },
    "cnn": {
        "title": "convnet 64-128-256 on (28, 28, 1) (chapter 8), batch 64",
        "batch_size": 64,
        "shape": (28, 28, 1),
        "classes": CLASSES,
        "layers": convnet,
        "net": ("Convolutions", ((64, 128, 256), CLASSES)),
    },
    "lstm": {
        "title": f"LSTM({UNITS}) on ({STEPS}, {FEATURES}) (as in chapter 13), batch 64",
        "batch_size": 64,
        "shape": (STEPS, FEATURES),
        "classes": None,
        "layers": lambda layers, x: layers.Dense(1)(layers.LSTM(UNITS)(x)),
        "net": ("Recurrent", ("LSTM", FEATURES, UNITS)),
    },
    "gru": {
        "title": f"GRU({UNITS}) on ({STEPS}, {FEATURES}) (as in chapter 13), batch 64",
        "batch_size": 64,
        "shape": (STEPS, FEATURES),
        "classes": None,
        "layers": lambda layers, x: layers.Dense(1)(layers.GRU(UNITS)(x)),
        "net": ("Recurrent", ("GRU", FEATURES, UNITS)),
    },
    "encoder": {
        "title": f"a Transformer's encoder block, {WIDTH} wide, on {TOKENS} tokens, batch 32",
        "batch_size": 32,
        "shape": (TOKENS,),
        "tokens": VOCABULARY,
        "classes": 2,
        "layers": encoder,
        "net": ("TokenEncoder", (VOCABULARY, WIDTH, HEADS, HIDDEN, 2)),
    },
}


def make_data(workload, count):
    """`(x, y)` of so many samples, drawn from one seed, that the model can learn."""
    random = np.random.default_rng(0)
    shape, classes = workload["shape"], workload["classes"]
    if "tokens" in workload:
        x = random.integers(0, workload["tokens"], size=(count, *shape), dtype="int32")
        return x, (x[:, :4].mean(1) > workload["tokens"] / 2).astype("int64")
    x = random.random(size=(count, *shape), dtype="float32")
    flat = x.reshape(count, -1) - 0.5
    if classes is None:
        y = flat[:, -FEATURES:].mean(1, keepdims=True) + random.normal(size=(count, 1))
        return x, y.astype("float32")
    return x, (flat @ random.normal(size=(flat.shape[1], classes))).argmax(1)


def keras_model(library, workload, dtype="float32"):
    """The workload's model in torchkeras or Keras, not compiled."""
    kind = "int32" if "tokens" in workload else dtype
    inputs = library.Input(workload["shape"], dtype=kind)
    return library.Model(inputs, workload["layers"](library.layers, inputs))


def torch_net(workload, weights, device="cpu", dtype=None):
    """The workload's module of torch, with the weights of a model of Keras's; it gives logits."""
    import torch
    import torch_nets

    name, arguments = workload["net"]
    net = getattr(torch_nets, name)(*arguments)
    with torch.no_grad():
        net.load(*weights)
    return net.to(device, dtype)


def first_weights(name):
    """The weights that all contestants of a workload start from: those of a model of torchkeras."""
    import torchkeras

    torchkeras.utils.set_random_seed(0)
    return keras_model(torchkeras, WORKLOADS[name]).get_weights()


@contextlib.contextmanager
def weights_file(name, **arrays):
    """The path of a temporary .npz file with a workload's first weights, and more arrays."""
    weights = {f"weight_{i}": weight for i, weight in enumerate(first_weights(name))}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"{name}.npz")
        np.savez(path, **weights, **arrays)
        yield str(path)


def read_weights(path):
    """The weights in such a file, in the order of the model's."""
    with np.load(path) as file:
        count = sum(name.startswith("weight_") for name in file.files)
        return [file[f"weight_{i}"] for i in range(count)]
