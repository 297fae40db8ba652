"""The application: trains, evaluates and runs Mixers by `python -m training COMMAND`."""
