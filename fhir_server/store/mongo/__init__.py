"""The MongoDB adapter of the store ports (docs/adr/0012-mongo-layout.md); only the composition root names it."""
