"""The conversations that the language side learns from."""
