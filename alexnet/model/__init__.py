"""The network of the paper's figure 2 and its variants, executed from a table of rows."""
