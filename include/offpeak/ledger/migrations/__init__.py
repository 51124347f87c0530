"""The ledger's schema, step by step. Run by `offpeak.ledger.migrate`, never by hand."""
