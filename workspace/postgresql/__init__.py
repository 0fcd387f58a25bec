"""Django's PostgreSQL, whose pool gives out no connection that died while it lay there."""
