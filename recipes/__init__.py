"""How bundled weights were made: users of the core, never imported by it."""
