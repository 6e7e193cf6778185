"""What lets one machine show Homeroom at work: the real control plane and the story that `make demo` tells on it."""
