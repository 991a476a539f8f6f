"""One call, from the arguments to a number."""
