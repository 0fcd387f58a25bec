"""WebSockets: the visitor's and the agent's."""
