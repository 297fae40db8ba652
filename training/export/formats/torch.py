"""PyTorch's `.pt2`: a program of ATen operations, for Python, AOTInductor and ExecuTorch."""

import os

METADATA = "keras_mixer.json"
SAMPLE_BATCH = 2  # a batch of 1 would become a constant of the program


def write(model, path, metadata):
    """See `training.export.formats`."""
    import torch

    class Program(torch.nn.Module):
        """The model without its parameters.

        The program has the variables of Keras as constants, so parameters would be second copies.
        """

        def forward(self, pixels):
            return model(pixels, training=False)

    sample = torch.zeros((SAMPLE_BATCH, *model.input_shape[1:]))
    shapes = {"pixels": {0: torch.export.Dim("batch", min=1)}}
    with torch.no_grad():
        program = torch.export.export(Program(), (sample,), dynamic_shapes=shapes, strict=False)
    torch.export.save(program, os.fspath(path), extra_files={METADATA: metadata})


def load(path):
    """See `training.export.formats`."""
    import torch

    module = torch.export.load(os.fspath(path)).module()

    def run(pixels):
        with torch.no_grad():
            outputs = module(torch.from_numpy(pixels))
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def read_metadata(path):
    """See `training.export.formats`."""
    import torch

    files = {METADATA: ""}
    torch.export.load(os.fspath(path), extra_files=files)
    return files[METADATA]
