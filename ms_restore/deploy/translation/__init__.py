"""Translating the graph that MindSpore exports to ONNX, for any network."""
