"""Training of the reference transformer: a short loop over a jitted step with sharded state."""
