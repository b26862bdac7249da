"""Where models run: beside the node, in workers that may crash, hang or be killed without harm to it."""
