"""transformers itself: which objects are its models."""


def is_model(x: object) -> bool:
    """Whether it is a model of transformers. Imports nothing."""
    return any(
        kind.__name__ == "PreTrainedModel" and kind.__module__.partition(".")[0] == "transformers"
        for kind in type(x).__mro__
    )
