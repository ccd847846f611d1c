"""The paper's claims, each re-run: what is measured, the rule that judges it, ours beside the paper's.

Begin with `experiment.py` (what a claim is), `bench.py` (shared runs within a budget) and `ablations.py` (the claims
that take a part away); `catalogue.py` lists all in the paper's order. By section of the paper:

    1 to 4.1    facts.py            facts: every count that needs no data
    3, 7        architecture.py     tanh, towers, communication, response-norm, overlap,
                                    overlap-overfitting, without-conv1 ... without-conv5
    3.1         figure1.py          figure1: epochs to 25 % training error, rates tuned
    3.3         section33.py        cifar10-normalisation
                sparsity.py         sparsity: units that never respond, on input that was not normalised
    4.1, 5      regularisation.py   crops, crops-free, colour, weight-decay, biases
    4.2         dropout.py          dropout, dropout-iterations, dropout-mean
    3 to 5      text_and_code.py    text-and-code: the text beside the authors' files
    6           tables.py           table1, table2; with averaging.py, rivals.py and pretraining.py
    6.1         figure3.py          figure3: what the two towers learn
                figure4.py          figure4: the nearest pictures in the last hidden layer
                binary_codes.py     binary-codes: short codes in place of those vectors
    1, 7        larger.py           more-data, larger-nets

How they are run: `reproduce.py` (by name), `comparison.py` (intervals and verdicts), `result.py` (the file left),
`page.py` (its page), `pictures.py` (drawn data for trials).
"""
