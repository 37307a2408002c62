"""Learning from unlabeled features: pseudo labels, and the networks that learn from them."""
