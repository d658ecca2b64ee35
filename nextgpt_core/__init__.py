"""NExT-GPT: an any-to-any multimodal chat model (arXiv 2309.05519). Importing this package loads nothing."""
