"""Does MNIST reach the same accuracy with the compiled kernels and without?

Trains the model of `examples/mnist.py` from several seeds, in a process of its own for each seed
and mode of `TORCHKERAS_KERNELS`, and prints accuracy on the test images and seconds.

Run: python benchmarks/mnist_accuracy.py [--seeds 3] [--epochs 3] [--json PATH]
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import common

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def train(seed, epochs, threads):
    """Train once in this process; print the result as JSON."""
    sys.path.insert(0, str(EXAMPLES))
    import mnist
    import torch

    import torchkeras as keras

    torch.set_num_threads(threads)
    keras.utils.set_random_seed(seed)
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    model = mnist.make_model()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    begin = time.perf_counter()
    model.fit(x_train, y_train, epochs=epochs, batch_size=32, verbose=0)
    seconds = time.perf_counter() - begin
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    loaded = keras.kernels.status()["loaded"]
    print(json.dumps({"accuracy": accuracy, "seconds": seconds, "kernels": loaded}))


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=1, on_device=False)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--train", type=int, metavar="SEED", help="one training, in this process")
    arguments = parser.parse_args()
    if arguments.train is not None:
        train(arguments.train, arguments.epochs, arguments.threads)
        return
    results = {"require": [], "off": []}
    for seed in range(arguments.seeds):
        for mode, runs in results.items():
            command = [sys.executable, __file__, "--train", str(seed)]
            command += ["--epochs", str(arguments.epochs), "--threads", str(arguments.threads)]
            environment = {**os.environ, "TORCHKERAS_KERNELS": mode}
            run = subprocess.run(command, env=environment, capture_output=True, text=True)
            if run.returncode:
                raise SystemExit(run.stderr)
            runs.append(json.loads(run.stdout.splitlines()[-1]))
            print(f"seed {seed}, kernels {mode}: {runs[-1]}", flush=True)
    for mode, runs in results.items():
        accuracies = [run["accuracy"] for run in runs]
        print(
            f"kernels {mode}: mean {statistics.mean(accuracies):.4f}, "
            f"{min(accuracies):.4f} to {max(accuracies):.4f}"
        )
    common.report(common.environment(arguments), results, arguments.json)


if __name__ == "__main__":
    main()
