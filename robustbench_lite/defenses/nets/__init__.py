"""Networks that defences need beside the classifier; each needs torch at once."""
