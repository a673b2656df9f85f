"""The errors that people see: one paragraph each, saying what, where and what to do."""

from gato_data.masking import masked


class GatoDataError(Exception):
    """Something failed while the work ran. The command line exits with status 1.

    Its message holds no password of an address: those are masked, as it may be logged, or written
    to the quarantine.
    """

    def __init__(self, *parts: object) -> None:
        super().__init__(*(masked(part) if isinstance(part, str) else part for part in parts))


class UsageError(GatoDataError):
    """The request itself cannot work: arguments, config, or data that does not fit them.

    Raised before work starts wherever that is possible. The command line exits with status 2.
    """


class ContentError(GatoDataError):
    """One record cannot be used, and would not be usable on a second read either.

    It is the only error that sends a record to quarantine; errors of reading and writing
    (`OSError`) propagate, so that the runner retries the work.
    """
