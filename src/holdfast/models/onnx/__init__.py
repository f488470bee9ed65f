"""ONNX models: what goes in and comes out of a graph, onnxruntime for the answers, a torch copy for the gradients."""
