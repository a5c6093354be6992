"""Train the model of mnist.py in several processes: the program is the same, line by line.

Run: torchrun --nproc-per-node=2 examples/mnist_torchrun.py [--epochs 3]
"""

import argparse

import torchkeras as keras
from torchkeras import layers


def load_data():
    """Full MNIST from the cache or the network; the shipped sample where neither has it."""
    try:
        data = keras.datasets.mnist.load_data()
    except OSError as error:
        print(f"The full MNIST is not at hand: {error}")
        print("Training on the shipped sample of 1,500 images instead; expect about 0.85.")
        data = keras.datasets.mnist.load_sample()
    (x_train, y_train), (x_test, y_test) = data
    x_train = x_train.reshape(len(x_train), 28 * 28).astype("float32") / 255
    x_test = x_test.reshape(len(x_test), 28 * 28).astype("float32") / 255
    return (x_train, y_train), (x_test, y_test)


def make_model():
    """784 pixels -> 512 units with dropout -> probabilities of the ten digits."""
    inputs = keras.Input(shape=(28 * 28,))
    features = layers.Dense(512, activation="relu")(inputs)
    features = layers.Dropout(0.5)(features)
    outputs = layers.Dense(10, activation="softmax")(features)
    return keras.Model(inputs, outputs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_data()
    # A sixth of the training images (10,000 of the full set) is for validation.
    held_out = len(x_train) // 6
    model = make_model()
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x_train[held_out:],
        y_train[held_out:],
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        validation_data=(x_train[:held_out], y_train[:held_out]),
    )
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"Test accuracy: {accuracy:.4f} ({len(x_test):,} images)")


if __name__ == "__main__":
    main()
