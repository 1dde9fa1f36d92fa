"""The MongoDB adapter of the store ports; only the composition root names it."""
