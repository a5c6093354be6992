"""get_source_inputs: which inputs a symbol comes from."""


def get_source_inputs(tensor):
    """The inputs that are needed to compute a KerasTensor, each once.

    Args:
        tensor: KerasTensor; anything else is returned as it is.

    Returns:
        List of KerasTensors, in the order in which they are met on the way back.

    Example:

    >>> x, y = keras.Input((2,), name="x"), keras.Input((2,), name="y")
    >>> [source.name for source in keras.utils.get_source_inputs((x + y) * x)]
    ['x', 'y']
    """
    if not hasattr(tensor, "_keras_history"):
        return tensor
    found, seen, ahead = [], set(), [tensor]
    while ahead:
        symbol = ahead.pop()
        if id(symbol) in seen:
            continue
        seen.add(id(symbol))
        operation, node_index, _ = symbol._keras_history
        node = operation._inbound_nodes[node_index]
        if node.is_input:
            sources = node.outputs
            found.extend(x for x in sources if not any(x is other for other in found))
        else:
            ahead.extend(reversed(node.input_tensors))
    return found
