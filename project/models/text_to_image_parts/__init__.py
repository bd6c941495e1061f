"""The parts of text_to_image: the demo's tokenizer and sampler, and any diffusers pipeline."""
