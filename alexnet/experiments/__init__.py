"""The paper's claims, each re-run: what is measured, the rule that judges it, ours beside the paper's."""
