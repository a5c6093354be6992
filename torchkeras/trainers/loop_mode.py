"""The mode of a model while loops such as `fit` and `predict` run, in one thread or several."""

import threading

from torchkeras.layers.training_mode import TrainingMode

_LOCK = threading.Lock()


class LoopMode:
    """Training or inference mode for all of a model, and what each part had before.

    Loops of one thread are nested. Inference loops of several threads share one LoopMode: the
    first sets the mode, and the last to end gives the parts theirs again.

    Args:
        model: Model.
        training: bool.
        outer: the LoopMode around it, or None.
    """

    def __init__(self, model, training, outer):
        self.training = training
        self.outer = outer
        self._model = model
        self._threads = [threading.get_ident()]
        self._running = model._running
        self._before = [
            (module, module.training, getattr(module, "_mode_is_set", False))
            for module in model.modules()
        ]
        model.train(training)

    @classmethod
    def begin(cls, model, training):
        """A LoopMode for a loop of this thread that begins now."""
        with _LOCK:
            outer = model._loop_mode
            if outer is not None and not (training or outer.training):
                if threading.get_ident() not in outer._threads:
                    outer._threads.append(threading.get_ident())
                    return outer
            model.__dict__["_loop_mode"] = cls(model, training, outer)
            return model._loop_mode

    def end(self):
        """A loop of this thread ends."""
        model = self._model
        with _LOCK:
            self._threads.remove(threading.get_ident())
            if self._threads:
                return
            if model._loop_mode is self:
                model.__dict__.update(_loop_mode=self.outer, _running=self._running)
                self._restore()
                return
            # Another thread's loop began later, and still runs: it brings back what was before.
            later = model._loop_mode
            while later.outer is not self:
                later = later.outer
            later.outer, later._before, later._running = self.outer, self._before, self._running

    def _restore(self):
        model = self._model
        if self.training and self.outer is None and not model._in_torch_module:
            model.eval()
            kept = [each for each in self._before if getattr(each[0], "_trains_by_itself", False)]
        else:
            kept = self._before
        for module, flag, _ in kept:
            module.__dict__["training"] = flag
        # The loop has set the modes, and nobody else.
        known = {id(module): is_set for module, _, is_set in self._before}
        for module in model.modules():
            if isinstance(module, TrainingMode):
                module.__dict__["_mode_is_set"] = known.get(id(module), False)
