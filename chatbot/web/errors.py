"""Every error a client can get: a code for machines and a sentence in the reader's language."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from workspace.wordings import texts_in

SENTENCES: dict[str, str] = {
    "empty": gettext_noop("Please type a message first."),
    "too_long": gettext_noop("This message is too long: at most 8,000 characters. It is still in the text box."),
    "malformed": gettext_noop("This could not be understood. Please reload the page."),
    "binary": gettext_noop("Only text can be sent here."),
    "client_id_reused": gettext_noop("This message was sent before with other words. Please send it again."),
    "rate": gettext_noop("That was a lot at once. Please wait a moment and send it again."),
    "session": gettext_noop("This conversation is no longer open here. Please reload the page."),
    "not_waiting": gettext_noop("You are not in the queue any more."),
    "not_editable": gettext_noop("This question can no longer be edited. Please send a new one."),
    "not_repeatable": gettext_noop("This answer can no longer be repeated. Please ask again."),
    "already_taken": gettext_noop("Another agent has this conversation: %(holder)s."),
    "not_holder": gettext_noop("Take over the conversation first."),
    "unknown_collection": gettext_noop("There is no collection of that name."),
    "not_found": gettext_noop("That does not exist."),
    "forbidden": gettext_noop("Your role does not allow this."),
    "unauthorised": gettext_noop("A valid API key is needed."),
    "refused": gettext_noop("This request does not prove its sender, or it is too old."),
    "too_large": gettext_noop("This is too large."),
    "internal": gettext_noop("Something went wrong on our side. Nothing you wrote is lost."),
    "unavailable": gettext_noop(
        "Our records cannot be reached at the moment. Please try again in a minute; what was confirmed is kept."
    ),
    "model_unavailable": gettext_noop("The language model could not be reached; this answer quotes our documents instead."),
    "details": gettext_noop("Please give an e-mail address or a phone number that can be reached."),
    "form": gettext_noop("Please look at the marked fields. What you wrote is still there."),
    "form_required": gettext_noop("Please fill this in."),
    "form_email": gettext_noop("Please write an e-mail address such as name@example.com."),
    "form_phone": gettext_noop("Please write a phone number, with digits only or + in front."),
    "form_invalid": gettext_noop("Please choose or write something shorter."),
    "identity": gettext_noop("Your sign-in could not be confirmed. You can go on without it."),
    "cannot_judge": gettext_noop("This can no longer be rated."),
    "already_rated": gettext_noop("You have rated this conversation already. Thank you."),
    "file_too_large": gettext_noop("This file is too large. The limit is shown beside the button."),
    "file_type": gettext_noop("Only pictures (JPEG, PNG, WebP), PDF and plain text can be sent. Nothing was sent."),
    "file_rate": gettext_noop("That were many files at once. Please wait a while before you send more."),
    "files_off": gettext_noop("Files cannot be sent here. Please describe it in words, or ask for a person."),
}  # fmt: skip


def sentence(code: str, language: str | None = None, **values: str) -> str:
    """The sentence for a code, in `language` or in the active one."""
    text = SENTENCES.get(code, SENTENCES["internal"])
    if language is None:
        return _(text) % values if values else _(text)
    with override(texts_in(language)):
        return _(text) % values if values else _(text)
