"""What we know: documents, chunks, published versions, and the search over them."""
