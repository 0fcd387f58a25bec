"""The thinking: what happens between a question and its answer. Pure: no Django, no network, no clock."""
