"""The one error of what comes in: this request is refused, and the caller is told why."""


class Refused(Exception):  # noqa: N818 - it is no fault of the server
    """A request that is not answered because of what it holds.

    The message goes to the caller as `errorMsg`: it names nothing of the inside of the server.

    Attributes:
        code: the `errorCode` of the answer.
    """

    def __init__(self, message: str, code: int = 422) -> None:
        super().__init__(message)
        self.code = code
