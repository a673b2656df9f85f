"""What `gato-data describe` does: look at the first episodes, propose a config, write it down.

    location ─▶ sample ─▶ facts ─▶ proposal ─▶ page

`location` finds the data set, `sample` chooses the records, `gathering` sums up what is seen of
them in `facts`. Then each module decides on one part of the config, `proposal` on all of it, and
`page` writes it as commented YAML.
"""
