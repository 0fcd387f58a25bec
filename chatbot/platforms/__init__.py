"""Messaging platforms: one small adapter each, behind one interface."""
