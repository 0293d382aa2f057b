"""One mixture per file."""
