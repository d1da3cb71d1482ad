"""What several papers share: pieces of figures and claims. Papers never import one another."""
