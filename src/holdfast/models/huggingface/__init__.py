"""Image classifiers of Hugging Face's transformers."""
