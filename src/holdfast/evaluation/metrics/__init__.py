"""One number a module; every one is checked against hand-worked values."""
