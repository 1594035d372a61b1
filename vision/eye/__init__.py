"""One eye as ONNX graphs: features, heads, what is usual, and how a part lies."""
