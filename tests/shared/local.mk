# Tests of src/shared.
