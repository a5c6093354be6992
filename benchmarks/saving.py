"""What do saving and loading cost beside safetensors itself, and how does a load grow with layers?

A model of 1 GB (Dense layers of 64 MB) is saved and loaded beside `safetensors.torch.save_file` and
`load_file`. Ours writes checksums and compares them, and flushes what it writes beside the old
file; so one of the contestants flushes what `save_file` wrote. `load_file` alone maps the file and
reads nothing: the plain ways to load are `load_state_dict(load_file(path))` into weights that are
in memory already, and a copy of each tensor where there is no memory for them yet. Loads without
comparing tell what the checksums cost. Files lie in `--folder`, and come from the system's cache
where there is room for it.

Then models of 500 and 2,000 small layers are loaded from `.keras`: the ratio of the times is 4
where a load is linear.

Run: python benchmarks/saving.py [--gigabytes 1] [--folder DIR] [--threads 2] [--cpu-time]
"""

import contextlib
import os
import tempfile

import common
import torch
from safetensors.torch import load_file, save_file

import torchkeras

WIDTH = 4096
LAYERS = (500, 2000)


def make_model(count, width):
    layers = [torchkeras.layers.Dense(width) for _ in range(count)]
    return torchkeras.Sequential([torchkeras.Input((width,)), *layers])


def save_and_flush(tensors, path):
    save_file(tensors, path)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def load_and_free(path):
    """Load a model and give its memory back at once: it would pile up until Python looks."""
    model = torchkeras.saving.load_model(path)
    for parameter in model.parameters():
        parameter.data = torch.empty(0)


@contextlib.contextmanager
def without_checksums():
    """Inside, none is compared."""
    from torchkeras.saving import safetensors_format

    check, safetensors_format.check_tensor = safetensors_format.check_tensor, lambda *_: None
    try:
        yield
    finally:
        safetensors_format.check_tensor = check


def unchecked(function):
    def run():
        with without_checksums():
            function()

    return run


def of_a_large_model(arguments, folder):
    """`{title: (contestants, baseline)}`."""
    model = make_model(max(1, round(arguments.gigabytes * 2**30 / WIDTH**2 / 4)), WIDTH)
    state = dict(model.state_dict())
    plain, ours, whole = (os.path.join(folder, f"{n}.safetensors") for n in ("a", "b", "c"))
    save_file(state, plain)
    model.save_weights(ours)
    model.save(whole)
    saves = {
        "save_file, flushed": lambda: save_and_flush(state, plain),
        "save_file": lambda: save_file(state, plain),
        "save_weights": lambda: model.save_weights(ours),
        "save": lambda: model.save(whole),
    }
    into = {
        "load_state_dict(load_file)": lambda: model.load_state_dict(load_file(plain)),
        "load_weights, unchecked": unchecked(lambda: model.load_weights(ours)),
        "load_weights": lambda: model.load_weights(ours),
    }
    anew = {
        "load_file, copied": lambda: {k: t.clone() for k, t in load_file(plain).items()},
        "load_model, unchecked": unchecked(lambda: load_and_free(whole)),
        "load_model": lambda: load_and_free(whole),
    }
    size = f"{arguments.gigabytes:g} GB"
    return {
        f"Saving {size}": (saves, "save_file, flushed"),
        f"Loading {size} into a model": (into, "load_state_dict(load_file)"),
        f"Loading {size} anew": (anew, "load_file, copied"),
    }


def of_many_layers(folder):
    contestants = {}
    for count in LAYERS:
        path = os.path.join(folder, f"{count}.keras")
        make_model(count, 8).save(path)
        contestants[f"{count} layers"] = lambda path=path: torchkeras.saving.load_model(path)
    return {"Loading .keras": (contestants, f"{LAYERS[0]} layers")}


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=7)
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--folder", help="where the files are made and removed")
    arguments = parser.parse_args()
    common.prepare(arguments)
    facts, results = common.environment(arguments), {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        comparisons = {**of_a_large_model(arguments, folder), **of_many_layers(folder)}
        for title, (contestants, baseline) in comparisons.items():
            seconds = common.interleave(contestants, arguments, number=1)
            results[title] = common.summarize(seconds, baseline)
            common.show(title, results[title], baseline)
    common.report(facts, results, arguments.json)


if __name__ == "__main__":
    main()
