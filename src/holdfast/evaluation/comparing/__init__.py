"""Models of any library side by side: audited on the same rows under the same threats, and compared row by row."""
