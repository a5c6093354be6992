"""GradientReducer: gradients of each process's rows become gradients of the whole batch.

Two ways lead there. At the first step, and where a `train_step` of one's own does something
unusual, the gradients of each backward pass are averaged at its end, by hooks of our own: that is
right for any number of backward passes, for weights without a part in the loss, and for several
optimizers. What the first step shows to be one backward pass through all weights is from then on
left to torch's DistributedDataParallel, which sends gradients while others are still computed.

Where the step is a compiled graph, its gradients are no business of hooks: they are given to
`apply`, and averaged there, in every process and also in those steps that run without the graph.

An average over the processes leaves alone what is already the same in all of them, because the
weights of the average add up to 1. So averaging once more than needed never does harm.
"""

import inspect
import warnings

import torch

from torchkeras.core.variable import Variable
from torchkeras.distribution import process_group


class GradientReducer:
    """Averages the gradients of a model's weights over the processes.

    The DistributedDataParallel object stands beside the model and is not part of it: names,
    files and copies of the model are as in a single process. Instead of wrapping the model's
    call, each step tells it when the next gradients are to be expected.

    Args:
        model: a built model.
        bucket_cap_mb: float or None, MiB of gradients that travel together.
        find_unused: bool or `"auto"`, whether to look for weights without a part in the loss.
    """

    def __init__(self, model, bucket_cap_mb=None, find_unused="auto"):
        self._model = model
        self._bucket_cap_mb = bucket_cap_mb
        self._find_unused = find_unused
        self._parameters = []
        self._sparse = set()  # ids of those whose gradients travel as rows
        self._handles = []
        self._ddp = None
        self._finds_unused = False
        self._decided = False  # whether the first step has shown which way to go
        self._own_step = False
        self._way = None  # of the running step: "overlap", "hooks", "given", or None: not at all
        self._weight = 1.0
        self._clear()

    def _clear(self):
        self._touched = []
        self._queued = False
        self._reduced = {}  # id of a parameter -> its gradient, averaged in this step
        self._laid = {}  # parameter -> what was accumulated before, put where this step adds to
        self._backward_passes = 0
        self._used = set()
        self._irregular = False

    def look_up(self):
        """Notice which weights are trained now; every process must call it at the same time."""
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        if list(map(id, parameters)) == list(map(id, self._parameters)):
            return
        self.release()
        self._parameters = parameters
        self._sparse = set(map(id, _with_sparse_gradients(self._model)))
        self._decided = False

    def stand_by(self):
        """Expect that gradients are given to `apply`, and nothing of backward passes."""
        self.release()
        self._sparse = set(map(id, _with_sparse_gradients(self._model)))

    def release(self):
        """Take all hooks off the weights."""
        self._detach()
        if self._ddp is not None:
            self._ddp.reducer._remove_autograd_hooks()
            self._ddp = None
        self._parameters = []

    # A step

    def begin(self, weight, own_step, overlaps, communicates=True, accumulated=False, given=False):
        """Expect the gradients of a step.

        Args:
            weight: float, what this process's gradient counts for; over all processes 1.
            own_step: bool, whether the step is a `train_step` of the user's own.
            overlaps: bool, whether the plain average over processes is right.
            communicates: bool, False for a step whose gradients are only accumulated.
            accumulated: bool, whether `lay` will add what was accumulated before.
            given: bool, whether gradients are averaged when they are given to `apply`.
        """
        if accumulated and self._finds_unused:
            overlaps = False  # DDP does not tell which weights no process has used
        self._clear()
        self._weight = weight
        self._own_step = own_step
        if not communicates:
            self._way = None
        elif given:
            self._way = "given"
        elif self._ddp is not None and overlaps:
            self._way = "overlap"
            self._detach()
            self._ddp._pre_forward()
            if not self._finds_unused:
                self._ddp._post_forward(())
        else:
            self._way = "hooks"
            self._attach()

    def before_backward(self, loss):
        """The loss to go backward from, in a step of the Trainer's own."""
        if self._way == "overlap" and self._finds_unused:
            return self._ddp._post_forward(loss)
        return loss

    def lay(self, gradients):
        """Let the backward pass of this step add to gradients accumulated before.

        Of weights that no process uses in this step they are dropped: as in a single process,
        whose optimizer skips a weight without a gradient.

        Args:
            gradients: dict of parameters to tensors.
        """
        if self._way != "given":
            for parameter, gradient in gradients.items():
                parameter.grad = gradient
        self._laid = gradients

    def end(self):
        """The step is over."""
        if self._way == "overlap":
            self._complete()
        elif self._way == "hooks" and not self._decided:
            self._decide()
        self._way = None
        self._laid = {}  # its memory is not needed until the next step

    def abandon(self):
        """The step has failed: what was under way does not come to an end."""
        self.release()
        self._way = None

    def apply(self, grads, variables):
        """Gradients that an optimizer is about to apply, averaged where they are not yet.

        Args:
            grads: list of tensors or None.
            variables: their Variables, or parameters.
        """
        if self._way is None:
            return grads
        if self._way == "given":
            return self._average_of_given(grads, [_slot(v) for v in variables])
        if self._way == "overlap":
            self._complete()
            if _are_own(grads, variables):
                return [_slot(v).grad for v in variables]  # also those just completed
        elif all(
            g is None or self._reduced.get(id(_slot(v))) is g
            for g, v in zip(grads, variables, strict=True)
        ):
            return grads
        self._irregular = True
        return self._averaged(grads, [_slot(v) for v in variables])

    # By hooks of our own

    def _attach(self):
        if not self._handles:
            self._handles = [
                p.register_post_accumulate_grad_hook(self._note) for p in self._parameters
            ]

    def _detach(self):
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _note(self, parameter):
        if self._way != "hooks":
            return
        if not self._queued:
            self._queued = True
            torch.autograd.Variable._execution_engine.queue_callback(self._end_of_backward)
        self._touched.append(parameter)

    def _end_of_backward(self):
        touched, self._touched, self._queued = self._touched, [], False
        self._backward_passes += 1
        self._used.update(map(id, touched))
        ids = set(map(id, touched))
        with torch.no_grad():
            chosen = self._agree([id(p) in ids for p in self._parameters], self._parameters)
            for p in chosen:
                if p.grad is None and id(p) not in self._sparse:
                    p.grad = torch.zeros_like(p)
            for p in self._laid.keys() - set(chosen):
                p.grad = None
            grads = [p.grad for p in chosen if id(p) not in self._sparse]
            if grads:
                torch._foreach_mul_(grads, self._weight)
                process_group.all_reduce_(grads)
            for p in chosen:
                if id(p) in self._sparse:
                    p.grad = self._sum_of_rows(p.grad, p)
        self._reduced.update((id(p), p.grad) for p in chosen)

    def _averaged(self, grads, tensors):
        """Averages of gradients that came by another way than `.grad`; new tensors."""
        with torch.no_grad():
            flags = [g is not None for g in grads]
            chosen = set(map(id, self._agree(flags, tensors)))
            places = [i for i, t in enumerate(tensors) if id(t) in chosen]
            rows = [i for i in places if id(tensors[i]) in self._sparse]
            places = [i for i in places if id(tensors[i]) not in self._sparse]
            parts = [
                torch.zeros_like(tensors[i])
                if grads[i] is None
                else grads[i].detach() * self._weight
                for i in places
            ]
            process_group.all_reduce_(parts)
            parts += [self._sum_of_rows(grads[i], tensors[i]) for i in rows]
        averaged = list(grads)
        for i, part in zip([*places, *rows], parts, strict=True):
            averaged[i] = part
        return averaged

    def _average_of_given(self, grads, tensors):
        """Averages of gradients as they are given; what was accumulated before comes to them.

        Where no process has a gradient there is none, and what was accumulated is dropped.
        """
        if self._sparse:
            return self._averaged(grads, tensors)
        with torch.no_grad():
            parts = []
            for grad, tensor in zip(grads, tensors, strict=True):
                part = torch.zeros_like(tensor) if grad is None else grad.detach() * self._weight
                if tensor in self._laid:
                    part = part.add_(self._laid[tensor], alpha=self._weight)
                parts.append(part)
            # With them travels how many have a gradient; that is read where one is missing here.
            counts = torch.tensor([float(g is not None) for g in grads], device=parts[0].device)
            process_group.all_reduce_([*parts, counts])
            if any(g is None for g in grads):
                found = zip(parts, counts.tolist(), strict=True)
                parts = [part if count else None for part, count in found]
        return parts

    def _sum_of_rows(self, grad, tensor):
        """The average of gradients of which each process has some rows, as it has its own."""
        dense = grad is not None and grad.layout is torch.strided
        mine = None
        if grad is not None:
            grad = (grad.detach().to_sparse(1) if dense else grad.detach()).coalesce()
            mine = grad.indices().cpu(), (grad.values() * self._weight).cpu()
        parts = [part for part in process_group.all_gather_object(mine) if part is not None]
        indices, values = zip(*parts, strict=True)
        indices, values = torch.cat(indices, 1), torch.cat(values, 0)
        total = torch.sparse_coo_tensor(
            indices, values, tensor.shape, check_invariants=False
        ).coalesce()
        total = total.to(tensor.device)
        return total.to_dense() if dense else total

    def _agree(self, flags, items):
        """The items that are flagged in any process."""
        used = torch.tensor(flags, dtype=torch.uint8)
        process_group.all_reduce_([used], "max")
        return [item for item, flag in zip(items, used.tolist(), strict=True) if flag]

    # By torch's DistributedDataParallel

    def _decide(self):
        regular = self._backward_passes == 1 and not self._irregular and not self._sparse
        all_used = len(self._used) == len(self._parameters)
        verdict = torch.tensor([regular, all_used], dtype=torch.uint8)
        process_group.all_reduce_([verdict], "min")
        regular, all_used = map(bool, verdict.tolist())
        self._decided = True
        if self._find_unused is True or not all_used:
            self._finds_unused = True
        else:
            self._finds_unused = False
        if regular and not (self._finds_unused and self._own_step):
            self._detach()
            self._ddp = self._make_ddp()

    def _make_ddp(self):
        kind = torch.nn.parallel.DistributedDataParallel
        known = inspect.signature(kind.__init__).parameters
        # Buffers are brought together at the ends of epochs; torch 2.13 changed the name.
        name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        return kind(
            self._model,
            init_sync=False,
            bucket_cap_mb=self._bucket_cap_mb,
            find_unused_parameters=self._finds_unused,
            gradient_as_bucket_view=True,
            **{name: False},
        )

    def _complete(self):
        """Let a backward pass that left weights out count as whole: these have no gradient here.

        The others wait for the gradients of this process, whatever its data made of the loss.
        """
        try:
            self._ddp.reducer._check_reducer_finalized()
            return
        except RuntimeError:
            # DDP puts a gradient of its own in the place of each that it has seen.
            missing = [p for p in self._parameters if p.grad is self._laid.get(p)]
        if not missing:
            return
        warnings.warn(
            f"{len(missing)} weights of '{self._model.name}' had no part in the loss of a step, "
            "though all had in the first one. Their gradient counts as zero. Set "
            "DataParallel(find_unused_parameters=True) if that is to happen.",
            stacklevel=3,
        )
        with torch.enable_grad():
            sum((p.reshape(-1)[:1] * 0).sum() for p in missing).backward()


def _with_sparse_gradients(model):
    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    return [m.weight for m in model.modules() if isinstance(m, kinds) and m.sparse]


def _slot(variable):
    return variable._store[variable._key] if isinstance(variable, Variable) else variable


def _are_own(grads, variables):
    return all(g is None or g is _slot(v).grad for g, v in zip(grads, variables, strict=True))
