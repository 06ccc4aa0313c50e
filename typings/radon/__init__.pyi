# radon has no types of its own. These are the parts that this project uses.
