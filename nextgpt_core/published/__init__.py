"""The released 7B system: fetching, converting and checking its files."""
