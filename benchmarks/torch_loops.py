"""An epoch of training in plain PyTorch and in the libraries that run its loops.

All train a net that gives logits (or one number), with torch's Adam, and report the mean loss and
the accuracy (or mean absolute error) of the epoch, summed on the device and read once.
"""

import torch
import workers
from torch.nn import functional as F


class Task:
    """What is trained, and by which numbers it is judged.

    Args:
        net: the module.
        x, y: arrays.
        batch_size: int.
        classes: int, or None for a regression.
        device, dtype: of torch.
    """

    def __init__(self, net, x, y, batch_size, classes, device, dtype):
        self.net = net.train()
        self.x, self.y = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
        if self.x.is_floating_point():
            self.x = self.x.to(dtype)
        if classes is None:
            self.y = self.y.to(dtype)
        self.batch_size, self.device = batch_size, device
        self.name = "mae" if classes is None else "accuracy"
        self.loss = F.mse_loss if classes is None else F.cross_entropy
        self.measure = absolute_error if classes is None else accuracy

    def adam(self, fused):
        return torch.optim.Adam(self.net.parameters(), lr=1e-3, eps=1e-7, fused=fused or None)

    def loader(self):
        """A DataLoader as tutorials have it: of data in the memory of the CPU, no processes."""
        data = torch.utils.data.TensorDataset(self.x.cpu(), self.y.cpu())
        return torch.utils.data.DataLoader(data, batch_size=self.batch_size, shuffle=True)

    def logs(self, sums):
        values = [float(total) / len(self.x) for total in sums]
        return dict(zip(("loss", self.name), values, strict=False))


def accuracy(predictions, y):
    return (predictions.argmax(-1) == y).float().mean()


def absolute_error(predictions, y):
    return (predictions - y).abs().mean()


class HandWritten:
    """The loop that a torch user would write.

    Args:
        task: Task.
        fused: bool, whether Adam is torch's fused one.
        loader: bool, whether batches come from a DataLoader; else from slices of a new order.
        compiled: bool, whether forward pass and loss are one graph.
    """

    def __init__(self, task, fused, loader=False, compiled=False):
        self.task, self.optimizer = task, task.adam(fused)
        self.metrics = [task.measure]
        self.loader = task.loader() if loader else None
        self.forward = torch.compile(self._forward) if compiled else self._forward

    def _forward(self, x, y):
        predictions = self.task.net(x)
        return predictions, self.task.loss(predictions, y)

    def _slices(self):
        task = self.task
        order = torch.randperm(len(task.x), device=task.device)
        for index in order.split(task.batch_size):
            yield task.x.index_select(0, index), task.y.index_select(0, index)

    def _loaded(self):
        for x, y in self.loader:
            yield x.to(self.task.device), y.to(self.task.device)

    def run(self):
        task, optimizer, forward = self.task, self.optimizer, self.forward
        sums = self._zeros()
        for x, y in self._loaded() if self.loader else self._slices():
            optimizer.zero_grad(set_to_none=True)
            predictions, loss = forward(x, y)
            loss.backward()
            optimizer.step()
            self._add(sums, loss, predictions, y)
        self.logs = task.logs(sums)

    def _zeros(self):
        return [torch.zeros((), device=self.task.device) for _ in range(1 + len(self.metrics))]

    @torch.no_grad()
    def _add(self, sums, loss, predictions, y):
        values = [loss, *(metric(predictions, y) for metric in self.metrics)]
        for total, value in zip(sums, values, strict=True):
            total += value * len(y)

    def tell(self):
        return {"logs": self.logs}


class Accelerate(HandWritten):
    """The same loop by `accelerate`, over a DataLoader that it prepares."""

    def __init__(self, task):
        from accelerate import Accelerator

        super().__init__(task, fused=True, loader=True)
        self.accelerator = Accelerator(cpu=task.device.type == "cpu")
        task.net, self.optimizer, self.loader = self.accelerator.prepare(
            task.net, self.optimizer, self.loader
        )

    def run(self):
        task, optimizer = self.task, self.optimizer
        sums = self._zeros()
        for x, y in self.loader:
            optimizer.zero_grad()
            predictions, loss = self._forward(x, y)
            self.accelerator.backward(loss)
            optimizer.step()
            self._add(sums, loss, predictions, y)
        self.logs = task.logs(sums)


class Lightning:
    """An epoch of Lightning's Trainer, without logger, bar and checkpoints.

    What counts is the time from the start of training to its end: not that of setting up, which
    its `fit` does in every call.
    """

    def __init__(self, task):
        import logging

        import lightning

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        self.task, self.batches, self.marks = task, task.loader(), {}
        optimizer, marks = task.adam(fused=True), self.marks

        class Module(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = task.net

            def training_step(self, batch, _):
                x, y = batch
                predictions = self.net(x)
                loss = task.loss(predictions, y)
                shared = {"on_step": False, "on_epoch": True, "batch_size": len(x)}
                self.log("loss", loss, **shared)
                self.log(task.name, task.measure(predictions.detach(), y), **shared)
                return loss

            def configure_optimizers(self):
                return optimizer

            def on_train_start(self):
                marks["begin"] = workers.clocks()

            def on_train_end(self):
                if task.device.type == "cuda":
                    torch.cuda.synchronize(task.device)
                marks["end"] = workers.clocks()

        self.module = Module()
        self.trainer = lightning.Trainer(
            accelerator="gpu" if task.device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    def run(self):
        self.trainer.fit_loop.max_epochs = self.trainer.current_epoch + 1
        self.trainer.fit(self.module, self.batches)
        pairs = zip(self.marks["begin"], self.marks["end"], strict=True)
        self.measured = [end - begin for begin, end in pairs]

    def tell(self):
        return {"logs": {k: float(v) for k, v in self.trainer.callback_metrics.items()}}


class Skorch:
    """An epoch of skorch's NeuralNet, with its measure of the training set."""

    def __init__(self, task):
        import skorch
        from skorch.callbacks import PassthroughScoring

        # As a score at each batch and its mean: EpochScoring would copy all predictions.
        class Net(skorch.NeuralNet):
            def train_step_single(self, batch, **arguments):
                found = super().train_step_single(batch, **arguments)
                value = task.measure(found["y_pred"].detach(), batch[1])
                self.history.record_batch(task.name, value.item())
                return found

        self.task = task
        self.net = Net(
            task.net,
            criterion=torch.nn.MSELoss if task.name == "mae" else torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,
            optimizer__eps=1e-7,
            lr=1e-3,
            batch_size=task.batch_size,
            max_epochs=1,
            iterator_train__shuffle=True,
            train_split=None,
            callbacks=[("measure", PassthroughScoring(task.name, on_train=True))],
            callbacks__print_log=None,
            device=str(task.device),
        ).initialize()

    def run(self):
        self.net.partial_fit(self.task.x, self.task.y)

    def tell(self):
        last = self.net.history[-1]
        return {"logs": {"loss": last["train_loss"], self.task.name: last[self.task.name]}}


# name of the contestant: (its family, what makes it of a Task)
LOOPS = {
    "hand-written loop, fused Adam": ("torch", lambda task: HandWritten(task, fused=True)),
    "hand-written loop, Adam": ("torch", lambda task: HandWritten(task, fused=False)),
    "hand-written loop, torch.compile": (
        "torch",
        lambda task: HandWritten(task, fused=True, compiled=True),
    ),
    "DataLoader loop, fused Adam": (
        "torch",
        lambda task: HandWritten(task, fused=True, loader=True),
    ),
    "DataLoader loop, Adam": ("torch", lambda task: HandWritten(task, fused=False, loader=True)),
    "Lightning": ("lightning", Lightning),
    "Accelerate": ("accelerate", Accelerate),
    "skorch": ("skorch", Skorch),
}
