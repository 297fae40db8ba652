"""Layer-wise learning-rate decay: smaller learning rates for layers near the input."""


def layer_scale(model, layer_decay):
    """Return a function from a variable of a Mixer to the factor of its learning rate.

    With d for `layer_decay` and L blocks: 1 for the head, d for the last block and the norm after
    it, … d^L for the first block, d^(L+1) for the stem. Weight decay is multiplied by the learning
    rate, and so scaled as well.
    """
    if layer_decay == 1:
        return lambda variable: 1.0
    blocks = [layer for layer in model.layers if layer.name.startswith("MixerBlock_")]
    distance = {"stem": len(blocks) + 1, "pre_head_layer_norm": 1, "head": 0}
    distance |= {block.name: len(blocks) - i for i, block in enumerate(blocks)}
    scales = {
        id(variable): layer_decay ** distance[layer.name]
        for layer in model.layers
        for variable in layer.weights
    }
    return lambda variable: scales[id(variable)]
