"""The nouns of the product. Pure: no I/O, no clock, no chance; every other room may import this one."""
