"""`gato-data describe` for corpora: what their first records hold, and a config for them."""
