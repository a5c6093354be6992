"""TensorBoard: metrics, weights, graph and profile of a training for TensorBoard."""

import os
import time
import warnings

import numpy as np
import torch

from torchkeras.callbacks.callback import Callback, logs_to_floats
from torchkeras.core.checks import as_path, check_switch, check_whole
from torchkeras.distribution import process_group
from torchkeras.distribution.sharding import whole_state


class TensorBoard(Callback):
    """Writes what TensorBoard shows: `tensorboard --logdir=logs`.

    Metrics are in two runs, `train` and `validation`, as `epoch_<metric>` by epoch (from 0),
    the learning rate among them, and, with `update_freq`, as `batch_<metric>` by training batch
    (from 1). Each evaluation also writes `evaluation_<metric>_vs_iterations`.

    All that is read from the device for this waits for it: per epoch, and with `update_freq` at
    the batches that are written.

    Of several processes of a job the first one writes: metrics of all, which with `update_freq`
    are brought together at every batch, and gradients, the graph and the profile as it sees them.

    Args:
        log_dir: str or path, folder of the runs, for this callback alone.
        histogram_freq: int, every so many epochs histograms of the weights, `<path>/histogram`,
            and of the gradients of the last batch, `<path>/gradient_histogram`; 0 for none.
        write_graph: bool, write the graph: of the layers, for Functional and Sequential models,
            and of the operations of the first training step, unless the model is compiled with
            `jit_compile=True`. (Keras: of the layers alone.)
        write_images: bool, write weights as images with the histograms, `<path>/image`: black is
            the smallest value, white the largest.
        write_steps_per_second: bool, write `epoch_steps_per_second` and, with `update_freq`,
            `batch_steps_per_second`. On an accelerator the time of one batch is that of its
            launch.
        update_freq: `"epoch"`, or `"batch"`, or int: metrics of every so many batches too.
        profile_batch: int, or pair of ints, first and last batch (from 1) to trace with
            `torch.profiler`; 0 for none. The trace is in the run `train`, a `.pt.trace.json`
            file for TensorBoard's PyTorch Profiler plugin (`pip install torch-tb-profiler`) or
            the browser's `chrome://tracing`; the slowest operations are among the texts, as
            `batch_<last>`. (Keras with torch: not supported.)
        embeddings_freq: int, every so many epochs the matrices of Embedding layers for the
            projector; 0 for none.
        embeddings_metadata: str, a file with a label a line for all of these layers, or dict of
            layer name to file. Relative paths start at `log_dir`.

    Raises:
        ValueError: an argument is out of range, or `embeddings_metadata` names a layer that is
            no Embedding of the model.

    Example:

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.ones((4, 3)), np.ones((4, 1))
    >>> board = keras.callbacks.TensorBoard(folder)
    >>> _ = model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[board])
    >>> sorted(os.listdir(folder))
    ['train', 'validation']
    """

    _supports_device_logs = True
    _state_names = ("_global_train_batch", "_global_test_batch")

    def __init__(
        self,
        log_dir="logs",
        histogram_freq=0,
        write_graph=True,
        write_images=False,
        write_steps_per_second=False,
        update_freq="epoch",
        profile_batch=0,
        embeddings_freq=0,
        embeddings_metadata=None,
    ):
        super().__init__()
        check_whole("histogram_freq", histogram_freq, least=0, cure="Give 0 for no histograms.")
        check_whole("embeddings_freq", embeddings_freq, least=0, cure="Give 0 for none.")
        for name, value in (
            ("write_graph", write_graph),
            ("write_images", write_images),
            ("write_steps_per_second", write_steps_per_second),
        ):
            check_switch(name, value)
        self.log_dir = as_path("log_dir", log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = _check_update_freq(update_freq)
        self.embeddings_freq = embeddings_freq
        self.embeddings_metadata = embeddings_metadata
        self._start_batch, self._stop_batch = _batches_to_profile(profile_batch)
        self._train_dir = os.path.join(self.log_dir, "train")
        self._val_dir = os.path.join(self.log_dir, "validation")
        self._writers = {}
        self._in_fit = False
        self._global_train_batch = 0
        self._global_test_batch = 0
        self._profiler = None
        self._recorder = None
        self._batch_start_time = self._epoch_start_time = 0.0
        self._iterations_before = 0

    def set_model(self, model):
        super().set_model(model)
        if self.embeddings_freq:
            self._check_metadata()

    @property
    def _needs_all_rows(self):
        # What is written by batch is of all processes; the rest is read from epochs.
        return self.update_freq != "epoch"

    @property
    def _unused_hooks(self):
        """Batch hooks are for what is written by batch."""
        cls, unused = type(self), ["on_test_batch_begin"]
        if self.update_freq == "epoch" and not self._start_batch:
            unused += ["on_train_batch_begin", "on_train_batch_end"]
        elif self.update_freq != "epoch":
            unused.remove("on_test_batch_begin")
        return [hook for hook in unused if getattr(cls, hook) is getattr(TensorBoard, hook)]

    # Writers

    def _writer(self, folder):
        if folder not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[folder] = SummaryWriter(folder)
        return self._writers[folder]

    @property
    def _train_writer(self):
        return self._writer(self._train_dir)

    @property
    def _val_writer(self):
        return self._writer(self._val_dir)

    def _close_writers(self):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    # Hooks

    def on_train_begin(self, logs=None):
        self._in_fit = True
        self._global_train_batch = 0
        self._global_test_batch = 0
        self._stop_recorder()
        if self.write_graph and process_group.is_chief():
            self._start_recorder()

    def on_train_end(self, logs=None):
        self._in_fit = False
        self._stop_recorder()
        if self._profiler is not None:
            self._stop_trace()
        self._close_writers()

    def on_test_end(self, logs=None):
        if not process_group.is_chief():
            return
        iterations = getattr(self.model.optimizer, "iterations", None)
        if iterations is not None:
            step = int(iterations)
            for name, value in logs_to_floats(logs).items():
                self._add_scalar(self._val_writer, f"evaluation_{name}_vs_iterations", value, step)
        if not self._in_fit:
            self._close_writers()

    def on_test_batch_begin(self, batch, logs=None):
        self._global_test_batch += 1

    def on_epoch_begin(self, epoch, logs=None):
        if self.write_steps_per_second:
            self._iterations_before = int(self.model.optimizer.iterations)
            self._epoch_start_time = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        histograms = self.histogram_freq and epoch % self.histogram_freq == 0
        embeddings = self.embeddings_freq and epoch % self.embeddings_freq == 0
        if histograms or embeddings:
            with whole_state(self.model):  # for which all processes are needed
                if process_group.is_chief():
                    self._write_state(epoch, histograms, embeddings)
        if not process_group.is_chief():
            return
        self._write_metrics(epoch, logs or {})
        for writer in self._writers.values():
            writer.flush()  # to be seen while the training goes on, or after a crash

    def on_train_batch_begin(self, batch, logs=None):
        self._global_train_batch += 1
        if not process_group.is_chief():
            return
        if self.write_steps_per_second:
            self._batch_start_time = time.perf_counter()
        if self._global_train_batch == self._start_batch:
            self._start_trace()

    def on_train_batch_end(self, batch, logs=None):
        step = self._global_train_batch
        if self._profiler is not None:
            self._profiler.step()
            if step >= self._stop_batch:
                self._stop_trace()
        if self.update_freq == "epoch" or step % self.update_freq or not process_group.is_chief():
            return
        if self.write_steps_per_second:
            duration = time.perf_counter() - self._batch_start_time
            rate = 1.0 / max(duration, 1e-9)
            self._add_scalar(self._train_writer, "batch_steps_per_second", rate, step)
        for name, value in logs_to_floats(logs).items():
            self._add_scalar(self._train_writer, f"batch_{name}", value, step)

    # Metrics

    @staticmethod
    def _add_scalar(writer, tag, value, step):
        if np.ndim(value) == 0 and not isinstance(value, str):
            writer.add_scalar(tag, float(value), step)

    def _write_metrics(self, epoch, logs):
        if not logs:
            return
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        optimizer = self.model.optimizer
        if hasattr(optimizer, "learning_rate"):
            train["learning_rate"] = float(optimizer.learning_rate)
        if self.write_steps_per_second:
            steps = int(optimizer.iterations) - self._iterations_before
            duration = time.perf_counter() - self._epoch_start_time
            train["steps_per_second"] = steps / max(duration, 1e-9)
        for name, value in train.items():
            self._add_scalar(self._train_writer, f"epoch_{name}", value, epoch)
        for name, value in logs.items():
            if name.startswith("val_"):
                tag = f"epoch_{name.removeprefix('val_')}"
                self._add_scalar(self._val_writer, tag, value, epoch)

    # Weights

    def _write_state(self, epoch, histograms, embeddings):
        if histograms:
            self._write_weights(epoch)
        if embeddings:
            self._write_embeddings()

    def _write_weights(self, epoch):
        writer = self._train_writer
        for weight in self.model.weights:
            path = weight.path.replace(":", "_")
            tensor = weight.value
            _add_histogram(writer, f"{path}/histogram", tensor, epoch)
            if tensor.grad is not None:
                _add_histogram(writer, f"{path}/gradient_histogram", tensor.grad, epoch)
            if self.write_images:
                images = _as_images(_to_numpy(tensor))
                if images is not None:
                    writer.add_images(f"{path}/image", images, epoch, dataformats="NHWC")

    # Graph

    def _start_recorder(self):
        from torchkeras.callbacks.tensorboard_graph import GraphRecorder, layer_graph

        if self.model.jit_compile:
            if self.model.built:
                self._write_graph(layer_graph(self.model), ())
            return

        def write():
            recorder, self._recorder = self._recorder, None
            self._write_graph(layer_graph(self.model), recorder.nodes)

        self._recorder = GraphRecorder(self.model, when_done=write)

    def _stop_recorder(self):
        if self._recorder is not None:
            self._recorder.remove()
            self._recorder = None

    def _write_graph(self, layers, nodes):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        from torchkeras.callbacks.tensorboard_graph import to_graph_def

        writer = self._train_writer.file_writer
        if nodes:
            writer.add_event(Event(graph_def=to_graph_def(nodes).SerializeToString()))
        if layers is not None:
            summary = Summary()
            value = summary.value.add(tag="keras")
            value.metadata.plugin_data.plugin_name = "graph_keras_model"
            value.metadata.plugin_data.content = b"1"  # version of that format
            value.tensor.dtype = 7  # DT_STRING
            value.tensor.string_val.append(layers.encode())
            writer.add_summary(summary, 0)

    # Embeddings

    def _embeddings(self):
        """`{layer name: layer}` of the Embedding layers, ours and torch's."""
        found = {}
        for path, module in self.model.named_modules():
            if any(cls.__name__ == "Embedding" for cls in type(module).__mro__):
                found[str(getattr(module, "name", None) or path)] = module
        return found

    def _check_metadata(self):
        names = list(self._embeddings())
        metadata = self.embeddings_metadata
        unknown = [name for name in metadata if name not in names] if _is_dict(metadata) else []
        if unknown:
            raise ValueError(
                "The keys of `embeddings_metadata` must be names of the model's Embedding "
                f"layers, {names}. Received: {unknown}."
            )

    def _write_embeddings(self):
        from google.protobuf import text_format
        from tensorboard.plugins.projector import ProjectorConfig

        from torchkeras.saving.atomic import atomic_write

        config = ProjectorConfig()
        os.makedirs(self._train_dir, exist_ok=True)
        for name, layer in self._embeddings().items():
            matrix = getattr(layer, "embeddings", None)
            matrix = layer.weight if matrix is None else matrix
            matrix = _to_numpy(getattr(matrix, "value", matrix))
            file_name = f"embeddings_{name.replace('/', '_')}.tsv"
            with atomic_write(os.path.join(self._train_dir, file_name)) as temporary:
                np.savetxt(temporary, matrix, "%.6g", delimiter="\t")
            embedding = config.embeddings.add(tensor_name=name)
            embedding.tensor_shape.extend(matrix.shape)
            embedding.tensor_path = os.path.join("train", file_name)
            metadata = self.embeddings_metadata
            path = metadata.get(name) if _is_dict(metadata) else metadata
            if path is not None:
                embedding.metadata_path = os.fsdecode(path)
        path = os.path.join(self.log_dir, "projector_config.pbtxt")
        with atomic_write(path) as temporary, open(temporary, "w") as file:
            file.write(text_format.MessageToString(config))

    # Profile

    def _start_trace(self):
        if torch.autograd._profiler_enabled():  # a second one would silently end the first
            warnings.warn(
                "Only one profiler can run at a time. Received: "
                f"profile_batch={self._start_batch} while another one runs. Nothing is profiled.",
                stacklevel=2,
            )
            return
        self._profiler = torch.profiler.profile()
        self._profiler.start()

    def _stop_trace(self):
        profiler, self._profiler = self._profiler, None
        profiler.stop()
        torch.profiler.tensorboard_trace_handler(self._train_dir)(profiler)
        self._train_writer.add_text(
            f"batch_{self._stop_batch}", _table_of(profiler), self._stop_batch
        )

    def __getstate__(self):
        # Files, hooks and a running profiler stay with this process.
        return {**self.__dict__, "_writers": {}, "_recorder": None, "_profiler": None}


def _check_update_freq(update_freq):
    if update_freq == "batch":
        return 1
    is_int = isinstance(update_freq, int) and not isinstance(update_freq, bool)
    if update_freq != "epoch" and not (is_int and update_freq >= 1):
        raise ValueError(
            "`update_freq` must be 'epoch', 'batch', or an int of at least 1. Received: "
            f"update_freq={update_freq!r}."
        )
    return update_freq


def _batches_to_profile(profile_batch):
    """`(first, last)`, both from 1; `(0, 0)` for none."""
    given = profile_batch
    if isinstance(given, str):  # "5" or "5,10", as in older Keras
        given = [int(part) if part.strip().isdigit() else None for part in given.split(",")]
        given = given[0] if len(given) == 1 else given
    pair = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, given)
    if (
        not all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
        or pair[0] < 0
        or pair[1] < pair[0]
    ):
        raise ValueError(
            "`profile_batch` must be an int, 0 for none, or a pair of ints, first and last batch "
            f"(from 1). Received: profile_batch={profile_batch!r}."
        )
    return tuple(pair)


def _is_dict(metadata):
    return isinstance(metadata, dict)


def _to_numpy(tensor):
    return tensor.detach().float().cpu().numpy()


def _add_histogram(writer, tag, tensor, step):
    """A histogram of the finite values; none where there are none."""
    tensor = tensor.detach()
    values = tensor[torch.isfinite(tensor)] if tensor.is_floating_point() else tensor.flatten()
    if values.numel():
        writer.add_histogram(tag, values.float().cpu(), step)


def _as_images(weight):
    """Array `(images, height, width, channels)` in [0, 1] of a weight; None for other shapes.

    A vector is one column, a matrix lies on its long side, and of three axes the last counts
    images (as in Keras).
    """
    image = np.squeeze(weight)
    if image.ndim == 1:
        image = image[None, :, None, None]
    elif image.ndim == 2:
        image = image.T if image.shape[0] > image.shape[1] else image
        image = image[None, :, :, None]
    elif image.ndim == 3:
        image = image.transpose(2, 0, 1)[..., None]
    if image.ndim != 4 or image.shape[-1] not in (1, 3) or not image.size:
        return None
    low, high = image.min(), image.max()
    if not np.isfinite(high - low):
        return None
    return (image - low) / (high - low or 1.0)


def _table_of(profiler):
    """The ten operations that took longest, as a table in Markdown."""
    on_device = torch.accelerator.is_available()
    time_of = "self_device_time_total" if on_device else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda e: getattr(e, time_of), reverse=True)
    rows = [f"| operation | calls | {'device' if on_device else 'CPU'} time, µs |", "|-|-|-|"]
    rows += [f"| {e.key} | {e.count} | {getattr(e, time_of):.0f} |" for e in events[:10]]
    return "\n".join(rows)
