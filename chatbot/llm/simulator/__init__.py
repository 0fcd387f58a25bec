"""A local server that plays DeepSeek's API, byte for byte, with scripted faults. For development, tests and load."""
