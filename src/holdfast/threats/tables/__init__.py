"""What a row of a table is: features with kinds, ranges and costs, and the relations between them."""
