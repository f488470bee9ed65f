"""The 15 common corruptions of Hendrycks and Dietterich, ICLR 2019, arXiv:1903.12261, in batches."""
