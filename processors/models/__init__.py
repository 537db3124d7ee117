"""Networks: the runtime they run on, the packs they come in, and one file for each family."""
