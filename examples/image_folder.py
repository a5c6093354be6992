"""Train a small convnet on a folder of pictures, one folder for each class.

Run: python examples/image_folder.py [--folder pictures] [--epochs 8]

Without --folder the pictures are drawn first: discs, squares and crosses on noise. Needs Pillow:
pip install "torchkeras[image]".
"""

import argparse
import pathlib
import tempfile

import numpy as np

import torchkeras as keras
from torchkeras import layers


def draw(kind, rng, size=40):
    """One picture `(size, size, 3)` from 0 to 255: a shape of any colour and place, on noise."""
    rows, columns = np.mgrid[:size, :size]
    radius = rng.uniform(size / 6, size / 3)
    top, left = rng.uniform(radius, size - radius, 2)
    down, right = np.abs(rows - top), np.abs(columns - left)
    inside = {
        "disc": down**2 + right**2 < radius**2,
        "square": np.maximum(down, right) < 0.8 * radius,
        "cross": (np.minimum(down, right) < radius / 4) & (np.maximum(down, right) < radius),
    }[kind]
    picture = rng.uniform(0, 110, (size, size, 3))
    picture[inside] = rng.uniform(130, 255, 3) + rng.uniform(-20, 20, (inside.sum(), 3))
    return picture.clip(0, 255)


def make_folder(folder, count, seed=0):
    """Files `folder/<class>/<number>.png`, `count` of each class."""
    rng = np.random.default_rng(seed)
    for kind in ("disc", "square", "cross"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = draw(kind, rng)
            keras.utils.save_img(folder / kind / f"{number}.png", picture, scale=False)


def make_model(classes, size):
    """Three convolutions, each at half the size of the one before, and the mean over the image."""
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(16, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu", padding="same"),
            layers.GlobalMaxPooling2D(),
            layers.Dropout(0.2),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, help="a folder with one for each class")
    parser.add_argument("--count", type=int, default=200, help="pictures to draw of each class")
    parser.add_argument("--size", type=int, default=32, help="height and width for the model")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as drawn:
        folder = arguments.folder
        if folder is None:
            folder = pathlib.Path(drawn)
            make_folder(folder, arguments.count)
        train, validation = keras.utils.image_dataset_from_directory(
            folder,
            image_size=(arguments.size, arguments.size),
            validation_split=0.2,
            subset="both",
            seed=1,
            batch_size=None,
        )
        names = train.class_names
        # Files are read in the first epoch; later ones find the pictures in memory. Batches are
        # made behind that, of other pictures each time.
        train_batches = train.cache().shuffle(len(train), seed=1).batch(32)
        validation_batches = validation.cache().batch(32)
        model = make_model(len(names), arguments.size)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(
            train_batches,
            validation_data=validation_batches,
            epochs=arguments.epochs,
            verbose=2,
        )
        _, accuracy = model.evaluate(validation_batches, verbose=0)
        print(f"Validation accuracy: {accuracy:.3f}")

        path = validation.file_paths[-1]
        size = (arguments.size, arguments.size)
        picture = keras.utils.load_img(path, target_size=size, interpolation="bilinear")
        probabilities = model.predict(keras.utils.img_to_array(picture)[None], verbose=0)[0]
        guess = names[int(probabilities.argmax())]
        print(f"{pathlib.Path(path).parent.name} is taken for {guess}.")


if __name__ == "__main__":
    main()
