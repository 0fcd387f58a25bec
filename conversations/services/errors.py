"""What can go wrong in a conversation, by codes; the words are made where the reader's language is known."""


class ConversationError(Exception):
    """Base of what can go wrong here. `code` is for machines; the words are made where the reader's language is known."""

    code = "conversation_error"


class EmptyText(ConversationError):
    code = "empty"


class TextTooLong(ConversationError):
    code = "too_long"


class ClientIdReused(ConversationError):
    """The same client id came again with another text."""

    code = "client_id_reused"


class LineTaken(ConversationError):
    """The bot no longer holds the line; its write was refused."""

    code = "line_taken"


class NotEditable(ConversationError):
    """Only the visitor's last question can be edited, while the bot holds the line and no agent has dealt with it."""

    code = "not_editable"


class NotRepeatable(ConversationError):
    """Only the last turn, once it has ended, can be repeated, while the bot holds the line."""

    code = "not_repeatable"


class AlreadyTaken(ConversationError):
    """Another agent holds the line."""

    code = "already_taken"

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(holder)


class NotHolder(ConversationError):
    """Only the agent who holds the line may do this."""

    code = "not_holder"


class NotWaiting(ConversationError):
    """The conversation is not in the queue."""

    code = "not_waiting"
