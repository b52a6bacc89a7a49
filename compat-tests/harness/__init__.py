"""What every suite of compat-tests shares: brokers, toolchains, the list of suites and the counting of tests."""
