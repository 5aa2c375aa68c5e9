"""The errors that a person is shown: one line that says what failed, on what, and how to mend it."""


class RagError(Exception):
    """Something failed that the message explains and tells how to mend; ``exit_status`` is for the shell."""

    exit_status = 1


class UsageError(RagError):
    """The request itself cannot be served as it stands (an empty question, a wrong option)."""

    exit_status = 2


class ArticleError(RagError):
    """An article cannot be read."""


class LibraryError(RagError):
    """The library cannot be opened, read or written."""


class ModelError(RagError):
    """A model file is missing, damaged or unusable."""


class Stopped(RagError):
    """An answer that was stopped on request before it was whole."""
