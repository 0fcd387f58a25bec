"""The model door: what speaks to a language model, and what answers without one."""
