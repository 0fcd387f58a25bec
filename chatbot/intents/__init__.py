"""What a message is for: the local classifier, the wish for a person, and the starter set."""
