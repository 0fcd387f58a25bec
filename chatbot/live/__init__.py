"""Answers while they are written: who is writing, who is watching, and how the text gets from one to the other."""
