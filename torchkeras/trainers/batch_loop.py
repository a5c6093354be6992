"""The loop over batches, one for `fit`, `evaluate` and `predict`."""

import contextlib

from torchkeras.trainers.stateless_step import write_back, written_back

# Of each kind of pass, the attribute of the model by which a callback ends it.
_STOP_FLAGS = {"train": "stop_training", "test": "stop_evaluating", "predict": "stop_predicting"}


def run_batches(model, kind, step, iterator, callbacks):
    """Run a step on each batch of an epoch, with the batch hooks of callbacks around it.

    Hooks are called, and a wish to stop is heeded, once for `steps_per_execution` batches: with
    the number of the first of them, and that of the last, counted as if it were not cut short by
    the end of the data (as in Keras).

    Args:
        model: Trainer, prepared for a pass of this kind.
        kind: `"train"`, `"test"` or `"predict"`.
        step: function of the data of a batch that returns its logs: a dict, or a function that
            returns one. In a prediction it returns the outputs.
        iterator: EpochIterator.
        callbacks: CallbackList.

    Returns:
        What the last step has returned; None if there was no batch.
    """
    replica, group, flag = model._replica, model.steps_per_execution, _STOP_FLAGS[kind]
    begin, end = f"on_{kind}_batch_begin", f"on_{kind}_batch_end"
    trains, predicts = kind == "train", kind == "predict"
    stop, agree = replica.begin_pass(callbacks, end, flag), replica.agree_after_batch
    run = (replica.training_step if trains else replica.evaluating_step)(step, iterator)
    wants_begin = getattr(callbacks, f"wants_{kind}_batch_begin")
    # Also where only another process listens: what it is shown takes all of them.
    wants_end = getattr(callbacks, f"wants_{kind}_batch_end") or replica.listens(end)

    def call_end(number, logs):
        write_back(step)
        logs = {"outputs": logs} if predicts else replica.batch_logs(end, logs)
        getattr(callbacks, end)(number, logs)

    def end_short_group():
        if done:
            if wants_end:
                call_end(number + group - done, logs)
            agree(end, flag)

    logs, done, number = None, 0, 0
    epoch = iterator.enumerate_epoch(end_short_group)
    with contextlib.closing(epoch) as batches, written_back(step):
        for number, batch in batches:
            if wants_begin and done == 0:
                getattr(callbacks, begin)(number)
            if trains:
                model._clear_gradients()
            logs = run(batch[0] if iterator.bare_batches else batch)
            done += 1
            if done == group:
                done = 0
                if wants_end:
                    call_end(number, logs)
                if agree(end, flag) or stop:
                    if trains:
                        callbacks._after_stop()
                    break
    return logs
