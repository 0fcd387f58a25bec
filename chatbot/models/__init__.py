"""What the bot itself keeps: its intents, its providers and what they cost, its batches, and notices for the owner."""

from chatbot.models.batches import Batch, BatchItem
from chatbot.models.calls import Budget, ModelCall, Notice
from chatbot.models.intents import Intent, IntentExample
from chatbot.models.providers import Price, Provider

__all__ = ["Batch", "BatchItem", "Budget", "Intent", "IntentExample", "ModelCall", "Notice", "Price", "Provider"]
