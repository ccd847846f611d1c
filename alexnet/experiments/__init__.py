"""How a claim of the paper is re-run: what is measured, within which budget, by which rule, and what is left of it.

Begin with `experiment.py` (what a claim is) and `bench.py` (shared runs within a budget). Then `comparison.py`
(intervals and verdicts), `ablations.py` (claims that take a part away), `averaging.py` (several networks), `rivals.py`,
`pretraining.py`, `sample.py` (images to search among); `result.py` (the file left), `page.py` (its page), `pictures.py`
(drawn data for trials). The claims themselves are in `alexnet/claims`.
"""
