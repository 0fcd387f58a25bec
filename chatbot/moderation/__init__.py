"""What may be said, and what personal data the model never sees."""
