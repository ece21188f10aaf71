"""How abm says no to a user."""


class Refused(Exception):
    """The user asked for something that will not be done.

    `code` is the API's error code, `message` the sentence a person reads, `status` the HTTP
    status, and `params` the values that the API's `[CODE]k:v` form carries.
    """

    def __init__(self, code: str, message: str, *, status: int = 409, **params: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.params = params
