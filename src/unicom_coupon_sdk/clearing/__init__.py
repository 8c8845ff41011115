"""When money is expected. Settlement batches, sharing, pay-outs and reconciliation will live here too."""
