"""Erasers under other people's evaluators; each file is for one of them, which need not be installed to import it."""
