"""Text and tokens, prompts and drafts: what surrounds a language model, and no part of its proof."""
