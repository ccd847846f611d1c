"""The paper's claims: `reproduce.py` re-runs one, `catalogue.py` lists them in the paper's order. By its sections:

    1 to 4.1    facts.py            facts: every count that needs no data
    3, 7        architecture.py     tanh, towers, communication, response-norm, overlap,
                                    overlap-overfitting, without-conv1 ... without-conv5
    3.1         figure1.py          figure1: epochs to 25 % training error, rates tuned
    3.3         section33.py        cifar10-normalisation
                sparsity.py         sparsity: units that never respond, on input that was not normalised
    4.1, 5      regularisation.py   crops, crops-free, colour, weight-decay, biases
    4.2         dropout.py          dropout, dropout-iterations, dropout-mean
    3 to 5      text_and_code.py    text-and-code: the text beside the authors' files
    6           tables.py           table1, table2
    6.1         figure3.py          figure3: what the two towers learn
                figure4.py          figure4: the nearest pictures in the last hidden layer
                binary_codes.py     binary-codes: short codes in place of those vectors
    1, 7        larger.py           more-data, larger-nets

What a claim is, and how it is measured and judged: `alexnet/experiments`.
"""
