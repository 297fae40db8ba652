"""Conversion of out-of-memory errors of a run to `UserError`."""

from training.errors import out_of_memory_as_user_error


def training_out_of_memory_as_user_error(config):
    """Return a context in which errors that say that memory is exhausted are UserErrors.

    Args:
        config: The `training.config.Config` of the run.
    """
    data = config.data
    return out_of_memory_as_user_error(
        f"--batch-size {data.batch_size} with images of {data.image_size} pixels",
        "Pass a smaller --batch-size, with --accumulation-steps to keep the number of images per "
        "update; or --rematerialize, or a smaller model.",
    )
