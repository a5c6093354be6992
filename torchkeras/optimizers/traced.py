"""A choice by a condition that may be a traced tensor."""

import torch


def choose(condition, yes, no):
    """`yes` or `no`, by a bool, or entry by entry by a traced scalar."""
    if isinstance(condition, bool):
        return yes if condition else no
    return torch.where(condition.to(yes.device), yes, no)
