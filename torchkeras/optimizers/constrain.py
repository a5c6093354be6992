"""Constraints on variables, applied after an update; used by every optimizer."""


def constrain(variables):
    """Give each variable that has a constraint the value that the constraint makes of it.

    A weight under two names is under the constraints of both.
    """
    for variable in variables:
        if variable.constraint is None and variable._ties is None:
            continue
        for holder in variable._holders():
            if holder.constraint is not None:
                holder.assign(holder.constraint(holder.value))
