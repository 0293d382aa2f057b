"""Networks and layers that PyTorch lacks; importing them imports torch."""
