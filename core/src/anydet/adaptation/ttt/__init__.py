"""Methods of test-time training, for any adapter whose model is a torch module."""
