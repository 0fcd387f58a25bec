"""Who calls: sockets, pages, the REST API and webhooks. They translate and decide nothing."""
