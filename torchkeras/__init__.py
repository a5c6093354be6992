"""torchkeras: the Keras 3 API as native PyTorch."""
