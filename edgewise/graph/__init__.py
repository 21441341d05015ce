"""ONNX models as graphs: loading, shapes, counts and cuts."""
