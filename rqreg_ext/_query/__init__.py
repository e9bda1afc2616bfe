"""Reading registries: iteration, pages, membership, filters and find()."""
