"""audio_dataset_from_directory: batches of recordings and labels from a folder."""

import torch

from torchkeras.data.dataset import Dataset
from torchkeras.data.elements import RaggedCollate
from torchkeras.data.stages import BatchStage
from torchkeras.utils.argument_values import positive_int
from torchkeras.utils.audio_resampling import resample, resampled_length
from torchkeras.utils.folder_datasets import check_folder_arguments, folder_dataset
from torchkeras.utils.wav_files import read_wav

# Samples of one recording, over all its channels, in the memory of a resampled one.
_MOST_SAMPLES = 2**29


def audio_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    batch_size=32,
    sampling_rate=None,
    output_sequence_length=None,
    ragged=False,
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    follow_links=False,
    verbose=True,
):
    """A dataset of the `.wav` files in a folder, with a class for each folder in it.

    Args:
        directory: path of the folder; it and all others not named here are those of
            `image_dataset_from_directory`.
        sampling_rate: int, samples a second to which recordings are brought; None for their own.
        output_sequence_length: int, samples to which recordings are cut, or filled up with zeros;
            None for those of the longest in the batch.
        ragged: bool, batches as nested tensors (`torch.nested`, jagged), in which each recording
            has its own length.

    Returns:
        `keras.data.Dataset` of float32 recordings from -1 to 1, `(batch, samples, channels)`, or
        `(recordings, labels)`; with attributes `class_names` and `file_paths`.

    Raises:
        ValueError: a wrong argument, or no recording. While reading, names a file that is none or
            broken.
        FileNotFoundError: there is no such folder.

    Example:

    >>> import wave
    >>> import os
    >>> os.mkdir("tones")
    >>> for length in (3, 5):
    ...     with wave.open(f"tones/{length}.wav", "wb") as file:
    ...         file.setparams((1, 2, 8000, 0, "NONE", ""))
    ...         file.writeframes(bytes(2 * length))
    >>> dataset = keras.utils.audio_dataset_from_directory(".", verbose=False)
    >>> [audio.shape for audio, labels in dataset]
    [torch.Size([2, 5, 1])]
    """
    check_folder_arguments(labels, label_mode, class_names, validation_split, subset, shuffle, seed)
    if ragged and output_sequence_length is not None:
        raise ValueError(
            "`output_sequence_length` gives recordings one length, `ragged` each its own. "
            "Received: both. Leave one of them out."
        )
    if sampling_rate is not None and not isinstance(sampling_rate, int):
        raise ValueError(
            f"`sampling_rate` must be an integer. Received: sampling_rate={sampling_rate!r}."
        )
    load = LoadAudio(
        positive_int(sampling_rate, "sampling_rate", optional=True),
        positive_int(output_sequence_length, "output_sequence_length", optional=True),
    )

    def finish(dataset):
        if batch_size is None:
            return dataset.prefetch()
        if ragged:
            size = positive_int(batch_size, "batch_size")
            dataset = Dataset(BatchStage(dataset._stage, size, False, RaggedCollate()))
        elif output_sequence_length is None:
            dataset = dataset.padded_batch(batch_size)
        else:
            dataset = dataset.batch(batch_size)
        return dataset.prefetch()

    return folder_dataset(
        directory,
        "audio files",
        (".wav",),
        load,
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


class LoadAudio:
    """Reads a recording.

    Args:
        sampling_rate: int or None, see above.
        length: int or None, see above.
    """

    def __init__(self, sampling_rate, length):
        self._sampling_rate = sampling_rate
        self._length = length

    def __call__(self, path):
        if self._sampling_rate is None:
            samples, _ = read_wav(path, self._length)
        else:
            samples, rate = read_wav(path)
            count = resampled_length(len(samples), rate, self._sampling_rate)
            count = count if self._length is None else min(count, self._length)
            # The weights of one new sample reach over so many old ones.
            reach = max(1, rate // self._sampling_rate)
            if max(count * samples.shape[1], 16 * reach) > _MOST_SAMPLES:
                raise ValueError(
                    f"A recording of at most {_MOST_SAMPLES} samples was expected. Received: "
                    f"{path} at {rate} Hz, of which {self._sampling_rate} Hz make {count}. "
                    "Correct its rate, or leave it out of the folder."
                )
            samples = resample(samples, rate, self._sampling_rate, self._length)
        if self._length is not None and len(samples) < self._length:
            missing = self._length - len(samples)
            samples = torch.nn.functional.pad(samples, (0, 0, 0, missing))
        return samples
