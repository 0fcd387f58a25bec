"""Pages: the widget's frame, the desk, knowledge, analytics, signing in."""
