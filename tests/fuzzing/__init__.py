"""Fuzzing of everything that parses bytes which this library did not write.

    python -m tests.fuzzing --seconds 600 [TARGET …]

A target takes bytes to the code that reads them in a build or a training. It may end with an error
of `gato_data.errors` and nothing else: no other exception, no crash, no more than 5 seconds of
processor time, 500 MB of memory, no pickle, no process, no connection, no file written outside its
scratch folder (`guard`). Inputs are mutations of valid ones (`mutations`), whose checksums are
mended now and then, so that what lies behind them is reached (`Target.repair`). An input with an
outcome that was not seen before is mutated further.
"""
