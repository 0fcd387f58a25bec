"""The bot's own sentences: the owner's wording where there is one, else ours, in the visitor's language."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from chatbot.turn.values import InboxView, Intent
from workspace.wordings import pick, texts_in

TEXTS: dict[str, str] = {
    "greeting": gettext_noop("Hello! How can I help you?"),
    "handed_off": gettext_noop("I am asking a person to join. Your messages stay here, you need not repeat anything."),
    "refused": gettext_noop(
        "I cannot help with that here. If you have a question about our products or your order, please ask."
    ),
    "withheld": gettext_noop("I had to stop here. Would you like to talk to a person?"),
    "no_source": gettext_noop(
        "I have no source for this, so I would rather not guess. You can put it another way, or talk to a person."
    ),
    "unsupported": gettext_noop(
        "I have no source for more than this, so I stop here. Would you like to talk to a person?"
    ),
    "unsupported_mark": gettext_noop("no source"),
    "ask_back": gettext_noop("I am not sure what you mean. Is it one of these?\n\n%(choices)s"),
    "told": gettext_noop(
        "You told me earlier: “%(quote)s” I have no source for more than this. Would you like to talk to a person?"
    ),
    "text_only": gettext_noop("I can only read text here. Please write your question, or ask for a person."),
    "busy": gettext_noop(
        "Very many people are asking just now. Your message is kept: please try again in a minute, or leave a message for us."
    ),
    "failed": gettext_noop(
        "Something went wrong on our side. Your message is kept: please try again in a moment, or talk to a person."
    ),
}


class OwnerReplies:
    """The replies of one inbox (see `chatbot.turn.seams.Replies`). Languages we do not speak get English."""

    def __init__(self, inbox: InboxView) -> None:
        self._inbox = inbox

    def small_talk(self, intent: Intent, language: str) -> str:
        return pick(intent.reply, language)

    def say(self, key: str, language: str, **values: str) -> str:
        own = pick(self._inbox.texts.get(key, {}), language)
        with override(texts_in(language)):
            text = own or _(TEXTS[key])
        for name, value in values.items():
            text = text.replace(f"%({name})s", value)
        return text
