"""The ground that everything else stands on; imports nothing else of torchkeras."""
