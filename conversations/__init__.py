"""What was said, and who holds the line."""
