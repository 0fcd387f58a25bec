"""What the documents list is what the code has."""

from conversations.events import Kind
from tests.serving import ROOT


def test_the_protocol_names_every_kind_of_event() -> None:
    text = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    assert not [kind.value for kind in Kind if f"`{kind.value}`" not in text.partition("**Kinds of event**")[2]]
