"""Everything that lasts and everything that faces a person: ledger, search, tracking, ensemble, export."""
