# Tests of src/proxy.
