"""The language model: loading, tokenizer, and the forms in which frozen weights are stored and computed."""
