"""A small text-to-image model that ships with the package: see `docs/demo-model.md`."""
