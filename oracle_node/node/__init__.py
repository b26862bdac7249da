"""The daemon: follows the chain, decides by pure functions of what it knows (`duties`), and does it (`effects`)."""
