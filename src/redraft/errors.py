"""Our exceptions. A message names the argument, the value seen and the value wanted."""


class RedraftError(Exception):
    """Parent of everything redraft raises on purpose."""


class InvalidRequest(RedraftError):
    """The caller asked for something that cannot be done as asked; nothing was run."""


class LoadError(RedraftError):
    """A checkpoint is missing, damaged, or of a kind we do not run."""


class Overloaded(RedraftError):
    """The queue is full; try again later."""


class OutOfMemory(RedraftError):
    """The request does not fit the memory there is."""


class DeadlineExceeded(RedraftError):
    """The request's own deadline passed before it finished."""


class Cancelled(RedraftError):
    """The caller cancelled the request."""


class ModelFailure(RedraftError):
    """The model returned logits that are not numbers."""
