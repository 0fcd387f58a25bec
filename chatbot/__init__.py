"""How the bot thinks and how it is reached, and the Django shell around it."""
