"""What tests share: small data that they make, stages run in order, faults, forgeries and servers."""
