"""Sessions of onnxruntime, bundles on disk, and the calibration of this machine."""
