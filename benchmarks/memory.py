"""How much of a long conversation comes back when it is asked for in other words.

    python benchmarks/memory.py [--turns N]

For each language a conversation of N turns (default 300) with twenty facts is held in an inbox with the demo shop's
knowledge, remembered as a server does it, without a language model, and then asked for each fact. A fact counts when it
stands in the prompt that a model would be given, and that prompt is within its budget. See `benchmarks/planted.py`.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
os.environ["BATON_HOME"] = tempfile.mkdtemp(prefix="baton-memory-")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from planted import Exchange, conversation  # noqa: E402

from chatbot import store  # noqa: E402
from chatbot.llm.profile import PROMPT_ROOM  # noqa: E402
from chatbot.memory import recall  # noqa: E402
from chatbot.moderation.masking import Masker  # noqa: E402
from chatbot.remembering import HANDLERS as MEMORY  # noqa: E402
from chatbot.turn.budget import fit, tokens_of  # noqa: E402
from chatbot.turn.evidence import ByStrength  # noqa: E402
from chatbot.turn.prompt import EARLIER_TOKENS, build_prompt  # noqa: E402
from chatbot.turn.query import WithContext  # noqa: E402
from chatbot.turn.tokens import estimate_tokens  # noqa: E402
from chatbot.turn.values import NOTHING, Grounds, Passage, Query, Question, Retrieved  # noqa: E402
from conversations import memory, services  # noqa: E402
from conversations.models import Conversation, Inbox, Recollection, Turn  # noqa: E402
from conversations.services import TurnResult  # noqa: E402
from knowledge import services as knowledge  # noqa: E402
from knowledge.search import search  # noqa: E402
from knowledge.tasks import HANDLERS as KNOWLEDGE  # noqa: E402
from workspace import leases  # noqa: E402
from workspace.models import Workspace  # noqa: E402

DEMO = ROOT / "chatbot" / "management" / "demo"
LONGEST_WINDOW = 8_192  # tokens; the smallest model that is still common
ANSWER_TOKENS = 1_024
STRANGERS = {
    "en": ("What is my blood type?", "How old is my daughter?", "Which car do I drive?", "What is my dentist called?"),
    "zh": ("我是什么血型？", "我女儿几岁了？", "我开的是什么车？", "我的牙医叫什么？"),
}


@dataclass
class Tally:
    """Facts that stood in the prompt: at all, of a small model, with the turn going on; and what it took."""

    reached: int = 0
    small: int = 0
    went_on: int = 0
    without: int = 0
    told: int = 0
    tokens: int = 0
    recall_ms: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=300)
    turns = parser.parse_args().turns
    call_command("migrate", verbosity=0)
    if (ROOT / "var" / "encoders").is_dir():  # made when Baton was installed
        (Path(os.environ["BATON_HOME"]) / "encoders").symlink_to(ROOT / "var" / "encoders")
    call_command("prepare_encoder", verbosity=0)
    workspace = Workspace.objects.create(name="memory")
    index_demo(workspace)
    for language in ("en", "zh"):
        told = conversation(language, turns)
        held, took_s = hold(workspace, language, told)
        report(held, told, took_s)


def index_demo(workspace: Workspace) -> None:
    collection = knowledge.find_or_create_collection(workspace=workspace, name="demo")
    for path in sorted([*DEMO.glob("faq.*.csv"), *DEMO.glob("*.md")]):
        knowledge.add_file(collection=collection, name=path.name, data=path.read_bytes())
    work()


def work() -> None:
    while leases.run_next({**KNOWLEDGE, **MEMORY}):
        pass


def hold(workspace: Workspace, language: str, told: list[Exchange]) -> tuple[Conversation, float]:
    """Have the conversation; what is due to be remembered is done in between. Returns the seconds that took."""
    inbox = Inbox.objects.of(workspace).create(name=language, language=language)
    held = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox), language=language)
    took_s = 0.0
    for at, exchange in enumerate(told):
        turn = services.add_visitor_message(conversation_id=held.pk, text=exchange.said, client_id=str(at)).turn
        assert turn
        services.finish_turn(turn_id=turn.pk, result=TurnResult(Turn.Outcome.ANSWERED, exchange.answered))
        if at % 4 == 3:
            memory.enqueue_due()
            began = time.perf_counter()
            work()
            took_s += time.perf_counter() - began
    return held, took_s


def report(held: Conversation, told: list[Exchange], took_s: float) -> None:
    turn = services.add_visitor_message(conversation_id=held.pk, text="?", client_id="last").turn
    assert turn
    asked = store._load_turn(turn.public_id).question
    facts, tally = [exchange for exchange in told if exchange.asked], Tally()
    for exchange in facts:
        ask(replace(asked, text=exchange.asked), exchange.said, tally)
    whole = sum(estimate_tokens(exchange.said) + estimate_tokens(exchange.answered) for exchange in told)
    rows = Recollection.objects.of(held.workspace_id).filter(conversation=held)
    sealed = [len(trace) for trace in rows.values_list("trace", flat=True)]
    false = sum(bool(recall(replace(asked, text=text), text).told) for text in STRANGERS[held.inbox.language])
    count = len(facts)
    print(f"{held.inbox.language}: {len(told)} turns, {whole} tokens in all")
    print(f"  facts in the prompt                       {tally.reached} of {count}")
    print(f"  … of a model with {LONGEST_WINDOW} tokens             {tally.small} of {count}")
    print(f"  … without the memory                      {tally.without} of {count}")
    print(f"  … in a turn that goes on to the model     {tally.went_on} of {count}")
    print(f"  told in the visitor's own words           {tally.told} of {count}")
    print(f"  … asked what was never said               {false} of {len(STRANGERS[held.inbox.language])}")
    print(
        f"  prompt, mean of all questions             {tally.tokens / count:.0f} tokens, the memory's share {EARLIER_TOKENS}"
    )
    print(f"  recall                                    {tally.recall_ms / count:.1f} ms")
    print(f"  remembering                               {1000 * took_s / len(told):.1f} ms a turn, off its path")
    print(
        f"  recollections                             {len(sealed)}, {sum(sealed) / len(sealed):.0f} bytes each, sealed"
    )


def ask(question: Question, fact: str, tally: Tally) -> None:
    query, masker = WithContext().form(question), Masker()
    began = time.perf_counter()
    earlier = recall(question, query.text)
    tally.recall_ms += (time.perf_counter() - began) * 1000
    retrieved = retrieve(question, query)
    evidence = ByStrength().weigh(query, retrieved)
    prompt = build_prompt(question, retrieved.passages, question.inbox.language, masker, earlier=earlier)
    bare = build_prompt(question, retrieved.passages, question.inbox.language, masker, earlier=NOTHING)
    whole, small = fit(prompt, PROMPT_ROOM), fit(prompt, LONGEST_WINDOW - ANSWER_TOKENS)
    assert sum(map(estimate_tokens, whole.earlier)) <= EARLIER_TOKENS
    assert tokens_of(whole) <= PROMPT_ROOM
    assert tokens_of(small) <= LONGEST_WINDOW - ANSWER_TOKENS
    wanted = masker.mask(fact)
    shown = [*whole.earlier, *(said.text for said in whole.history)]
    reached = any(wanted in text for text in shown)
    tally.reached += reached
    tally.small += any(wanted in text for text in [*small.earlier, *(said.text for said in small.history)])
    tally.without += any(wanted in said.text for said in bare.history)
    tally.went_on += reached and (evidence.grounds is Grounds.ENOUGH or earlier.personal)
    tally.told += fact in earlier.told
    tally.tokens += tokens_of(whole)


def retrieve(question: Question, query: Query) -> Retrieved:
    found = search(workspace=question.inbox.workspace, question=query.text)
    return Retrieved(tuple(Passage(**vars(passage)) for passage in found.passages), found.understood, found.strength)


if __name__ == "__main__":
    main()
