"""Datasets of folders: what they give, the splits of few files, and hostile files."""

import os
import pickle
import struct
import threading
import zlib

import numpy as np
import pytest
import torch

import torchkeras as keras

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path):
    """Ten images of two classes, of one colour each: its number."""
    for i in range(10):
        place = tmp_path / ("even", "odd")[i % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, "uint8")).save(place / f"{i}.png")
    return tmp_path


def images(folder, **arguments):
    arguments = {"color_mode": "grayscale", "image_size": (4, 4), "verbose": False, **arguments}
    return keras.utils.image_dataset_from_directory(folder, **arguments)


def numbers(dataset):
    """The numbers of the images, by their colours."""
    batches = (batch[0] if isinstance(batch, tuple) else batch for batch in dataset)
    return [int(x) for batch in batches for x in batch[:, 0, 0, 0]]


def test_each_pass_gives_every_file_once_with_its_label(folder):
    dataset = images(folder, batch_size=3, seed=1)
    passes = []
    for _ in range(2):
        pairs = [
            (int(x[0, 0, 0]), int(y)) for xs, ys in dataset for x, y in zip(xs, ys, strict=True)
        ]
        assert all(y == x % 2 for x, y in pairs)
        passes.append([x for x, _ in pairs])
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(10))
    assert passes[0] != passes[1]
    again = images(folder, batch_size=3, seed=1)
    assert [numbers(again), numbers(again)] == passes
    assert len(dataset) == 4 and dataset.class_names == ["even", "odd"]
    assert sorted(map(os.path.basename, dataset.file_paths)) == [f"{i}.png" for i in range(10)]


def test_datasets_of_folders_can_be_pickled(folder):
    dataset = images(folder, batch_size=3, seed=1)
    copy = pickle.loads(pickle.dumps(dataset))
    assert numbers(copy) == numbers(dataset) and copy.class_names == dataset.class_names


def test_numpys_seed_decides_where_no_seed_is_given(folder):
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        dataset = images(folder)
        runs.append((dataset.file_paths, numbers(dataset)))
    assert runs[0] == runs[1]


def test_labels_of_a_list_stay_with_their_files_and_the_list_as_it_is(folder):
    labels = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]  # by folder and name
    dataset = images(folder, labels=labels, seed=3)
    for xs, ys in dataset:
        assert torch.equal(xs[:, 0, 0, 0].int(), ys)
    assert labels == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    assert dataset.class_names == [str(i) for i in range(10)]
    assert sorted(numbers(images(folder, labels=tuple(labels), seed=3))) == list(range(10))


def test_training_and_validation_share_no_file(folder):
    train, validation = images(folder, validation_split=0.3, subset="both", seed=2)
    assert len(numbers(validation)) == 3
    assert sorted(numbers(train) + numbers(validation)) == list(range(10))
    assert numbers(validation) == numbers(validation)
    alone = images(folder, validation_split=0.3, subset="validation", seed=2)
    assert sorted(numbers(alone)) == sorted(numbers(validation))
    # Keras gives all files to validation, and none to training, where a split leaves it none.
    arguments = {"validation_split": 0.05, "shuffle": False}
    assert len(numbers(images(folder, subset="training", **arguments))) == 10
    for subset in ("validation", "both"):
        with pytest.raises(ValueError, match="No validation images found"):
            images(folder, subset=subset, **arguments)


def test_what_was_found_is_printed_if_asked(folder, capsys):
    images(folder, verbose=True, validation_split=0.2, subset="both", seed=1)
    assert capsys.readouterr().out.splitlines() == [
        "Found 10 files belonging to 2 classes.",
        "Using 8 files for training.",
        "Using 2 files for validation.",
    ]
    images(folder, verbose=True, labels=None)
    assert capsys.readouterr().out == "Found 10 files.\n"
    images(folder, validation_split=0.2, subset="both", seed=1)
    assert capsys.readouterr().out == ""


def test_fit_trains_on_a_folder(folder):
    net = keras.Sequential(
        [keras.layers.Rescaling(0.1), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("adam", loss)
    train, validation = images(folder, validation_split=0.3, subset="both", seed=2, batch_size=4)
    history = net.fit(train, validation_data=validation, epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2


def test_wrong_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="A folder was expected"):
        images(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="gs://"):
        images("gs://bucket/pictures")
    with pytest.raises(ValueError, match=r"No images found in .* that end in .bmp, .gif"):
        images(tmp_path)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"class_names": ["odd", "odd"]}, "each once"),
        ({"labels": [5] * 10, "label_mode": "categorical"}, "from 0 to the number of classes"),
        ({"labels": ["a"] * 10}, "must be integers"),
        ({"labels": np.zeros(10)}, "`labels` must be"),
        ({"image_size": (0, 3)}, "at least 1"),
        ({"image_size": (2.5, 3)}, "`image_size` must be"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "Only one of"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
    ],
)
def test_wrong_arguments(folder, arguments, words):
    with pytest.raises(ValueError, match=words):
        images(folder, **arguments)


def test_the_first_picture_of_a_gif(tmp_path):
    (tmp_path / "a").mkdir()
    frames = [Image.fromarray(np.full((4, 4), i * 50, "uint8")) for i in (1, 2, 3)]
    frames[0].save(tmp_path / "a" / "x.gif", save_all=True, append_images=frames[1:])
    assert numbers(images(tmp_path)) == [50]


def png(width, height, data):
    """A png file of any bytes for any size."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


HOSTILE = {
    "text.png": b"no image",
    "empty.jpg": b"",
    "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "truncated.png": png(100, 100, zlib.compress(bytes(10))),
    "rubbish.png": png(4, 4, b"rubbish"),
    "cut.bmp": b"BM" + bytes(40),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_broken_images_are_an_error_that_names_the_file(folder, name):
    (folder / "odd" / name).write_bytes(HOSTILE[name])
    with pytest.raises(OSError, match=f"An image was expected.*{name}"):
        numbers(images(folder))
    with pytest.raises(OSError, match=name):
        keras.utils.load_img(folder / "odd" / name)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif"])
def test_damaged_images_give_pixels_or_an_error_that_names_them(tmp_path, ending):
    rng = np.random.default_rng(0)
    path = tmp_path / f"x.{ending}"
    Image.fromarray(rng.integers(0, 256, (9, 8, 3)).astype("uint8")).save(path)
    whole = path.read_bytes()
    for number in range(100):
        content = bytearray(whole)
        for place in rng.integers(len(whole) if number % 2 else 60, size=3):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            assert len(numbers(images(tmp_path, labels=None, pad_to_aspect_ratio=True))) == 1
        except (OSError, ValueError) as error:
            assert f"x.{ending}" in str(error)


@pytest.mark.parametrize("size", [(100_000, 100_000), (12_000, 12_000)])
def test_pictures_that_would_fill_the_memory_are_refused(folder, size):
    (folder / "odd" / "bomb.png").write_bytes(png(*size, zlib.compress(bytes(1000))))
    with pytest.raises(ValueError, match=r"bomb.png.*pixels"):
        numbers(images(folder))


def test_pipes_and_circles_of_links_are_passed_over(folder):
    os.mkfifo(folder / "odd" / "pipe.png")
    os.symlink("/dev/zero", folder / "odd" / "zero.png")
    os.symlink(folder / "odd", folder / "odd" / "circle")
    assert sorted(numbers(images(folder, follow_links=True))) == list(range(10))
    with pytest.raises(OSError, match="regular file"):
        keras.utils.load_img(folder / "odd" / "pipe.png")


def test_threads_read_the_files(folder, monkeypatch):
    names = set()
    monkeypatch.setattr("torchkeras.data.reading_ahead.threads_for_reading", lambda: 3)
    original = keras.utils.image_dataset_utils.read_image

    def noted(*arguments):
        names.add(threading.current_thread().name)
        return original(*arguments)

    monkeypatch.setattr("torchkeras.utils.image_dataset_utils.read_image", noted)
    numbers(images(folder, batch_size=1).map(lambda x, y: (x, y)))
    assert all(name.startswith("torchkeras_data") for name in names)


def test_without_pillow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    for call in (
        lambda: images(folder),
        lambda: keras.utils.load_img(folder / "odd" / "1.png"),
        lambda: keras.utils.array_to_img(np.zeros((2, 2, 1))),
        lambda: keras.utils.save_img(folder / "x.png", np.zeros((2, 2, 1))),
    ):
        with pytest.raises(ImportError, match=r'pip install "torchkeras\[image\]"'):
            call()


# ---- texts ------------------------------------------------------------------------------------


def texts(folder, **arguments):
    return keras.utils.text_dataset_from_directory(folder, verbose=False, **arguments)


def test_texts_train_a_model_and_are_cut_by_characters(tmp_path):
    for i, words in enumerate(["äöü good\r\nfilm", "bad film", ""]):
        (tmp_path / f"{i}.txt").write_bytes(words.encode())
    dataset = texts(tmp_path, labels=None, shuffle=False)
    assert next(iter(dataset)).tolist() == ["äöü good\nfilm", "bad film", ""]
    for length in range(1, 15):
        cut = texts(tmp_path, labels=None, shuffle=False, max_length=length, batch_size=None)
        assert list(cut) == ["äöü good\nfilm"[:length], "bad film"[:length], ""]
    lookup = keras.layers.StringLookup()
    lookup.adapt(dataset)
    assert "bad film" in lookup.get_vocabulary()


def test_texts_that_are_none(tmp_path):
    (tmp_path / "latin.txt").write_bytes("caf\xe9 au lait, and more".encode("latin-1"))
    for length in (None, 10):
        with pytest.raises(ValueError, match=r"UTF-8 was expected.*latin.txt"):
            list(texts(tmp_path, labels=None, max_length=length))
    with pytest.raises(ValueError, match="`max_length` must be at least 1"):
        texts(tmp_path, labels=None, max_length=0)
    with open(tmp_path / "latin.txt", "wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(ValueError, match="latin.txt of 2147483649 bytes"):
        list(texts(tmp_path, labels=None))


# ---- recordings -------------------------------------------------------------------------------


def wav(samples, rate=8000):
    content = samples.astype("<i2").tobytes()
    channels = samples.shape[1]
    layout = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout
    body += b"data" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.fixture
def recordings(tmp_path):
    for i, length in enumerate((30, 10, 20)):
        (tmp_path / f"class{i % 2}").mkdir(exist_ok=True)
        samples = np.full((length, 2), (i + 1) * 4096)
        (tmp_path / f"class{i % 2}" / f"{i}.wav").write_bytes(wav(samples, 8000))
    return tmp_path


def audio(folder, **arguments):
    arguments = {"verbose": False, "shuffle": False, **arguments}
    return keras.utils.audio_dataset_from_directory(folder, **arguments)


def test_recordings_of_a_batch_have_the_length_of_the_longest(recordings):
    ((samples, labels),) = audio(recordings)
    assert samples.shape == (3, 30, 2) and samples.dtype == torch.float32
    assert labels.tolist() == [0, 0, 1]
    assert samples[:, 0, 0].tolist() == [0.125, 0.375, 0.25]
    assert (samples[1, 20:] == 0).all() and (samples[1, :20] == 0.375).all()


@pytest.mark.parametrize("length", [5, 10, 40])
def test_recordings_of_one_length(recordings, length):
    ((samples, _),) = audio(recordings, output_sequence_length=length)
    assert samples.shape == (3, length, 2)
    assert (samples != 0).sum((1, 2)).tolist() == [2 * min(n, length) for n in (30, 20, 10)]
    singles = audio(recordings, output_sequence_length=length, batch_size=None, labels=None)
    assert [x.shape for x in singles] == [(length, 2)] * 3


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_recordings_of_their_own_lengths(recordings):
    ((samples, labels),) = audio(recordings, ragged=True)
    assert [x.shape for x in samples.unbind()] == [(30, 2), (20, 2), (10, 2)]
    assert labels.tolist() == [0, 0, 1]
    ((samples,),) = [tuple(audio(recordings, ragged=True, labels=None))]
    assert samples.is_nested


def test_recordings_at_another_rate(recordings):
    (recordings / "class0" / "3.wav").write_bytes(wav(np.full((40, 2), 4096), 16000))
    ((samples, _),) = audio(recordings, sampling_rate=4000)
    assert samples.shape == (4, 15, 2)  # 30 of 8 kHz, half of them
    lengths = (samples != 0).any(2).sum(1)
    assert lengths.tolist() == [15, 10, 10, 5]
    ((samples, _),) = audio(recordings, sampling_rate=16000, output_sequence_length=50)
    assert samples.shape == (4, 50, 2)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"ragged": True, "output_sequence_length": 5}, "both"),
        ({"sampling_rate": 0}, "`sampling_rate` must be at least 1"),
        ({"sampling_rate": 1.5}, "`sampling_rate` must be an integer"),
        ({"output_sequence_length": 0}, "`output_sequence_length` must be at least 1"),
    ],
)
def test_wrong_arguments_of_recordings(recordings, arguments, words):
    with pytest.raises(ValueError, match=words):
        audio(recordings, **arguments)


def test_a_rate_that_would_fill_the_memory_is_refused(recordings):
    (recordings / "class0" / "slow.wav").write_bytes(wav(np.zeros((100_000, 1)), rate=1))
    with pytest.raises(ValueError, match=r"slow.wav at 1 Hz"):
        list(audio(recordings, sampling_rate=16000, batch_size=None))
