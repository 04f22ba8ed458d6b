"""The ledger: the one record of a study's trials, who may write it, and how it is kept whole."""
