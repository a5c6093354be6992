"""text_dataset_from_directory: batches of texts and labels from a folder."""

from torchkeras.utils.argument_values import positive_int
from torchkeras.utils.folder_datasets import check_folder_arguments, folder_dataset
from torchkeras.utils.regular_files import open_regular


def text_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    batch_size=32,
    max_length=None,
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    follow_links=False,
    format="tf",
    verbose=True,
):
    """A dataset of the `.txt` files in a folder, with a class for each folder in it.

    Args:
        directory: path of the folder; it and all others not named here are those of
            `image_dataset_from_directory`.
        max_length: int, characters after which a text is cut; None for all of it.

    Returns:
        `keras.data.Dataset` of texts in NumPy arrays of `str`, `(batch,)`, or `(texts, labels)`;
        with attributes `class_names` and `file_paths`.

    Raises:
        ValueError: a wrong argument, or no text. While reading, names a file that is not UTF-8.
        FileNotFoundError: there is no such folder.

    Example:

    >>> import os
    >>> for name in ("bad", "good"):
    ...     os.mkdir(name)
    ...     with open(f"{name}/1.txt", "w") as file:
    ...         _ = file.write(f"It is {name}.")
    >>> dataset = keras.utils.text_dataset_from_directory(".", shuffle=False, verbose=False)
    >>> next(iter(dataset))
    (array(['It is bad.', 'It is good.'], dtype=object), tensor([0, 1], dtype=torch.int32))
    """
    check_folder_arguments(
        labels, label_mode, class_names, validation_split, subset, shuffle, seed, format
    )

    def finish(dataset):
        dataset = dataset if batch_size is None else dataset.batch(batch_size)
        return dataset.prefetch()

    return folder_dataset(
        directory,
        "text files",
        (".txt",),
        LoadText(max_length),
        finish,
        labels,
        label_mode,
        class_names,
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )


class LoadText:
    """Reads a text file; all ends of lines become line feeds.

    Args:
        max_length: int or None, see above.
    """

    def __init__(self, max_length):
        self._max_length = positive_int(max_length, "max_length", optional=True)

    def __call__(self, path):
        # A character has at most 4 bytes, and the end of a line at most 2.
        size = -1 if self._max_length is None else 4 * self._max_length + 4
        with open_regular(path) as file:
            content = file.read(size)
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            if size < 0 or error.start < len(content) - 4:
                raise ValueError(
                    f"Text in UTF-8 was expected. Received: {path}, which is not ({error}). "
                    "Convert it, or read it in a generator of your own."
                ) from error
            text = content[: error.start].decode()  # a character was cut
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text if self._max_length is None else text[: self._max_length]
