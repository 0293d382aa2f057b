"""One architecture per file; the layers that PyTorch lacks are in `nets/`."""
