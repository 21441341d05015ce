"""The torch room: nets, a bounded training loop, export to ONNX. Nothing outside imports torch."""
