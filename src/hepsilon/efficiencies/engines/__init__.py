"""Engines that evaluate the networks of an artifact: Keras, ONNX Runtime, OpenVINO, Triton."""
