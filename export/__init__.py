"""Makes a bundle: trains the classifier on IMDB reviews in torch, exports it to ONNX, and proves the two agree."""
